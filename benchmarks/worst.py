"""Which transfers are worse than the best reference strategy, and why, as a Markdown table.

    python benchmarks/references.py DATA --out FOLDER
    python benchmarks/worst.py FOLDER/results.csv FOLDER/references.csv --data DATA

Both files, which references.py writes, have the columns system, objective, source, target, n, seed, strategy, rows,
mape (percent); references.csv holds several strategies on random rows, results.csv one on random and proposed ones.
The best reference is the one with the least mean error of a task and budget: chosen in hindsight, which nobody can
do.

Causes are read off all rows of both environments, which no strategy sees:

    unrelated      ranks of source and target correlate by less than 0.3
    plateaus       most of the spread of the log response is a gap between two groups
    one factor     the best reference has at most two parameters, and ranks correlate by more than 0.95
    easy target    the best reference uses no source
    few rows       none of these
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

import perfport
from perfport.data.dataset import Dataset
from perfport.space.encoding import Encoder

FloatArray = NDArray[np.float64]

KEY = ["system", "objective", "source", "target", "n"]
WORSE = 1.05  # smaller differences are noise
SHIFTS = ("direct", "scaled", "linear_shift", "log_linear_shift")
ALONE = "target_"  # begins the names of strategies that use no source
UNRELATED, RELATED = 0.3, 0.95
PLATEAU_SHARE = 0.85
MIN_SPREAD = 0.5  # of the log response; less is no plateau that matters


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="CSV of the strategy, by references.py")
    parser.add_argument("references", type=Path, help="CSV of the reference strategies, by references.py")
    parser.add_argument("--data", type=Path, required=True, help="folder with a folder of tables for each system")
    parser.add_argument("--rows", default="proposed", choices=("proposed", "random"))
    a = parser.parse_args()
    results = pd.read_csv(a.results)
    ours = results[results.rows == a.rows].groupby(KEY).mape.mean()
    references = pd.read_csv(a.references).groupby([*KEY, "strategy"]).mape.mean().unstack()
    found = pd.DataFrame(
        {"error": ours, "best": references.min(axis=1), "strategy": references.idxmin(axis=1)}
    ).dropna()
    worse = found[found.error > WORSE * found.best].reset_index()
    worse["ratio"] = worse.error / worse.best
    worse["cause"] = [cause(a.data, row) for _, row in worse.iterrows()]
    print(f"{len(worse)} of {len(found)} cells are more than {WORSE - 1:.0%} worse than the best reference.\n")
    print("| cause | cells | systems |\n|---|---|---|")
    for name, part in sorted(worse.groupby("cause"), key=lambda group: -len(group[1])):
        print(f"| {name} | {len(part)} | {', '.join(sorted(set(part.system)))} |")
    print(
        "\n| system | property | source | target | n | error, % | best reference, % | ratio | cause |\n|" + "---|" * 9
    )
    for _, row in worse.sort_values("ratio", ascending=False).iterrows():
        best = f"{row.best:.3g} ({row.strategy})"
        where = f"| {row.system} | {row.objective} | {row.source} | {row.target} | {row.n} "
        print(f"{where}| {row.error:.3g} | {best} | {row.ratio:.2f} | {row.cause} |")


def cause(data: Path, row: "pd.Series[Any]") -> str:
    """Return the name of the cause of one cell."""
    environments = perfport.read_tables(data / str(row.system)).environments
    source, target = (usable(environments[str(row[role])], str(row.objective)) for role in ("source", "target"))
    rank = rank_correlation(source, target, str(row.objective))
    if rank < UNRELATED:
        return "unrelated"
    if plateau_share(np.log(target.response(str(row.objective)))) > PLATEAU_SHARE:
        return "plateaus"
    if row.strategy in SHIFTS and rank > RELATED:
        return "one factor"
    return "easy target" if str(row.strategy).startswith(ALONE) else "few rows"


def usable(dataset: Dataset, prop: str) -> Dataset:
    """Return the rows with a positive response."""
    return dataset.take(np.flatnonzero(np.nan_to_num(dataset.response(prop)) > 0))


def rank_correlation(source: Dataset, target: Dataset, prop: str) -> float:
    """Return Spearman's correlation over configurations both have; through a forest where they share few."""
    encoder = Encoder(target.space, fitted_on=target.configurations)
    names = [name for name in target.space.names if name in source.space.names]
    if list(names) == list(target.space.names):
        pair = [
            pd.Series(d.response(prop), index=encoder.keys(d.configurations[names])).groupby(level=0).median()
            for d in (source, target)
        ]
        both = pd.concat(pair, axis=1, join="inner")
        if len(both) >= 10:
            return float(spearmanr(both.iloc[:, 0], both.iloc[:, 1]).statistic)
    model = perfport.transfer(sources=[source], target=target.take([0]), property=prop, strategy="direct")
    return float(spearmanr(model.predict(target.configurations), target.response(prop)).statistic)


def plateau_share(log_y: FloatArray) -> float:
    """Return the largest share of the variance that a split in two groups explains; 0 if there is little spread."""
    y = np.sort(log_y)
    n, total = len(y), float(y.var())
    if np.sqrt(total) < MIN_SPREAD or n < 4:
        return 0.0
    left = np.arange(1, n)
    mean_left = np.cumsum(y)[:-1] / left
    mean_right = (y.sum() - np.cumsum(y)[:-1]) / (n - left)
    return float((left * (n - left) / n**2 * (mean_left - mean_right) ** 2).max() / total)


if __name__ == "__main__":
    main()
