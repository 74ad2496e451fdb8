# ruff: noqa: S101  # asserting is what a kit is for
"""Conformance kit for samplers.

Subclass it in a test file, say how the sampler is made, and pytest collects the tests:

    class TestMySampler(SamplerKit):
        def make(self, space: Space) -> Sampler:
            return MySampler()

It needs pytest, which the package itself does not.
"""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from perfport.data.dataset import Dataset
from perfport.errors import UsageError
from perfport.sampling.base import Sampler
from perfport.space.options import Option
from perfport.space.space import Space

__all__ = ["SAMPLED_SPACES", "SamplerKit", "measured_rows"]


def _plain() -> Space:
    return Space(
        [
            Option(name="threads", type="integer", lower=1, upper=6),
            Option(name="mode", type="categorical", values=("eager", "graph", "compiled")),
            Option(name="arena", type="boolean"),
            Option(name="device", type="categorical", values=("cpu",)),
        ]
    )


def _ruled() -> Space:
    return Space(
        [
            Option(name="cores", type="ordinal", values=(1, 2, 4, 8)),
            Option(name="streams", type="ordinal", values=(1, 2, 4)),
            Option(name="mode", type="categorical", values=("sequential", "parallel", "async")),
            Option(name="inter_threads", type="integer", lower=1, upper=4, default=2),
            Option(name="pattern", type="boolean"),
        ],
        conditions=[{"option": "inter_threads", "when": "mode == 'parallel'"}],
        forbidden=["mode == 'async' and pattern == True"],
        constraints=["streams <= cores"],
    )


def _ranges() -> Space:
    return Space(
        [
            Option(name="clock_hz", type="float", lower=1e8, upper=2e9, scale="log"),
            Option(name="share", type="float", lower=0.0, upper=1.0),
            Option(name="boost", type="boolean"),
            Option(name="boost_s", type="float", lower=0.1, upper=10.0, scale="log"),
        ],
        conditions=[{"option": "boost_s", "when": "boost == True"}],
    )


def _wide() -> Space:
    flags = [Option(name=f"flag_{number}", type="boolean") for number in range(24)]
    return Space(
        [*flags, Option(name="tile", type="ordinal", values=(1, 2, 4, 8, 16))],
        forbidden=["flag_0 == True and flag_1 == True"],
        constraints=["tile >= 2"],
    )


SAMPLED_SPACES = {"plain": _plain(), "ruled": _ruled(), "ranges": _ranges(), "wide": _wide()}
"""Spaces a sampler must cope with: a constant option, rules, inactive options, float ranges, 2^24 configurations."""


def measured_rows(space: Space, n: int, rng: np.random.Generator) -> Dataset:
    """Return n measured configurations whose response depends on every option and on pairs of them."""
    configurations = space.sample(n, rng)
    effects = [
        (pd.factorize(configurations[name], sort=True)[0] + 1) / (len(configurations[name].unique()) + 1)
        for name in space.names
    ]
    response = 1.0 + sum(effects) + sum(a * b for a, b in pairwise(effects))
    frame = configurations.assign(response_s=np.asarray(response, dtype=np.float64))
    return Dataset.from_frame(frame, properties=["response_s"], space=space)


def _global_state() -> str:
    return str(np.random.get_state())  # noqa: NPY002  # that nobody touches it is what is tested


class SamplerKit:
    """The contract of `sampling.base.Sampler`."""

    def make(self, space: Space) -> Sampler:
        """Return the sampler under test; the space is given for those that must know it."""
        raise NotImplementedError("a kit's subclass says how the object is made")

    @pytest.mark.parametrize("n", [1, 13])
    @pytest.mark.parametrize("name", list(SAMPLED_SPACES))
    def test_as_many_valid_distinct_configurations_as_asked_for(self, name: str, n: int) -> None:
        """Fewer only if there are no more."""
        space = SAMPLED_SPACES[name]
        proposed = self.make(space).propose(space, n, rng=np.random.default_rng(1))
        assert len(proposed) == n
        assert list(proposed.columns) == list(space.names)
        assert list(proposed.index) == list(range(n))
        assert np.all(space.is_valid(proposed))
        assert not proposed.duplicated().any()

    @pytest.mark.parametrize("name", ["plain", "ruled"])
    def test_asking_for_more_than_there_is_gives_all(self, name: str) -> None:
        """A small space is proposed whole."""
        space = SAMPLED_SPACES[name]
        size = space.size()
        assert size is not None
        proposed = self.make(space).propose(space, size + 5, rng=np.random.default_rng(1))
        assert len(proposed) == size
        assert not proposed.duplicated().any()
        assert len(self.make(space).propose(space, size - 1, rng=np.random.default_rng(1))) == size - 1

    @pytest.mark.parametrize("name", list(SAMPLED_SPACES))
    def test_same_rng_same_answer(self, name: str) -> None:
        """Randomness comes from the generator alone."""
        space = SAMPLED_SPACES[name]
        before = _global_state()
        one, other = (self.make(space).propose(space, 9, rng=np.random.default_rng(3)) for _ in range(2))
        pd.testing.assert_frame_equal(one, other)
        assert before == _global_state()

    @pytest.mark.parametrize("name", list(SAMPLED_SPACES))
    def test_candidates_are_taken_with_their_labels(self, name: str) -> None:
        """Whoever asks can find the rows again, and the table is left alone."""
        space = SAMPLED_SPACES[name]
        candidates = space.sample(40, np.random.default_rng(0))
        candidates.index = pd.Index([f"row {number}" for number in range(len(candidates))])
        untouched = candidates.copy(deep=True)
        proposed = self.make(space).propose(space, 11, rng=np.random.default_rng(1), candidates=candidates)
        assert len(proposed) == 11
        assert proposed.index.is_unique
        pd.testing.assert_frame_equal(proposed, candidates.loc[proposed.index])
        pd.testing.assert_frame_equal(candidates, untouched)

    def test_candidates_that_repeat_are_proposed_once(self) -> None:
        """Distinct means distinct configurations, not distinct rows."""
        space = SAMPLED_SPACES["plain"]
        few = space.sample(6, np.random.default_rng(0))
        candidates = pd.concat([few, few, few], ignore_index=True)
        proposed = self.make(space).propose(space, 10, rng=np.random.default_rng(1), candidates=candidates)
        assert len(proposed) == 6
        assert not proposed.duplicated().any()

    def test_invalid_candidates_are_never_proposed(self) -> None:
        """The rules of the space hold for a table, too."""
        space = SAMPLED_SPACES["ruled"]
        valid = space.sample(20, np.random.default_rng(0))
        broken = valid.assign(cores=1, streams=4)
        candidates = pd.concat([broken, valid], ignore_index=True)
        proposed = self.make(space).propose(space, 15, rng=np.random.default_rng(1), candidates=candidates)
        assert len(proposed) == 15
        assert np.all(space.is_valid(proposed))
        with pytest.raises(UsageError, match="none of the 20 candidates"):
            self.make(space).propose(space, 5, rng=np.random.default_rng(1), candidates=broken)

    @pytest.mark.parametrize("name", list(SAMPLED_SPACES))
    def test_measured_configurations_are_not_proposed_again(self, name: str) -> None:
        """A second reading of the same configuration is not what a sampler is asked for."""
        space = SAMPLED_SPACES[name]
        measured = measured_rows(space, 12, np.random.default_rng(0))
        proposed = self.make(space).propose(space, 12, rng=np.random.default_rng(0), measured=measured)
        both = space.typed(pd.concat([measured.configurations, proposed], ignore_index=True))
        assert len(both) == 24
        assert not both.duplicated().any()

    def test_when_all_is_measured_nothing_is_proposed(self) -> None:
        """An empty answer, not an error: a loop over rounds ends by itself."""
        space = SAMPLED_SPACES["plain"]
        measured = measured_rows(space, 1000, np.random.default_rng(0))
        assert len(self.make(space).propose(space, 3, rng=np.random.default_rng(0), measured=measured)) == 0

    def test_less_than_one_is_refused(self) -> None:
        """The message says what is allowed."""
        space = SAMPLED_SPACES["plain"]
        with pytest.raises(UsageError, match="give 1 or more"):
            self.make(space).propose(space, 0, rng=np.random.default_rng(0))
