"""Which rows of a dataset a model may learn from."""

import numpy as np

from perfport.data.dataset import Dataset
from perfport.data.measurement import Status
from perfport.errors import NotEnoughDataError

__all__ = ["usable_rows"]


def usable_rows(dataset: Dataset, property: str) -> tuple[Dataset, list[str]]:
    """Return the rows with a positive, finite response of `property`, and a note if others were dropped.

    Published tables mark failed runs by a zero; there is no logarithm of one and no time of one.

    Raises:
        UsageError: If the dataset has no such property.
        NotEnoughDataError: If no row is left.
    """
    y = dataset.response(property)
    is_usable = (dataset.status == Status.OK.value) & np.isfinite(y) & (y > 0)
    n_dropped = int((~is_usable).sum())
    name = dataset.environment.name
    if n_dropped == len(y):
        raise NotEnoughDataError(
            f"environment '{name}': none of {len(y)} rows has a positive '{property}'; measure at least one",
            environment=name,
            property=property,
        )
    if not n_dropped:
        return dataset, []
    note = f"environment '{name}': {n_dropped} of {len(y)} rows dropped, their '{property}' is not positive"
    return dataset.take(is_usable), [note]
