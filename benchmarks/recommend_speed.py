"""How long a recommendation out of a million configurations takes, and what it misses.

A transferred model (500 source rows, 20 target rows, ten options of four levels) recommends from all
4^10 = 1 048 576 configurations, alone and traded off against a second property under a limit. What the
stand-in misses is counted on the 4^8 = 65 536 configurations of a smaller space, where the model can be
asked about every one.

    python benchmarks/recommend_speed.py --seeds 3
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import perfport
from perfport.advise.recommendation.seeking import MAX_EXACT
from perfport.transfer.transferred import TransferredModel

N_BEST = 20


def made(n_options: int, seed: int, property: str) -> tuple[perfport.Space, TransferredModel]:
    """Return a space and a model of planted main effects and six interactions."""
    space = perfport.Space(
        [perfport.Option(name=f"o{i}", type="ordinal", values=(1, 2, 3, 4)) for i in range(n_options)]
    )
    rng = np.random.default_rng(seed)
    main, drift = rng.normal(0, 0.3, (2, n_options, 4))
    pairs = [rng.choice(n_options, 2, replace=False) for _ in range(6)]
    both = rng.normal(0, 0.25, (6, 4, 4))

    def rows(n: int, share: float) -> perfport.Dataset:
        frame = space.sample(n, rng)
        codes = frame.to_numpy(int) - 1
        log = sum((main + share * drift)[i][codes[:, i]] for i in range(n_options))
        log = log + sum(table[codes[:, a], codes[:, b]] for table, (a, b) in zip(both, pairs, strict=True))
        return perfport.Dataset.from_frame(frame.assign(**{property: np.exp(log)}), properties=[property], space=space)

    source, target = rows(500, 0.0), rows(20, 0.3)
    return space, perfport.transfer(sources=[source], target=target, property=property)


def timed(what: str, call: Callable[[], Any]) -> Any:
    """Print the seconds a call takes; return what it returns."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = call()
    print(f"{what}: {time.perf_counter() - wall:.2f} s ({time.process_time() - cpu:.2f} s of CPU)")
    return found


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="models of which misses are counted")
    a = parser.parse_args()
    space, model = made(10, 0, "inference_time_s")
    _, other = made(10, 1, "energy_j")
    size = space.size()
    timed(f"the best 5 of {size}", lambda: perfport.recommend(model, candidates=space, n=5))
    goal = "inference_time_s <= 1 s, minimise energy_j and inference_time_s"
    found = timed(
        f"the front of two of {size}, with a limit",
        lambda: perfport.trade_off([model, other], candidates=space, goal=goal),
    )
    print(f"  {len(found.offers)} offers, limits kept: {found.is_kept}")
    for seed in range(a.seeds):
        space, model = made(8, seed, "inference_time_s")
        everything = pd.concat(list(space.enumerate()), ignore_index=True)
        exact = np.sort(timed(f"every one of {len(everything)}", lambda: model.predict_median(everything)))  # noqa: B023
        best = perfport.recommend(model, candidates=space, n=N_BEST)
        hits = sum(one.predicted <= exact[N_BEST - 1] * (1 + 1e-9) for one in best)
        print(f"  {hits} of the best {N_BEST} found; the first is {best[0].predicted / exact[0]:.4f} times the best")
    print(f"(up to {MAX_EXACT} configurations every one is asked about)")


if __name__ == "__main__":
    main()
