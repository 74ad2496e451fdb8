"""Every built-in actuator, and the fake, through the kit."""

from perfport.measure.actuators.process import CpuAffinity, EnvironmentVariables
from perfport.measure.base import Actuator
from perfport.testing.fakes import FakeActuator
from perfport.testing.kits import ActuatorKit


class TestEnvironmentVariables(ActuatorKit):
    def make(self) -> Actuator:
        return EnvironmentVariables()


class TestCpuAffinity(ActuatorKit):
    def make(self) -> Actuator:
        return CpuAffinity()


class TestFakeActuator(ActuatorKit):
    def make(self) -> Actuator:
        return FakeActuator()
