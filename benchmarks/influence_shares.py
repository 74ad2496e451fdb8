"""Are the shares of `perfport.explain` those of brute force, and how long does a million configurations take?

For every system with at most 20 000 valid configurations a model of the first environment (from up to 300 of its
rows) is explained, exactly and from a sample of 2000 configurations, and held against the textbook: variances of cell
means (Sobol' 1993), by pandas, over all configurations. Spaces with constraints, which the tables do not have, are
planted; their reference is the definition for dependent options (Hooker 2007) by dense least squares.

    python benchmarks/influence_shares.py FOLDER            # of tables
    python benchmarks/influence_shares.py --million
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import perfport
from perfport.advise.influences.explain import explain
from perfport.advise.influences.explanation import Explanation
from perfport.advise.uncertainty import central_response
from perfport.data.measurement import FloatArray, Property
from perfport.model.base import PerformanceModel
from perfport.seeding import rng_for
from perfport.space.options import Option
from perfport.space.space import Space

TIME = Property("inference_time_s", "s")
LARGEST, MODEL_ROWS, SAMPLE = 20_000, 300, 2000
Shares = dict[tuple[str, ...], float]


@dataclass(frozen=True)
class Law:
    """A model that predicts what a function says."""

    law: Callable[[pd.DataFrame], FloatArray]
    property: Property = TIME

    def predict(self, configurations: pd.DataFrame) -> FloatArray:
        """Return the response of each configuration, shape (n,), in seconds."""
        return self.law(configurations)


def by_means(rows: pd.DataFrame, y: FloatArray) -> Shares:
    """Return Sobol' indices of first and second order of a full factorial."""
    names = [str(name) for name in rows if rows[name].nunique() > 1]
    response, total = pd.Series(y), float(np.var(y))

    def explained(*options: str) -> float:
        codes = [pd.factorize(rows[name])[0] for name in options]
        return float(np.var(response.groupby(codes).transform("mean")) / total)

    shares: Shares = {(name,): explained(name) for name in names}
    for pair in combinations(names, 2):
        shares[pair] = explained(*pair) - shares[pair[0],] - shares[pair[1],]
    return shares


def by_least_squares(rows: pd.DataFrame, y: FloatArray) -> Shares:
    """Return the shares of nested best approximations, where constraints make options dependent."""
    names = [str(name) for name in rows if rows[name].nunique() > 1]
    ones = np.ones((len(rows), 1)) / np.sqrt(len(rows))
    cells = {
        term: _indicators([rows[name] for name in term]) for order in (1, 2) for term in combinations(names, order)
    }
    mains: dict[tuple[str, ...], FloatArray] = {(name,): _without(cells[name,], ones) for name in names}
    pairs: dict[tuple[str, ...], FloatArray] = {
        pair: _without(cells[pair], np.hstack([ones, cells[pair[0],], cells[pair[1],]]))
        for pair in combinations(names, 2)
    }
    centred = y - y.mean()
    total = float(centred @ centred)
    main_sizes, rest = _fit(mains, centred)
    pair_sizes, left = _fit(mains | pairs, rest)
    shares: Shares = {}
    for sizes, explained in (
        (main_sizes, total - rest @ rest),
        ({pair: pair_sizes[pair] for pair in pairs}, rest @ rest - left @ left),
    ):
        whole = max(sum(sizes.values()), 1e-300)
        shares |= {term: float(explained / total * size / whole) for term, size in sizes.items()}
    return shares


def _indicators(columns: "list[pd.Series[Any]]") -> FloatArray:
    _, cell = np.unique(np.column_stack([pd.factorize(c)[0] for c in columns]), axis=0, return_inverse=True)
    Z = (cell[:, None] == np.arange(cell.max() + 1)).astype(np.float64)
    return np.asarray(Z / np.sqrt(Z.sum(axis=0)))


def _without(Z: FloatArray, lower: FloatArray) -> FloatArray:
    U, s, _ = np.linalg.svd(lower, full_matrices=False)
    U = U[:, s > 1e-9]
    return np.asarray(Z - U @ (U.T @ Z))


def _fit(blocks: dict[tuple[str, ...], FloatArray], y: FloatArray) -> tuple[dict[tuple[str, ...], float], FloatArray]:
    stacked = np.hstack(list(blocks.values()))
    b = np.linalg.pinv(stacked, rcond=1e-9) @ y
    ends = np.cumsum([Z.shape[1] for Z in blocks.values()])[:-1]
    parts = zip(blocks.items(), np.split(b, ends), strict=True)
    return {term: float(np.square(Z @ part).sum()) for (term, Z), part in parts}, y - stacked @ b


def worst(explanation: Explanation, wanted: Shares) -> float:
    """Return the largest difference of any share; a pair that was not told apart counts as 0."""
    found = {frozenset(influence.options): influence.share for influence in explanation.influences}
    return max(abs(found.get(frozenset(term), 0.0) - share) for term, share in wanted.items())


def table_models(folder: Path) -> Iterator[tuple[str, PerformanceModel, Space]]:
    """Yield a model of the first environment of every system that is small enough."""
    for path in sorted(folder.iterdir()):
        system = perfport.read_tables(path)
        size = system.space.size() if system.space.is_finite else None
        if size is None or size > LARGEST:
            continue
        rows = next(iter(system.environments.values()))
        rows = rows.take(rng_for(0, "benchmark", path.name).permutation(len(rows))[:MODEL_ROWS])
        name = next(iter(rows.properties))
        yield path.name, perfport.transfer(sources=[], target=rows, property=name), system.space


def constrained_models() -> Iterator[tuple[str, PerformanceModel, Space]]:
    """Yield planted laws on spaces with constraints and conditions."""
    counts = (1, 2, 4, 8)
    options = [
        Option(name="threads", type="ordinal", values=counts),
        Option(name="streams", type="ordinal", values=counts),
        Option(name="batch", type="ordinal", values=(1, 4, 16)),
        Option(name="precision", type="categorical", values=("f32", "bf16", "int8")),
        Option(name="pinning", type="boolean"),
    ]

    def law(rows: pd.DataFrame) -> FloatArray:
        threads, streams, batch = (rows[name].to_numpy(np.float64) for name in ("threads", "streams", "batch"))
        work = np.where(rows["precision"] == "int8", 0.4, 1.0) * batch
        late = np.where(rows["pinning"].to_numpy(bool) & (streams > 2), 1.3, 1.0)
        return np.asarray(0.002 + 0.01 * work * late * np.sqrt(streams) / threads**0.8)

    for constraint in ("threads * streams <= 8", "threads >= streams", "batch <= 4 or precision != 'f32'"):
        yield f"planted, {constraint}", Law(law), Space(options, constraints=[constraint])


def compare_shares(cases: Iterator[tuple[str, PerformanceModel, Space]], reference: Callable[..., Shares]) -> None:
    """Print the largest difference for each case."""
    for name, model, space in cases:
        rows = pd.concat(space.enumerate(), ignore_index=True)
        wanted = reference(rows, np.log(central_response(model, rows)))
        exact = worst(explain(model, space), wanted)
        text = f"{name:42s} {len(rows):6d} configurations, {len(wanted):3d} influences: exact {exact:.1e}"
        if len(rows) > SAMPLE:
            text += f", from a sample of {SAMPLE} {worst(explain(model, space, max_rows=SAMPLE), wanted):.3f}"
        print(text, flush=True)


def explain_a_million() -> None:
    """Print how long a space of a million configurations takes, and how far the sample is off."""
    options = [Option(name=f"option_{i + 1}", type="boolean") for i in range(8)]
    options += [Option(name=f"option_{i + 9}", type="ordinal", values=(1, 2, 4, 8)) for i in range(6)]
    space = Space(options)  # 2^8 * 4^6 = 1 048 576
    few = space.sample(MODEL_ROWS, rng_for(0, "benchmark", "million"))
    source = perfport.Dataset.from_frame(few.assign(inference_time_s=_law(few)), properties=[TIME], space=space)
    model = perfport.transfer(sources=[], target=source, property=TIME.name)
    start, cpu = time.perf_counter(), time.process_time()
    sampled = explain(model, space)
    seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu
    # The second number does not depend on who else uses the machine.
    print(f"{space.size()} configurations explained in {seconds:.1f} s, {cpu_s:.1f} s of one processor", flush=True)
    rows = pd.concat(space.enumerate(), ignore_index=True)
    wanted = by_means(rows, np.log(np.concatenate([central_response(model, part) for part in _chunks(rows)])))
    print(f"largest error of a share {worst(sampled, wanted):.4f}")


def _chunks(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for start in range(0, len(rows), LARGEST):
        yield rows.iloc[start : start + LARGEST].reset_index(drop=True)


def _law(rows: pd.DataFrame) -> FloatArray:
    codes = np.column_stack([pd.Series(rows[name]).astype(float) for name in rows])
    return np.asarray(0.01 * np.exp(0.3 * codes[:, 0] - 0.1 * codes[:, 8] + 0.2 * codes[:, 1] * codes[:, 2]))


def main() -> None:
    """Print what the command line asks for."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("data", nargs="?", type=Path, help="folder of table folders")
    arguments.add_argument("--million", action="store_true")
    given = arguments.parse_args()
    if given.million:
        explain_a_million()
        return
    compare_shares(constrained_models(), by_least_squares)
    if given.data is not None:
        compare_shares(table_models(given.data), by_means)


if __name__ == "__main__":
    main()
