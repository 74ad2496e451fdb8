"""What worst.py compares: errors of `auto` and of ten reference strategies on published transfers, as two CSV files.

    python benchmarks/references.py DATA --out FOLDER --jobs 2

DATA holds one folder of tables a system, named as in the list of transfers (`--tasks`). FOLDER/results.csv gets `auto`
from random and from proposed rows, FOLDER/references.csv the references from the same random rows. Stopped in any way,
the same command goes on where it stopped. All 72 transfers with three seeds take hours.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from rich.progress import track
from tasks import TRANSFERS, transfer_tasks
from worst import KEY, usable

import perfport
from perfport.data.files import replaced_when_whole
from perfport.model.metrics import mape_pct
from perfport.seeding import rng_for

STRATEGY = "auto"
REFERENCES = (
    *("direct", "scaled", "linear_shift", "log_linear_shift", "nonlinear_shift", "residual", "pooled", "guided"),
    *("target_only:forest", "target_only:gp"),
)
MAX_TEST = 1000
CELL = [*KEY, "seed"]

Cell = dict[str, Any]


def main() -> None:
    """Work out the cells that are not there yet, and write the files after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--tasks",
        type=Path,
        default=TRANSFERS,
        help="list of {system, objective, source, target}; benchmarks/tasks/transfers.yaml if not given",
    )
    parser.add_argument("--out", type=Path, default=Path("references"), help="folder of the two files")
    parser.add_argument("--budgets", default="5,10,20,50")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--every", type=int, default=1, help="every so manieth task only")
    parser.add_argument("--jobs", type=int, default=1)
    a = parser.parse_args()
    budgets, seeds = ([int(number) for number in text.split(",")] for text in (a.budgets, a.seeds))
    tasks = transfer_tasks(a.tasks)[:: a.every]
    cells: list[Cell] = [{**named(task), "n": n, "seed": seed} for task in tasks for n in budgets for seed in seeds]
    a.out.mkdir(parents=True, exist_ok=True)
    results, references = a.out / "results.csv", a.out / "references.csv"
    # Results are written last: a cell that is in them is in both.
    rows, other = (read(path) for path in (results, references))
    done = {tuple(row[name] for name in CELL) for row in rows}
    todo = [cell for cell in cells if tuple(cell.values()) not in done]
    other = [row for row in other if tuple(row[name] for name in CELL) in done]
    found = Parallel(a.jobs, return_as="generator_unordered")(delayed(errors)(a.data, cell) for cell in todo)
    for some in track(found, f"{len(done)} cells are there, {len(todo)} to go", total=len(todo)):
        rows += [row for row in some if row["strategy"] == STRATEGY]
        other += [row for row in some if row["strategy"] != STRATEGY]
        write(references, other)
        write(results, rows)
    print(f"{results}, {references}: {len({tuple(row[name] for name in CELL) for row in rows})} cells")


def named(task: dict[str, str]) -> dict[str, str]:
    """Return what identifies a task, in the order of the key."""
    return {name: task[name] for name in KEY if name != "n"}


def errors(data: Path, cell: Cell) -> list[Cell]:
    """Return one row a strategy and way of choosing rows; none where half of the target is fewer than n rows."""
    prop, environments = cell["objective"], perfport.read_tables(data / cell["system"]).environments
    sources = [usable(environments[name], prop) for name in cell["source"].split("+")]
    target, n, seed = usable(environments[cell["target"]], prop), cell["n"], cell["seed"]
    if n > len(target) // 2:
        return []
    order = rng_for(seed, "references", n).permutation(len(target))
    proposed = perfport.propose(sources=sources, candidates=target.configurations, property=prop, budget=n, seed=seed)
    found = []
    for how, strategy in [("proposed", STRATEGY), *(("random", name) for name in (STRATEGY, *REFERENCES))]:
        rows = proposed if how == "proposed" else order[:n]
        model = perfport.transfer(
            sources=sources, target=target.take(rows), property=prop, strategy=strategy, seed=seed
        )
        others = target.take(order[~np.isin(order, rows)][:MAX_TEST])
        mape = mape_pct(others.response(prop), model.predict(others.configurations))
        found.append({**cell, "strategy": strategy, "rows": how, "mape": mape})
    return found


def read(path: Path) -> list[Cell]:
    """Return the rows of a file written before."""
    if not path.exists():
        return []
    texts = dict.fromkeys(KEY[:-1], str)
    return [
        {str(name): value for name, value in row.items()} for row in pd.read_csv(path, dtype=texts).to_dict("records")
    ]


def write(path: Path, rows: list[Cell]) -> None:
    """Write all rows, or leave the file as it is."""
    with replaced_when_whole(path) as part:
        columns = [*CELL, "strategy", "rows", "mape"]
        pd.DataFrame(rows, columns=columns).to_csv(part, index=False, float_format="%.6g")


if __name__ == "__main__":
    main()
