"""Carry a performance model of a DNN system to a new environment with a handful of measurements.

The names below are the public API. They are loaded when first used, so that `import perfport`
costs next to nothing and pulls in no heavy package.

Example:
    >>> import perfport
    >>> tables = perfport.read_tables("measurements/")  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from perfport.version import __version__ as __version__

if TYPE_CHECKING:
    from perfport.advise.comparison.compare import compare as compare
    from perfport.advise.deployment.card import model_card as model_card
    from perfport.advise.deployment.export import export as export
    from perfport.advise.influences.difference import explain_difference as explain_difference
    from perfport.advise.influences.explain import explain as explain
    from perfport.advise.recommendation.recommend import recommend as recommend
    from perfport.advise.recommendation.search import Search as Search
    from perfport.advise.recommendation.tradeoff import trade_off as trade_off
    from perfport.advise.regression.check import check_regression as check_regression
    from perfport.data.dataset import Dataset as Dataset
    from perfport.data.environment import Environment as Environment
    from perfport.data.measurement import Measurement as Measurement
    from perfport.data.measurement import Property as Property
    from perfport.data.measurement import Status as Status
    from perfport.data.store import Store as Store
    from perfport.data.tables import read_tables as read_tables
    from perfport.data.tables import write_tables as write_tables
    from perfport.space.options import Option as Option
    from perfport.space.space import Space as Space
    from perfport.transfer.advice import advise_budget as advise_budget
    from perfport.transfer.advice import break_even as break_even
    from perfport.transfer.api import propose as propose
    from perfport.transfer.api import transfer as transfer
    from perfport.transfer.files import load_model as load_model
    from perfport.transfer.files import save_model as save_model

_HOME = {
    "Dataset": "perfport.data.dataset",
    "Environment": "perfport.data.environment",
    "Measurement": "perfport.data.measurement",
    "Option": "perfport.space.options",
    "Property": "perfport.data.measurement",
    "Search": "perfport.advise.recommendation.search",
    "Space": "perfport.space.space",
    "Status": "perfport.data.measurement",
    "Store": "perfport.data.store",
    "advise_budget": "perfport.transfer.advice",
    "break_even": "perfport.transfer.advice",
    "check_regression": "perfport.advise.regression.check",
    "compare": "perfport.advise.comparison.compare",
    "explain": "perfport.advise.influences.explain",
    "explain_difference": "perfport.advise.influences.difference",
    "export": "perfport.advise.deployment.export",
    "load_model": "perfport.transfer.files",
    "model_card": "perfport.advise.deployment.card",
    "propose": "perfport.transfer.api",
    "read_tables": "perfport.data.tables",
    "recommend": "perfport.advise.recommendation.recommend",
    "save_model": "perfport.transfer.files",
    "trade_off": "perfport.advise.recommendation.tradeoff",
    "transfer": "perfport.transfer.api",
    "write_tables": "perfport.data.tables",
}

__all__ = sorted(_HOME)  # noqa: PLE0605  # one list of names, not two


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'perfport' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
