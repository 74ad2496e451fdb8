"""Are planted changes recovered from 20 target rows? Precision and recall of `perfport.advise.compare`.

A synthetic system of 12 options (booleans, ordered numbers, categories) with 3 interactions is measured in 300
configurations with 5 % noise. In the target each influence stays, scales (half or double), flips or vanishes, all as
probable, and the whole machine is 1.5 times slower. 20 target rows are chosen by `propose` among 2000 configurations
and measured with the same noise; `compare` sees both sets of rows and nothing else.

    python benchmarks/planted_changes.py --seeds 20
    python benchmarks/planted_changes.py --seeds 20 --rows random     # what choosing the rows is worth

An influence is counted as found if it is named at all, and as right if it is given its planted class too. "strong"
plants effects that move the property by 15 to 65 % to either side; "fading" plants eight mains and three interactions,
each 0.7 times the one before, down to 5 %: the noise of one measurement.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations, product

import numpy as np
import pandas as pd

import perfport
from perfport.advise.compare import compare
from perfport.advise.comparison import Comparison
from perfport.data.dataset import Dataset
from perfport.data.environment import Environment
from perfport.data.measurement import Property
from perfport.measure.systems.synthetic import SyntheticSystem
from perfport.seeding import rng_for

TIME = Property("inference_time_s", "s")
N_OPTIONS, N_INTERACTIONS, NOISE = 12, 3, 0.05
N_SOURCE, N_TARGET, N_CANDIDATES = 300, 20, 2000
FATES = ("stays", "scales", "flips", "vanishes")
EFFECTS = ("strong", "fading")


def planted(effects: str, seed: int) -> tuple[SyntheticSystem, SyntheticSystem, dict[frozenset[str], str]]:
    """Return source, target, and what becomes of each influence."""
    source = SyntheticSystem(n_options=N_OPTIONS, n_interactions=N_INTERACTIONS, seed=seed, noise=NOISE)
    rng = rng_for(seed, "benchmark", "planted")
    if effects == "strong":
        source = SyntheticSystem(n_options=N_OPTIONS, noise=NOISE, effects=_strong(source, rng))
    terms = list(source.effects)
    # Every class at least once.
    fates = [*FATES, *rng.choice(FATES, len(terms) - len(FATES))]
    fate = dict(zip(terms, rng.permutation(fates).tolist(), strict=True))
    target = source.related(
        seed,
        scale={term: float(rng.choice([0.5, 2.0])) for term in terms if fate[term] == "scales"},
        flip=[term for term in terms if fate[term] == "flips"],
        drop=[term for term in terms if fate[term] == "vanishes"],
        base_ratio=1.5,
    )
    return source, target, {frozenset(term.split(":")): kind for term, kind in fate.items()}


def _strong(system: SyntheticSystem, rng: np.random.Generator) -> dict[str, float]:
    """Six mains and three interactions among them."""
    names = rng.permutation([option.name for option in system.options])[:6].tolist()
    pairs = list(combinations(names, 2))
    terms = [*names, *(":".join(pairs[i]) for i in rng.permutation(len(pairs))[:N_INTERACTIONS])]
    return {term: float(rng.choice([-1.0, 1.0]) * rng.uniform(0.15, 0.5)) for term in terms}


def measured(system: SyntheticSystem, rows: pd.DataFrame, name: str, rng: np.random.Generator) -> Dataset:
    """Return the rows with one noisy measurement each."""
    time_s = system.truth(rows) * np.exp(NOISE * rng.standard_normal(len(rows)))
    return Dataset(system.space(), Environment(name), {TIME.name: TIME}, rows, {TIME.name: time_s})


def compared(effects: str, seed: int, how: str) -> tuple[Comparison, dict[frozenset[str], str]]:
    """Measure, choose, measure, compare."""
    source, target, fate = planted(effects, seed)
    rng = rng_for(seed, "benchmark", "rows")
    space = source.space()
    old = measured(source, space.sample(N_SOURCE, rng), "old", rng)
    candidates = space.sample(N_CANDIDATES, rng)
    if how == "random":
        rows = rng.permutation(len(candidates))[:N_TARGET]
    else:
        rows = perfport.propose(sources=[old], candidates=candidates, property=TIME.name, budget=N_TARGET, seed=seed)
    new = measured(target, candidates.iloc[rows].reset_index(drop=True), "new", rng)
    return compare(old, new, seed=seed), fate


def counted(effects: str, seed: int, how: str) -> Counter[tuple[str, str]]:
    """Return ("planted" | "named" | "found" | "right", class) -> how many."""
    comparison, fate = compared(effects, seed, how)
    count: Counter[tuple[str, str]] = Counter()
    for kind in fate.values():
        count["planted", kind] += 1
    for change in comparison.influences:
        count["named", change.kind] += 1
        kind = fate.get(frozenset(change.options), "")
        count["found", kind] += bool(kind)
        count["right", change.kind] += kind == change.kind
    return count


def lines(count: Mapping[tuple[str, str], int]) -> Iterator[str]:
    """Precision and recall: of the influential set, of the classes, of each class."""
    total = Counter[str]()
    for (what, _), n in count.items():
        total[what] += n
    yield row("influential set", total["found"], total["named"], total["planted"])
    yield row("classes", total["right"], total["named"], total["planted"])
    for kind in FATES:
        yield row(f"  {kind}", count["right", kind], count["named", kind], count["planted", kind])


def row(name: str, right: int, named: int, planted_: int) -> str:
    """Return one line of the table."""
    return f"  {name:16s} precision {right / max(named, 1):.3f}  recall {right / max(planted_, 1):.3f}  of {planted_}"


def main() -> None:
    """Print precision and recall."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seeds", type=int, default=20)
    arguments.add_argument("--rows", choices=("propose", "random"), default="propose")
    arguments.add_argument("--jobs", type=int, default=1)
    given = arguments.parse_args()
    print(f"{N_TARGET} target rows ({given.rows}), {NOISE:.0%} noise, {given.seeds} planted pairs of environments")
    with ProcessPoolExecutor(given.jobs) as pool:
        for effects in EFFECTS:
            each = list(product([effects], range(given.seeds), [given.rows]))
            count: Counter[tuple[str, str]] = Counter()
            for part in pool.map(counted, *zip(*each, strict=True)):
                count.update(part)
            print(f"{effects}:", *lines(count), sep="\n", flush=True)


if __name__ == "__main__":
    main()
