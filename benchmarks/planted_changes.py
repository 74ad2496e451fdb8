"""Are planted changes recovered from 20 target rows? Precision and recall of `perfport.advise.comparison.compare`.

A synthetic system of 12 options (booleans, ordered numbers, categories) with 3 interactions is measured in 300
configurations with 5 % noise. In the target each influence stays, scales (half or double), flips or vanishes, all as
probable, and the whole machine is 1.5 times slower. 20 target rows are chosen by `propose` among 2000 configurations
and measured with the same noise; `compare` sees both sets of rows and nothing else.

    python benchmarks/planted_changes.py --seeds 20
    python benchmarks/planted_changes.py --seeds 20 --rows random     # what choosing the rows is worth

An influence is counted as found if it is named at all, and as right if it is given its planted class too. "strong"
plants effects that move the property by 15 to 65 % to either side; "fading" plants eight mains and three interactions,
each 0.7 times the one before, down to 5 %, the noise of one measurement; for these the influences of 10 % and more are
counted apart.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations, product

import numpy as np
import pandas as pd

import perfport
from perfport.advise.comparison.compare import compare
from perfport.advise.comparison.result import Comparison
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
LARGE = 0.095  # a little below the fifth of the fading ones, 0.6 * 0.7^5 = 0.101
Count = Counter[tuple[str, str]]


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


def compared(source: SyntheticSystem, target: SyntheticSystem, seed: int, how: str) -> Comparison:
    """Measure the source, choose target rows, measure them, compare."""
    rng = rng_for(seed, "benchmark", "rows")
    space = source.space()
    old = measured(source, space.sample(N_SOURCE, rng), "old", rng)
    candidates = space.sample(N_CANDIDATES, rng)
    if how == "random":
        rows = rng.permutation(len(candidates))[:N_TARGET]
    else:
        rows = perfport.propose(sources=[old], candidates=candidates, property=TIME.name, budget=N_TARGET, seed=seed)
    new = measured(target, candidates.iloc[rows].reset_index(drop=True), "new", rng)
    return compare(old, new, seed=seed)


def counted(effects: str, seed: int, how: str, smallest: float) -> tuple[Count, Count]:
    """Return ("planted" | "named" | "found" | "right", class) -> how many; of all influences, and of the large ones."""
    source, target, fate = planted(effects, seed)
    sizes = {frozenset(term.split(":")): abs(effect) for term, effect in source.effects.items()}
    every: Count = Counter()
    large: Count = Counter()
    for term, kind in fate.items():
        for count in (every, large) if sizes[term] >= smallest else (every,):
            count["planted", kind] += 1
    for change in compared(source, target, seed, how).influences:
        term = frozenset(change.options)
        kind = fate.get(term, "")
        # What was never planted is wrong among the large ones too.
        for count in (every, large) if sizes.get(term, np.inf) >= smallest else (every,):
            count["named", change.kind] += 1
            count["found", kind] += bool(kind)
            count["right", change.kind] += kind == change.kind
    return every, large


def lines(count: Count) -> Iterator[str]:
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
            each = list(product([effects], range(given.seeds), [given.rows], [LARGE]))
            every: Count = Counter()
            large: Count = Counter()
            for of_all, of_large in pool.map(counted, *zip(*each, strict=True)):
                every.update(of_all)
                large.update(of_large)
            print(f"{effects}:", *lines(every), sep="\n", flush=True)
            if every != large:
                print(f"{effects}, of 10 % and more:", *lines(large), sep="\n", flush=True)


if __name__ == "__main__":
    main()
