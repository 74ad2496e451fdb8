"""Transfer: a performance model of a new environment from old environments and a few measurements.

The room's doors are `perfport.transfer` and `perfport.propose` (api.py). A dataset walks through
prepare.py (usable rows, one unit, one set of options), source.py (what one source teaches),
kernels.py (several sources as one prior), members.py, calibration.py and stacking.py (models of the target,
how sure they may be, their weights) to mixed.py (a prediction); propose.py chooses rows under the same prior.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perfport.transfer.transferred import TransferredModel


class _CallableRoom(ModuleType):
    """Lets `perfport.transfer` be both this package and the public function of the same name.

    Importing a package binds it as an attribute of its parent, over whatever the parent had under
    that name; so the package itself has to answer the call.
    """

    def __call__(self, **arguments: Any) -> "TransferredModel":
        # Here, because importing this package must cost nothing.
        from perfport.transfer.api import transfer

        return transfer(**arguments)

    def __reduce__(self) -> tuple[Callable[[str], ModuleType], tuple[str]]:
        # Functions that call it are sent to other processes (joblib, Dask), and with them the modules they name.
        return import_module, (self.__name__,)


sys.modules[__name__].__class__ = _CallableRoom
