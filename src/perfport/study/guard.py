"""The guard: responses of the target that were not paid for cannot be read, and never decide anything.

A study knows the whole target; what it compares must not. So the target is handed around inside a
`GuardedTarget`, which shows every configuration and no response. Rows are paid for by `split`, which
gives the measured rows as a dataset of their own (copies, with no way back to the rest) and keeps the
others for the moment after all predictions were made.

The guard catches mistakes, not malice: Python can always be made to read its own memory.

Example:
    >>> target = GuardedTarget.of(dataset, "inference_time_s")             # doctest: +SKIP
    >>> split = target.split(rows, rng=rng)                                # doctest: +SKIP
    >>> split.errors(strategy.fit([source], split.measured, ...).predict)  # doctest: +SKIP
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray, Property, Status
from perfport.errors import LeakError, NotEnoughDataError
from perfport.model.metrics import Errors, errors
from perfport.space.encoding import Encoder
from perfport.space.space import Space

__all__ = ["GuardedTarget", "Split", "check_disjoint", "held_out_errors"]

COPIED_ROWS = 10  # fewer equal readings may be chance where readings are coarse


class GuardedTarget:
    """A target environment whose responses are out of reach until they are paid for.

    Rows that failed, or have no positive response, are left out: they are no candidates.

    Args:
        dataset: The whole environment.
        property: What is predicted.
        usable: Which rows are candidates, shape (n,).
    """

    __slots__ = ("__dataset", "__keys", "__property")

    def __init__(self, dataset: Dataset, property: str, usable: ArrayLike) -> None:
        kept = dataset.take(np.flatnonzero(np.asarray(usable, dtype=np.bool_)))
        if not len(kept):
            raise NotEnoughDataError(
                f"environment '{dataset.environment.name}' has no row with a positive '{property}' to predict",
                environment=dataset.environment.name,
            )
        self.__dataset = kept
        self.__property = property
        self.__keys = Encoder(kept.space, fitted_on=kept.configurations).keys(kept.configurations)

    @classmethod
    def of(cls, dataset: Dataset, property: str) -> "GuardedTarget":
        """Guard the usable rows of a dataset.

        Raises:
            UsageError: If the dataset has no such property.
            NotEnoughDataError: If no row is usable.
        """
        y = dataset.response(property)
        with np.errstate(invalid="ignore"):
            return cls(dataset, property, (dataset.status == Status.OK.value) & np.isfinite(y) & (y > 0))

    def __len__(self) -> int:
        return len(self.__dataset)

    def __reduce__(self) -> tuple[object, ...]:
        return GuardedTarget, (self.__dataset, self.__property, np.ones(len(self), dtype=np.bool_))

    @property
    def name(self) -> str:
        """Name of the environment."""
        return self.__dataset.environment.name

    @property
    def space(self) -> Space:
        """The options."""
        return self.__dataset.space

    @property
    def key(self) -> str:
        """Of the content, as `Dataset.key`."""
        return self.__dataset.key

    @property
    def configurations(self) -> pd.DataFrame:
        """What may be measured, one row each, index 0 .. n-1."""
        return self.__dataset.configurations

    @property
    def responses(self) -> FloatArray:
        """Always a `LeakError`: pay for rows with `split`."""
        raise LeakError(f"the responses of target '{self.name}' were asked for without measuring; use split(rows)")

    def response(self, property: str) -> FloatArray:
        """Always a `LeakError`, as `responses`."""
        return self.responses

    def take(self, rows: ArrayLike) -> Dataset:
        """Always a `LeakError`, as `responses`."""
        raise LeakError(f"rows of target '{self.name}' were taken without measuring; use split(rows)", rows=rows)

    def check_sources(self, sources: Sequence[Dataset]) -> None:
        """Make sure that no source is the target under another name.

        Raises:
            LeakError: If a source holds most of the target's readings to the last digit.
        """
        own = self.__dataset.response(self.__property)
        encoder = Encoder(self.space, fitted_on=self.configurations)
        for source in sources:
            if set(source.space.names) != set(self.space.names):
                continue
            keys = encoder.keys(source.configurations[list(self.space.names)])
            known = dict(zip(keys.tolist(), source.responses.get(self.__property, np.empty(0)).tolist(), strict=False))
            equal = sum(known.get(key) == value for key, value in zip(self.__keys.tolist(), own.tolist(), strict=True))
            if equal >= COPIED_ROWS and 2 * equal > len(own):
                raise LeakError(
                    f"source '{source.environment.name}' holds {equal} of the {len(own)} readings of target "
                    f"'{self.name}' to the last digit: it would be predicted from itself; take it out of the sources",
                    source=source.environment.name,
                )

    def split(self, rows: ArrayLike, *, max_test_rows: int | None = None, rng: np.random.Generator) -> "Split":
        """Pay for rows; all rows of other configurations become the test.

        Args:
            rows: Row numbers of `configurations`, distinct.
            max_test_rows: Most rows of the test; None for all.
            rng: Thins the test.

        Raises:
            LeakError: If a row is asked for twice or does not exist.
            NotEnoughDataError: If no row is left to test on.
        """
        chosen = np.asarray(rows, dtype=np.intp)
        if len(np.unique(chosen)) < len(chosen) or np.any((chosen < 0) | (chosen >= len(self))):
            raise LeakError(f"target '{self.name}': the rows to measure must be distinct, of 0 to {len(self) - 1}")
        # A replicate of a measured configuration is no test of anything.
        rest = np.flatnonzero(~np.isin(self.__keys, self.__keys[chosen]))
        if not len(rest):
            raise NotEnoughDataError(
                f"target '{self.name}': {len(chosen)} of {len(self)} rows measured leave no configuration to test on; "
                "give a smaller budget"
            )
        if max_test_rows is not None and len(rest) > max_test_rows:
            rest = np.sort(rng.choice(rest, max_test_rows, replace=False))
        return Split(self.__dataset.take(chosen), self.__dataset.take(rest), self.__property)

    # Last, for the name hides the decorator from what follows.
    @property
    def property(self) -> Property:
        """What is predicted."""
        return self.__dataset.properties[self.__property]


class Split:
    """Measured rows, and test rows that answer only after they were predicted; made by `GuardedTarget.split`.

    Args:
        measured: What was paid for.
        test: What was not.
        property: What is predicted.

    Raises:
        LeakError: If a configuration is in both.
    """

    __slots__ = ("__property", "__test", "measured")

    def __init__(self, measured: Dataset, test: Dataset, property: str) -> None:
        check_disjoint(measured, test)
        self.measured = measured
        self.__test = test
        self.__property = property

    @property
    def test_configurations(self) -> pd.DataFrame:
        """What is to be predicted."""
        return self.__test.configurations

    @property
    def cost_s(self) -> float:
        """Seconds that measuring the paid rows took; NaN if that is not known of all."""
        return float(np.sum(self.measured.cost_s))

    def errors(self, predict: Callable[[pd.DataFrame], FloatArray]) -> Errors:
        """Return the errors of predictions of the test rows; see `held_out_errors`."""
        return _errors(predict, self.__test, self.__property)


def held_out_errors(
    predict: Callable[[pd.DataFrame], FloatArray], *, measured: Dataset, test: Dataset, property: str
) -> Errors:
    """Return the errors of a model on rows it was not fitted on.

    Args:
        predict: From configurations, m rows, to predictions, shape (m,).
        measured: The rows the model was fitted on.
        test: The rows it is judged on.
        property: Name of the response.

    Raises:
        LeakError: If a configuration is in both.
        UsageError: If a prediction is not finite.
    """
    check_disjoint(measured, test)
    return _errors(predict, test, property)


def check_disjoint(measured: Dataset, test: Dataset) -> None:
    """Make sure that no configuration is measured and tested.

    Raises:
        LeakError: Naming the first shared one.
    """
    encoder = Encoder(test.space, fitted_on=test.configurations)
    shared: NDArray[np.intp] = np.flatnonzero(
        np.isin(encoder.keys(test.configurations), encoder.keys(measured.configurations))
    )
    if len(shared):
        first = ", ".join(f"{name} = {level}" for name, level in test.configurations.iloc[shared[0]].items())
        raise LeakError(
            f"{len(shared)} of {len(test)} test rows have a configuration the model was fitted on, the first: {first}; "
            "an error on them says nothing about new configurations",
            rows=shared,
        )


def _errors(predict: Callable[[pd.DataFrame], FloatArray], test: Dataset, property: str) -> Errors:
    # All predictions are made before the first response is looked at; the copy is the strategy's to spoil.
    predicted = predict(test.configurations.copy())
    return errors(test.response(property), predicted, minimise=test.properties[property].direction != "maximise")
