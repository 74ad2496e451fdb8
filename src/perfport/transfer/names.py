"""Strategies by name, for files and the command line, with any learner inside.

Example:
    >>> make_strategy("residual:boosting").learner
    'boosting'
"""

import inspect
from collections.abc import Mapping
from typing import Any

from perfport.errors import UsageError
from perfport.model.base import Learner
from perfport.plugins import resolve
from perfport.space.messages import near

__all__ = ["BUILTIN", "make_strategy", "split_name", "takes_learner"]

BUILTIN = {
    "auto": "perfport.transfer.auto:Auto",
    "influence": "perfport.transfer.auto:Influence",
    "target_only": "perfport.transfer.baselines:TargetOnly",
    "direct": "perfport.transfer.baselines:DirectReuse",
    "scaled": "perfport.transfer.baselines:Scaled",
    "residual": "perfport.transfer.baselines:Residual",
    "pooled": "perfport.transfer.baselines:Pooled",
    "multitask": "perfport.transfer.multitask:MultiTask",
    "linear_shift": "perfport.transfer.shift:LinearShift",
    "log_linear_shift": "perfport.transfer.shift:LogLinearShift",
    "nonlinear_shift": "perfport.transfer.shift:NonlinearShift",
    "guided": "perfport.transfer.guided:GuidedLearner",
    "tradaboost": "perfport.transfer.instances:TrAdaBoost",
    "bellwether": "perfport.transfer.bellwether:Bellwether",
}


def split_name(name: str) -> tuple[str, str | None]:
    """Return the strategy and the learner of a name such as "residual:boosting"; None where it names no learner."""
    strategy, colon, learner = name.partition(":")
    return strategy, learner if colon else None


def takes_learner(strategy: str) -> bool:
    """Return whether a strategy can be told which learner to use.

    Raises:
        UnknownPluginError: If no strategy has the name.
    """
    return "learner" in _arguments(resolve("strategy", strategy, BUILTIN))


def make_strategy(name: str, *, learner: str | Learner | None = None, settings: Mapping[str, Any] | None = None) -> Any:
    """Return a strategy.

    Args:
        name: Of the strategy, with or without a learner: "auto", "residual", "residual:boosting".
        learner: The learner, instead of one in the name: a name or a learner to clone.
        settings: Further arguments of the strategy.

    Returns:
        An object with the method `fit` of `TransferStrategy`.

    Raises:
        UnknownPluginError: If no strategy has the name.
        UsageError: If the strategy takes no learner or has no such setting.
    """
    strategy, named = split_name(name)
    make = resolve("strategy", strategy, BUILTIN)
    chosen = named if learner is None else learner
    given = dict(settings or {}) | ({} if chosen is None else {"learner": chosen})
    known = _arguments(make)
    for argument in given:
        if argument not in known:
            listed = f"it takes {', '.join(known)}{near(argument, known)}" if known else "it takes no settings"
            raise UsageError(f"strategy '{strategy}' has no setting '{argument}'; {listed}", strategy=strategy)
    return make(**given)


def _arguments(make: Any) -> list[str]:
    if inspect.isclass(make) and make.__init__ is object.__init__:
        return []
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [name for name, parameter in inspect.signature(make).parameters.items() if parameter.kind in kinds]
