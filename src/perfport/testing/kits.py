# ruff: noqa: S101  # asserting is what a kit is for
"""Conformance kits: every system, meter and actuator, built in or not, passes the same tests.

Subclass a kit in a test file, say how the object is made, and pytest collects the tests:

    class TestMyMeter(MeterKit):
        def make(self) -> Meter:
            return MyMeter()

The kits need nothing but the object; they measure nothing and assert no times.
"""

import json
import math
import time
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from perfport.data.environment import FACETS, Fact
from perfport.data.measurement import unit_of
from perfport.errors import ActuationError, MeterUnavailableError, UsageError
from perfport.measure.actuators import applied
from perfport.measure.base import (
    Absent,
    Actuator,
    Available,
    ChecksWorkload,
    HasOutput,
    Meter,
    ReportsReadings,
    RestoresState,
    ServesOutcomes,
    System,
    TellsProvenance,
)
from perfport.measure.properties import PRIMARY
from perfport.measure.protocol import Protocol
from perfport.measure.rows import configurations_of
from perfport.measure.runner.outputs import wrong_output
from perfport.seeding import rng_for
from perfport.space.options import Level

__all__ = ["ActuatorKit", "MeterKit", "SystemKit"]


class SystemKit:
    """The contract of `measure.base.System`.

    Attributes:
        workload: A workload the system can run.
        n_sampled: Configurations opened besides the default one.
    """

    workload: ClassVar[Mapping[str, Fact]] = {}
    n_sampled: ClassVar[int] = 3

    def make(self) -> System:
        """Return the system under test."""
        raise NotImplementedError("a kit's subclass says how the object is made")

    def test_settings_make_an_equal_system(self) -> None:
        """The child builds its own system from the class and the settings."""
        system = self.make()
        again = type(system)(**system.settings)
        assert again.facets() == system.facets()
        assert again.space() == system.space()
        assert again.is_isolated == system.is_isolated

    def test_settings_of_an_isolated_system_survive_json(self) -> None:
        """They reach the child as JSON."""
        system = self.make()
        if system.is_isolated:
            settings = json.loads(json.dumps(dict(system.settings)))
            assert type(system)(**settings).facets() == system.facets()

    def test_facets_are_known_plain_and_stable(self) -> None:
        """They make the fingerprint."""
        facets = self.make().facets()
        assert {"network", "software"} <= set(facets) <= set(FACETS)
        for facts in facets.values():
            assert all(isinstance(fact, str | int | float | bool) for fact in facts.values())
        assert self.make().facets() == facets

    def test_options_belong_to_the_system(self) -> None:
        """What the machine offers around it is an actuator's."""
        assert all(option.owner == "system" for option in self.make().space().options)

    def test_runs_with_every_option_left_out(self) -> None:
        """Options left out are at their default."""
        system = self.make()
        if isinstance(system, ServesOutcomes):
            return
        with system.open({}, self.workload) as session:
            assert session.inputs_per_run >= 1
            session.run_once()
            session.run_once()

    def test_runs_with_default_and_sampled_configurations(self) -> None:
        """Every valid configuration opens, or raises a reason."""
        system = self.make()
        for configuration in self._configurations(system):
            if isinstance(system, ServesOutcomes):
                outcome = system.outcome(configuration, block=0)
                assert bool(outcome.repetitions) != bool(outcome.reason)
                continue
            with system.open(configuration, self.workload) as session:
                session.run_once()

    def test_can_be_opened_again_after_closing(self) -> None:
        """A child opens one configuration after the other."""
        system = self.make()
        configuration = self._configurations(system)[0]
        for _ in range(2):
            with system.open(configuration, self.workload) as session:
                session.run_once()

    def test_refuses_an_unknown_option(self) -> None:
        """A misspelt option must not be measured as the default."""
        system = self.make()
        try:
            with system.open({"no such option": 1}, self.workload):
                pass
        except UsageError:
            return
        raise AssertionError("an unknown option was accepted")

    def test_refuses_an_unknown_workload_fact(self) -> None:
        """Where the system knows its workloads, a misspelt fact must not be ignored."""
        system = self.make()
        if not isinstance(system, ChecksWorkload):
            return
        system.check_workload(self.workload)
        try:
            system.check_workload({**self.workload, "no such fact": 1})
        except UsageError:
            return
        raise AssertionError("an unknown workload fact was accepted")

    def test_computes_the_same_however_it_is_configured(self) -> None:
        """Outputs are of the first input, and inputs depend on the workload alone."""
        system = self.make()
        if isinstance(system, ServesOutcomes):
            return
        tolerance = Protocol().output_tolerance
        with system.open({}, self.workload) as session:
            if not isinstance(session, HasOutput):
                return
            session.run_once()
            expected = [np.array(output) for output in session.output()]
        with system.open(system.space().default_configuration(), self.workload) as session:
            session.run_once()
            assert isinstance(session, HasOutput)
            assert wrong_output(session.output(), expected, tolerance) == ""

    def test_readings_are_positive(self) -> None:
        """A session with readings of its own reports time above all."""
        system = self.make()
        with system.open(self._configurations(system)[0], self.workload) as session:
            session.run_once()
            if isinstance(session, ReportsReadings):
                assert session.readings()[PRIMARY] > 0

    def _configurations(self, system: System) -> list[dict[str, Level | None]]:
        space = system.space()
        sampled = configurations_of(space, space.sample(self.n_sampled, rng_for(0, "kit")))
        if isinstance(system, ServesOutcomes):
            known = [found for found in sampled if system.outcome(found, block=0).repetitions]
            return known or [space.default_configuration()]
        return [space.default_configuration(), *sampled]


class MeterKit:
    """The contract of `measure.base.Meter`."""

    def make(self) -> Meter:
        """Return the meter under test."""
        raise NotImplementedError("a kit's subclass says how the object is made")

    def during(self) -> None:
        """Do what happens within a window; a tree of files moves its counters here."""
        time.sleep(0.002)

    def test_says_what_it_reads_and_in_which_unit(self) -> None:
        """A property's name ends in its unit."""
        meter = self.make()
        assert meter.properties
        for found in meter.properties:
            assert unit_of(found.name) == found.unit != ""
        assert meter.min_window_s >= 0

    def test_is_available_or_says_why_not(self) -> None:
        """Absent is absent, with a reason."""
        availability = self.make().availability()
        assert isinstance(availability, Available | Absent)
        if isinstance(availability, Absent):
            assert availability.reason

    def test_reads_every_property_or_refuses_to_start(self) -> None:
        """There is no third way, such as zero."""
        meter = self.make()
        if isinstance(meter.availability(), Absent):
            try:
                meter.start()
            except MeterUnavailableError as error:
                assert error.message
                return
            raise AssertionError("an absent meter started")
        for _ in range(2):
            meter.start()
            self.during()
            readings = meter.stop()
            assert set(readings) == {found.name for found in meter.properties}
            assert all(math.isfinite(value) and value >= 0 for value in readings.values())

    def test_tells_where_its_readings_come_from(self) -> None:
        """Joules without provenance cannot be compared."""
        meter = self.make()
        if isinstance(meter.availability(), Absent) or not isinstance(meter, TellsProvenance):
            return
        meter.start()
        self.during()
        meter.stop()
        told = meter.provenance()
        assert told == json.loads(json.dumps(told))
        assert told


class ActuatorKit:
    """The contract of `measure.base.Actuator`. What it changes, it changes back.

    Attributes:
        n_levels: Most levels tried of each option.
    """

    n_levels: ClassVar[int] = 3

    def make(self) -> Actuator:
        """Return the actuator under test."""
        raise NotImplementedError("a kit's subclass says how the object is made")

    def test_options_are_its_own(self) -> None:
        """Spaces tell by the owner who sets an option."""
        actuator = self.make()
        assert all(option.owner == "actuator" for option in actuator.options)
        assert actuator.scope in ("process", "machine")

    def test_reads_every_option(self) -> None:
        """What cannot be read cannot be restored."""
        actuator = self.make()
        assert set(actuator.read()) == {option.name for option in actuator.options}

    def test_setting_what_is_set_changes_nothing(self) -> None:
        """This is how it is restored."""
        actuator = self._available()
        if actuator is None:
            return
        before = actuator.read()
        actuator.apply(before)
        assert actuator.read() == before

    def test_every_level_is_read_back_and_restored(self) -> None:
        """Also when the block raises."""
        actuator = self._available()
        if actuator is None:
            return
        before = actuator.read()
        for option in actuator.options:
            for level in (option.levels or option.bounds)[: self.n_levels]:
                with applied([actuator], {option.name: level}) as back:
                    assert back == {option.name: level}
                    assert actuator.read()[option.name] == level
                assert actuator.read() == before
                try:
                    with applied([actuator], {option.name: level}):
                        raise _DeliberateError
                except _DeliberateError:
                    assert actuator.read() == before

    def test_its_state_survives_json_and_restores(self) -> None:
        """Another process restores from the journal what this one found."""
        actuator = self._available()
        if actuator is None or not isinstance(actuator, RestoresState):
            return
        before = actuator.read()
        for option in actuator.options:
            state = json.loads(json.dumps(actuator.state([option.name])))
            actuator.apply({option.name: (option.levels or option.bounds)[0]})
            again = self.make()
            assert isinstance(again, RestoresState)
            again.restore(state)
            again.restore(state)
            assert self.make().read() == before

    def test_refuses_an_unknown_option(self) -> None:
        """A misspelt option must not pass as set."""
        actuator = self.make()
        try:
            actuator.apply({"no such option": 1})
        except ActuationError:
            return
        raise AssertionError("an unknown option was accepted")

    def _available(self) -> Actuator | None:
        actuator = self.make()
        return actuator if isinstance(actuator.availability(), Available) else None


class _DeliberateError(Exception):
    """Raised by the kit itself."""
