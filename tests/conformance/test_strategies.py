"""Every built-in transfer strategy through the kit."""

from typing import ClassVar

from perfport.testing.kits_transfer import StrategyKit
from perfport.transfer.base import TransferStrategy
from perfport.transfer.multitask import MultiTask
from perfport.transfer.names import BUILTIN, make_strategy


class BuiltinKit(StrategyKit):
    """The kit for a strategy by its name."""

    name: ClassVar[str]

    def make(self) -> TransferStrategy:
        strategy: TransferStrategy = make_strategy(self.name)
        return strategy


class TestAuto(BuiltinKit):
    name = "auto"


class TestInfluence(BuiltinKit):
    name = "influence"


class TestTargetOnly(BuiltinKit):
    name = "target_only"
    uses_sources = False


class TestDirect(BuiltinKit):
    name = "direct"
    needs_source = True


class TestScaled(BuiltinKit):
    name = "scaled"
    needs_source = True


class TestResidual(BuiltinKit):
    name = "residual"
    needs_source = True


class TestPooled(BuiltinKit):
    name = "pooled"


class TestMultiTask(BuiltinKit):
    name = "multitask"


class TestLinearShift(BuiltinKit):
    name = "linear_shift"
    needs_source = True


class TestLogLinearShift(BuiltinKit):
    name = "log_linear_shift"
    needs_source = True


class TestNonlinearShift(BuiltinKit):
    name = "nonlinear_shift"
    needs_source = True


class TestGuided(BuiltinKit):
    name = "guided"


class TestTrAdaBoost(BuiltinKit):
    name = "tradaboost"


class TestBellwether(BuiltinKit):
    name = "bellwether"
    needs_source = True


class TestMultiTaskOfRankTwo(StrategyKit):
    def make(self) -> TransferStrategy:
        return MultiTask(rank=2)


def test_every_built_in_strategy_is_tested() -> None:
    assert {kit.name for kit in BuiltinKit.__subclasses__()} == set(BUILTIN)
