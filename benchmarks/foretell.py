"""How well relatedness foretells what a transfer gains, over all tasks of a finished study.

The gain of a task at a budget is the error without a source over the error with it, on rows not
measured. Relatedness is computed twice: from all rows of the target, as one who looks back would, and
from as many as the transfer has, as one who decides must. Every measure is judged by its rank
correlation with the gain and by how often it puts two tasks, one that a source helped and one that it
did not, in the right order (area under the curve; 0.5 is chance); and so is the expected gain, with
coefficients learnt without the system that is judged.

    perfport study examples/twenty_systems/study.yaml --data FOLDER --out twenty_systems
    python benchmarks/foretell.py --data FOLDER --study twenty_systems
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from perfport.data.dataset import Dataset
from perfport.seeding import rng_for
from perfport.study.run import study_data
from perfport.transfer.prepare import prepare_target
from perfport.transfer.relatedness import Relatedness, gain_features, relatedness
from perfport.transfer.verdict import CLEAR_GAIN

FloatArray = NDArray[np.float64]

TASK = ["system", "sources", "target", "property"]
MEASURES = ["spearman", "pearson", "scaled_error_pct", "ks_distance", "options_kept", "interactions_kept"]


def main() -> None:
    """Print the coefficients and the two tables."""
    given = _arguments()
    gains = _gains(given.study, given.strategy, given.baseline)
    environments = study_data(given.data)
    found = pd.DataFrame(
        [row for task, group in _by_task(gains) for row in _foretold(task, group, environments, given)]
    )
    print(f"{len(gains[TASK].drop_duplicates())} tasks of {gains['system'].nunique()} systems")
    measured = found[found["rows"] == "as many as measured"]
    helped = (measured["gain"] >= CLEAR_GAIN).groupby(measured["n"]).mean()
    print("share of tasks helped: " + ", ".join(f"{share:.2f} from {n} rows" for n, share in helped.items()))
    for rows, part in found.groupby("rows"):
        features = np.array(part["features"].tolist())
        coefficients = _fitted(features, np.log(part["gain"].to_numpy()))
        print(f"\nrelatedness from {rows}; coefficients {np.round(coefficients, 2).tolist()}")
        print(_judged(part.assign(expected_gain=_left_out(features, part))).to_string(float_format="%.2f"))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How well does relatedness foretell the gain of a transfer?")
    parser.add_argument("--data", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--study", type=Path, required=True, help="folder of the finished study")
    parser.add_argument("--strategy", default="auto", help="whose gain")
    parser.add_argument("--baseline", default="target_only:gp", help="over what")
    parser.add_argument("--seed", type=int, default=0, help="draws the rows")
    parser.add_argument("--rows", type=int, default=300, help="most rows of an environment that are compared")
    parser.add_argument("--without-influences", action="store_true", help="correlations only, which is much faster")
    return parser.parse_args()


def _gains(study: Path, strategy: str, baseline: str) -> pd.DataFrame:
    """Return one row a task and budget with its gain, geometric mean over seeds."""
    rows = pd.read_parquet(study / "cells")
    rows = rows[(rows["status"] == "ok") & rows["method"].isin([strategy, baseline])]
    logs = np.log(rows["mape_pct"].clip(lower=1e-6))
    table = rows.assign(log=logs).pivot_table(index=[*TASK, "budget"], columns="method", values="log").dropna()
    gains = (table[baseline] - table[strategy]).rename("gain").reset_index()
    return gains.assign(gain=np.exp(gains["gain"]))


def _by_task(gains: pd.DataFrame) -> Iterator[tuple[tuple[str, ...], pd.DataFrame]]:
    for task, group in gains.groupby(TASK):
        yield tuple(str(part) for part in task), group


def _foretold(
    task: tuple[str, ...], gains: pd.DataFrame, environments: Any, given: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    system, source_name, target_name, name = task
    rng = rng_for(given.seed, "foretell", *task)
    source, whole = (_some(environments(system, which), name, given.rows, rng) for which in (source_name, target_name))
    influences = not given.without_influences
    looking_back = relatedness(source, whole, property=name, influences=influences)
    for budget, gain in zip(gains["budget"], gains["gain"], strict=True):
        few = whole.take(rng.choice(len(whole), min(int(budget), len(whole)), replace=False))
        for rows, measured in (
            ("all rows", looking_back),
            ("as many as measured", relatedness(source, few, property=name, influences=influences)),
        ):
            yield {"system": system, "n": int(budget), "gain": float(gain), "rows": rows, **_measures(measured)} | {
                "features": gain_features(measured, int(budget))
            }


def _some(dataset: Dataset, name: str, n: int, rng: np.random.Generator) -> Dataset:
    usable = prepare_target(dataset, property=name).dataset
    return usable.take(rng.choice(len(usable), min(n, len(usable)), replace=False))


def _measures(found: Relatedness) -> dict[str, float]:
    values = {name: getattr(found, name).value for name in MEASURES[:4]}
    for name in ("options", "interactions"):
        persistence = getattr(found, name)
        values[f"{name}_kept"] = float("nan") if persistence is None else persistence.kept
    return values


def _fitted(features: FloatArray, log_gain: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.lstsq(features, log_gain)[0])


def _left_out(features: FloatArray, part: pd.DataFrame) -> FloatArray:
    """Return the expected gain of every row, from coefficients learnt on the other systems."""
    log_gain, systems = np.log(part["gain"].to_numpy()), part["system"].to_numpy()
    expected = np.empty(len(part))
    for system in np.unique(systems):
        own = systems == system
        expected[own] = np.exp(features[own] @ _fitted(features[~own], log_gain[~own]))
    return expected


def _judged(part: pd.DataFrame) -> pd.DataFrame:
    """Return for every budget and measure: on how many tasks it exists, rank correlation with the gain, AUC."""
    records = []
    for n, group in part.groupby("n"):
        for name in [*MEASURES, "expected_gain"]:
            known = group[np.isfinite(group[name])]
            sign = -1 if name in ("scaled_error_pct", "ks_distance") else 1
            helped = known["gain"] >= CLEAR_GAIN
            auc = roc_auc_score(helped, sign * known[name]) if helped.nunique() == 2 else float("nan")
            rank = sign * spearmanr(known[name], known["gain"]).statistic if len(known) > 2 else float("nan")
            records.append({"rows": n, "measure": name, "tasks": len(known), "rank correlation": rank, "AUC": auc})
    return pd.DataFrame(records).set_index(["rows", "measure"])


if __name__ == "__main__":
    main()
