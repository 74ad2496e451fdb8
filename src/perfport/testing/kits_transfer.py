# ruff: noqa: S101  # asserting is what a kit is for
"""Conformance kit for transfer strategies.

Subclass it in a test file, say how the strategy is made, and pytest collects the tests:

    class TestMyStrategy(StrategyKit):
        def make(self) -> TransferStrategy:
            return MyStrategy()

It needs pytest, which the package itself does not.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray
from perfport.errors import NotEnoughDataError
from perfport.model.base import PerformanceModel, PredictsInterval, PredictsMedian
from perfport.model.threads import one_thread
from perfport.seeding import rng_for
from perfport.space.options import Option
from perfport.space.space import Space
from perfport.transfer.api import transfer
from perfport.transfer.base import TransferStrategy
from perfport.transfer.prepare import prepare_sources, prepare_target

__all__ = ["TRANSFER_SPACE", "StrategyKit", "environment"]

TRANSFER_SPACE = Space(
    [
        Option(name="clock_hz", type="ordinal", values=(4e8, 8e8, 1.2e9, 2e9)),
        Option(name="threads", type="integer", lower=1, upper=3),
        Option(name="mode", type="categorical", values=("eager", "graph", "compiled")),
        Option(name="arena", type="boolean"),
        Option(name="device", type="categorical", values=("cpu",)),
    ]
)
"""Numbers on a wide range, a count, texts, a flag, and an option that never changes."""

FRAME = pd.DataFrame(
    list(product((4e8, 8e8, 1.2e9, 2e9), (1, 2, 3), ("eager", "graph", "compiled"), (False, True), ("cpu",))),
    columns=list(TRANSFER_SPACE.names),
)
PROPERTY = "response_s"
ORDER = np.random.default_rng(7).permutation(len(FRAME))  # measured rows are the first of these
SOURCE_SEEDS = (1, 2, 3)


def environment(
    name: str, seed: int, *, speed: float = 1.0, frame: pd.DataFrame = FRAME, space: Space = TRANSFER_SPACE
) -> Dataset:
    """Return a dataset of all rows of `frame`: same system, its influences a little different for every seed.

    Args:
        name: Of the environment.
        seed: Of its influences and its noise of 1 %.
        speed: Everything is divided by it.
        frame: Configurations; the option `arena` may be absent.
        space: Their space.
    """
    rng = np.random.default_rng(seed)
    clock, threads, mode = rng.normal(1.0, 0.15, 3)
    compute = 8e8 / frame["clock_hz"].to_numpy(dtype=np.float64) / frame["threads"].to_numpy(dtype=np.float64) ** 0.7
    log_y = clock * np.log(0.3 + threads * compute) - np.log(speed)
    log_y += mode * frame["mode"].map({"eager": 0.4, "graph": 0.1}).fillna(0.0).to_numpy(dtype=np.float64)
    if "arena" in frame.columns:
        log_y -= 0.2 * frame["arena"].to_numpy(dtype=np.float64) * (frame["mode"] == "graph").to_numpy()
    y = np.exp(log_y + rng.normal(0.0, 0.01, len(frame)))
    return Dataset.from_frame(frame.assign(**{PROPERTY: y}), properties=[PROPERTY], space=space, environment=name)


SOURCES = [environment(f"source_{seed}", seed) for seed in SOURCE_SEEDS]
TARGET = environment("target", 11, speed=2.5)


class StrategyKit:
    """The contract of `transfer.base.TransferStrategy`, as `perfport.transfer` calls it.

    Attributes:
        needs_source: Whether it must be given at least one source.
        min_rows: Fewest target rows it can be fitted to; with fewer it raises `NotEnoughDataError`.
        uses_sources: Whether its predictions depend on the sources at all.
    """

    needs_source: ClassVar[bool] = False
    min_rows: ClassVar[int] = 1
    uses_sources: ClassVar[bool] = True

    def make(self) -> TransferStrategy:
        """Return the strategy under test."""
        raise NotImplementedError("a kit's subclass says how the object is made")

    def fitted(self, sources: Sequence[Dataset], target: Dataset, *, seed: int = 0) -> PerformanceModel:
        """Return what `perfport.transfer` would wrap; the refits that its verdict may take are spared."""
        ready = prepare_target(target, property=PROPERTY)
        prepared = prepare_sources(sources, target.space, property=target.properties[PROPERTY])
        with one_thread():
            return self.make().fit(
                [source.dataset for source in prepared],
                ready.dataset,
                property=PROPERTY,
                rng=rng_for(seed, "transfer"),
            )

    def enough(self, sources: Sequence[Dataset]) -> list[Dataset]:
        """Return the sources, or one if there are none and the strategy needs one."""
        return list(sources) or (SOURCES[:1] if self.needs_source else [])

    @pytest.mark.parametrize("q", [0, 1, 3])
    @pytest.mark.parametrize("n", [1, 2, 5, 20])
    def test_predicts_finite_and_positive_from_the_first_row_on(self, n: int, q: int) -> None:
        """Or says that there is not enough, and only where it declares to need more."""
        target = TARGET.take(ORDER[:n])
        if n < self.min_rows or (q == 0 and self.needs_source):
            with pytest.raises(NotEnoughDataError):
                self.fitted(SOURCES[:q], target)
            return
        model = self.fitted(SOURCES[:q], target)
        predicted = _checked(model, FRAME)
        # A wild extrapolation is no prediction: the responses of the target span a factor of about twelve.
        y = TARGET.responses[PROPERTY]
        assert predicted.max() < 50.0 * y.max()
        assert predicted.min() > y.min() / 50.0
        assert model.predict(FRAME.head(0)).shape == (0,)

    def test_a_prediction_depends_on_its_row_alone(self) -> None:
        """Not on its neighbours or its label, and the frame is left alone."""
        model = self.fitted(SOURCES[:2], TARGET.take(ORDER[:10]))
        part = FRAME.iloc[ORDER[20:26]].copy()
        part.index = pd.Index([f"row {i}" for i in range(len(part))])
        untouched = part.copy(deep=True)
        _same(model.predict(part), np.asarray(model.predict(FRAME))[ORDER[20:26]])
        _same(model.predict(part.iloc[[3]]), np.asarray(model.predict(part))[[3]])
        pd.testing.assert_frame_equal(part, untouched)

    @pytest.mark.parametrize("q", [1, 3])
    def test_the_order_of_rows_options_and_sources_changes_nothing(self, q: int) -> None:
        """To a relative 1e-9."""
        expected = self.fitted(SOURCES[:q], TARGET.take(ORDER[:10])).predict(FRAME)
        rng = np.random.default_rng(3)
        sources = [_shuffled(source, rng) for source in SOURCES[:q]][::-1]
        again = self.fitted(sources, _shuffled(TARGET.take(ORDER[:10]), rng))
        _same(again.predict(FRAME[list(reversed(FRAME.columns))]), expected)

    @pytest.mark.parametrize("factor", [1e-3, 1e6])
    def test_another_unit_gives_the_same_predictions_in_it(self, factor: float) -> None:
        """Responses times a factor, in all environments, are predictions times the factor."""
        expected = np.asarray(self.fitted(SOURCES[:2], TARGET.take(ORDER[:10])).predict(FRAME))
        sources = [_with(source, source.responses[PROPERTY] * factor) for source in SOURCES[:2]]
        again = self.fitted(sources, _with(TARGET, TARGET.responses[PROPERTY] * factor).take(ORDER[:10]))
        np.testing.assert_allclose(again.predict(FRAME), factor * expected, rtol=1e-5)

    def test_an_option_that_never_changes_changes_nothing(self) -> None:
        """Neither one level in all rows nor its absence says anything."""
        slim = Space([option for option in TRANSFER_SPACE.options if option.name != "device"])
        expected = self.fitted(SOURCES[:1], TARGET.take(ORDER[:8])).predict(FRAME)
        names = list(slim.names)
        sources, target = (
            [replace(d, space=slim, configurations=d.configurations[names]) for d in ds]
            for ds in (SOURCES[:1], [TARGET.take(ORDER[:8])])
        )
        got = self.fitted(sources, target[0]).predict(FRAME[names])
        # Not the same to the last digit: trees draw their splits from a list of columns, and rows are sorted by key.
        assert np.median(np.abs(np.log(got / np.asarray(expected)))) < 0.15

    def test_rows_measured_more_than_once(self) -> None:
        """Replicates that agree and replicates that do not are both only rows."""
        rows = np.concatenate([ORDER[:6], ORDER[:6], ORDER[:1]])
        y = TARGET.responses[PROPERTY][rows]
        exact = TARGET.take(rows)
        apart = _with(exact, y * np.exp(np.random.default_rng(0).normal(0.0, 0.05, len(y))))
        for target in (exact, apart):
            _checked(self.fitted(self.enough(SOURCES[:1]), target), FRAME)

    @pytest.mark.parametrize("q", [0, 1])
    def test_one_distinct_response(self, q: int) -> None:
        """All rows alike, in the target and then in the sources too: nothing to divide by."""
        flat = _with(TARGET, np.full(len(FRAME), 3.0)).take(ORDER[:12])
        sources = self.enough(SOURCES[:q])
        predicted = _checked(self.fitted(sources, flat), FRAME.iloc[ORDER[:12]])
        if not sources:
            np.testing.assert_allclose(predicted, 3.0, rtol=0.05)
        constant = [_with(source, np.full(len(FRAME), 2.0)) for source in sources]
        _checked(self.fitted(constant, flat), FRAME)

    def test_configurations_that_are_all_the_same(self) -> None:
        """Five readings of one configuration are still target rows."""
        rows = np.full(max(5, self.min_rows), ORDER[0])
        _checked(self.fitted(self.enough([]), TARGET.take(rows)), FRAME)

    def test_an_option_only_one_side_has(self) -> None:
        """It cannot be transferred, and does not stop what can."""
        wide = Space([*TRANSFER_SPACE.options, Option(name="turbo", type="boolean")])
        turbo = np.arange(len(FRAME)) % 2 == 0
        other = environment("more", 1, frame=FRAME.assign(turbo=turbo), space=wide)
        slim = Space([option for option in TRANSFER_SPACE.options if option.name != "arena"])
        fewer = environment("fewer", 2, frame=FRAME[list(slim.names)], space=slim)
        _checked(self.fitted([other, fewer], TARGET.take(ORDER[:6])), FRAME)

    def test_levels_nobody_has_measured(self) -> None:
        """In the target, in the sources, or in neither."""
        options = [
            Option(name="mode", type="categorical", values=("eager", "graph", "compiled", "traced"))
            if option.name == "mode"
            else Option(name="clock_hz", type="ordinal", values=(4e8, 8e8, 1.2e9, 2e9, 3e9))
            if option.name == "clock_hz"
            else option
            for option in TRANSFER_SPACE.options
        ]
        space = Space(options)
        here = FRAME.iloc[ORDER[:12]].reset_index(drop=True)
        here.loc[:1, "mode"] = "traced"
        target = environment("target", 11, frame=here, space=space)
        asked = FRAME.assign(mode=["traced", "eager"] * (len(FRAME) // 2), clock_hz=3e9)
        _checked(self.fitted(SOURCES[:2], target), pd.concat([FRAME, asked], ignore_index=True))

    def test_all_randomness_comes_from_the_seed(self) -> None:
        """The same seed gives the same model, and the global random state is neither read nor written."""
        target = TARGET.take(ORDER[:10])
        before = _global_state()
        expected = np.asarray(self.fitted(SOURCES[:2], target, seed=5).predict(FRAME))
        assert _global_state() == before
        np.random.seed(1)  # noqa: NPY002  # nobody may notice
        np.testing.assert_array_equal(self.fitted(SOURCES[:2], target, seed=5).predict(FRAME), expected)

    def test_rows_that_were_not_measured_are_not_read(self) -> None:
        """Whatever the rest of the target does, the model is the same."""
        expected = np.asarray(self.fitted(SOURCES[:1], TARGET.take(ORDER[:7])).predict(FRAME))
        y = np.array(TARGET.responses[PROPERTY])
        y[ORDER[7:]] *= 100.0
        again = self.fitted(SOURCES[:1], _with(TARGET, y).take(ORDER[:7]))
        np.testing.assert_array_equal(again.predict(FRAME), expected)

    def test_rows_that_failed_do_no_harm(self) -> None:
        """They are dropped, in the target and in the sources, and the verdict says how many."""
        status = np.full(len(FRAME), "ok", dtype="<U8")
        status[ORDER[::4]] = "failed"
        sources, target = (
            replace(
                d,
                status=status,
                responses={PROPERTY: np.where(status == "ok", d.responses[PROPERTY], np.nan)},
                log_se={},
            )
            for d in (SOURCES[0], TARGET)
        )
        rows = ORDER[:8]
        model = transfer(sources=[sources], target=target.take(rows), property=PROPERTY, strategy=self.make())
        _checked(model, FRAME)
        assert any("dropped" in note and "target" in note for note in model.verdict.notes)
        clean = self.fitted([sources], TARGET.take(rows[status[rows] == "ok"]))
        _same(model.predict(FRAME), clean.predict(FRAME))

    def test_the_public_function_judges_it_and_gives_intervals(self) -> None:
        """An estimated error, limits in order around the median, wider for more coverage."""
        model = transfer(
            sources=SOURCES[:1], target=TARGET.take(ORDER[:8]), property=PROPERTY, strategy=self.make(), seed=1
        )
        assert model.verdict.estimated_error_pct is not None
        assert np.isfinite(model.verdict.estimated_error_pct)
        median = model.predict_median(FRAME)
        inner, outer = model.predict_interval(FRAME, coverage=0.5), model.predict_interval(FRAME, coverage=0.95)
        assert np.all((outer[0] <= inner[0]) & (inner[0] <= median * (1 + 1e-9)))
        assert np.all((median <= inner[1] * (1 + 1e-9)) & (inner[1] <= outer[1]))
        assert np.all(outer[0] >= 0.0)

    def test_declares_truly_whether_it_uses_sources(self) -> None:
        """What is declared not to be used is not, and what is declared to be used is."""
        target = TARGET.take(ORDER[:8])
        # In one of them everything matters, in the other threads alone do.
        sources = (SOURCES[0], _with(SOURCES[0], 0.1 + 1.0 / FRAME["threads"].to_numpy(dtype=np.float64)))
        one, other = (np.asarray(self.fitted([source], target).predict(FRAME)) for source in sources)
        assert np.array_equal(one, other) != self.uses_sources


def _checked(model: PerformanceModel, configurations: pd.DataFrame) -> FloatArray:
    """Return the predictions after checking that they, and any median and limits, are finite and positive."""
    predicted = np.asarray(model.predict(configurations))
    assert predicted.shape == (len(configurations),)
    assert predicted.dtype == np.float64
    assert np.all(np.isfinite(predicted) & (predicted > 0))
    assert model.property.name == PROPERTY
    if isinstance(model, PredictsMedian):
        median = model.predict_median(configurations)
        assert np.all(np.isfinite(median) & (median > 0))
    if isinstance(model, PredictsInterval):
        lower, upper = model.predict_interval(configurations, coverage=0.9)
        assert np.all((lower >= 0) & (lower <= upper))
    return predicted


def _same(got: FloatArray, expected: FloatArray) -> None:
    np.testing.assert_allclose(got, expected, rtol=1e-9)


def _with(dataset: Dataset, y: FloatArray) -> Dataset:
    return replace(dataset, responses={PROPERTY: y}, log_se={})


def _shuffled(dataset: Dataset, rng: np.random.Generator) -> Dataset:
    """Return the same dataset with rows and options in another order."""
    mixed = dataset.take(rng.permutation(len(dataset)))
    options = [mixed.space.options[i] for i in rng.permutation(len(mixed.space.options))]
    space = Space(options)
    return replace(mixed, space=space, configurations=mixed.configurations[list(space.names)])


def _global_state() -> str:
    return str(np.random.get_state())  # noqa: NPY002  # that nobody touches it is what is tested
