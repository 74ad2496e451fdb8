"""Every built-in sampler through the kit."""

from typing import ClassVar

import numpy as np
import pytest

from perfport.plugins import resolve
from perfport.sampling import BUILTIN
from perfport.sampling.base import LearnsFromSource, Sampler
from perfport.sampling.covering import TWise
from perfport.sampling.designs import FullFactorial
from perfport.sampling.distance import DistanceBased
from perfport.sampling.optimal import DOptimal
from perfport.space.space import Space
from perfport.testing.kits_sampling import SamplerKit, measured_rows


class BuiltinKit(SamplerKit):
    """The kit for a sampler by its name."""

    name: ClassVar[str]

    def make(self, space: Space) -> Sampler:
        sampler: Sampler = resolve("sampler", self.name, BUILTIN)()
        if isinstance(sampler, LearnsFromSource):
            sampler = sampler.with_source(measured_rows(space, 60, np.random.default_rng(5)), "response_s")
        return sampler


class TestRandom(BuiltinKit):
    name = "random"


class TestWithReplacement(BuiltinKit):
    name = "with_replacement"


class TestSystematic(BuiltinKit):
    name = "systematic"


class TestStratified(BuiltinKit):
    name = "stratified"


class TestKMeans(BuiltinKit):
    name = "k_means"


class TestLatinHypercube(BuiltinKit):
    name = "latin_hypercube"


class TestSobol(BuiltinKit):
    name = "sobol"


class TestFullFactorial(BuiltinKit):
    name = "full_factorial"


class TestFractionalFactorial(BuiltinKit):
    name = "fractional_factorial"


class TestPlackettBurman(BuiltinKit):
    name = "plackett_burman"


class TestBoxBehnken(BuiltinKit):
    name = "box_behnken"


class TestCentralComposite(BuiltinKit):
    name = "central_composite"


class TestOptionWise(BuiltinKit):
    name = "option_wise"


class TestPairwise(BuiltinKit):
    name = "pairwise"


class TestDOptimal(BuiltinKit):
    name = "d_optimal"


class TestDistanceBased(BuiltinKit):
    name = "distance_based"


class TestGuided(BuiltinKit):
    name = "guided"


class TestThreeLevelFactorial(SamplerKit):
    def make(self, space: Space) -> Sampler:
        return FullFactorial(levels=3)


class TestThreeWise(SamplerKit):
    def make(self, space: Space) -> Sampler:
        if len(space) > 10:
            pytest.skip("2300 sets of three options in 5000 configurations take seconds")
        return TWise(strength=3)


class TestDOptimalWithInteractions(SamplerKit):
    def make(self, space: Space) -> Sampler:
        return DOptimal(interactions=True, exchanges=1)


class TestDistanceBasedBinomial(SamplerKit):
    def make(self, space: Space) -> Sampler:
        return DistanceBased(distribution="binomial", diverse=False)


def test_every_built_in_sampler_is_tested() -> None:
    assert {kit.name for kit in BuiltinKit.__subclasses__()} == set(BUILTIN)
