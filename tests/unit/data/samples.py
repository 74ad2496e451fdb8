"""What the tests of this room share: small systems, and strategies that draw legal ones."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from hypothesis import settings
from hypothesis import strategies as st

from perfport.data.dataset import Dataset
from perfport.data.environment import Environment
from perfport.data.measurement import GRADES, Measurement, Property, Status
from perfport.space.options import Option
from perfport.space.space import Space

TIME = "inference_time_s"
BOARD = Environment("board", hardware={"cores": 4}, network={"name": "resnet"}, workload={"side": 224})


def space() -> Space:
    return Space(
        [
            Option(name="threads", type="ordinal", values=(1, 2, 4)),
            Option(name="mode", type="categorical", values=("none", "NA", "fast")),
            Option(name="vm.arena", type="boolean"),
            Option(name="share", type="float", lower=0.0, upper=1.0),
        ],
        name="sample",
    )


def dataset(n: int = 6, *, environment: Environment = BOARD, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    return Dataset(
        space=space(),
        environment=environment,
        properties={TIME: Property(TIME, "s")},
        configurations=space().sample(n, rng),
        responses={TIME: rng.random(n) + 0.1},
    )


def measurement(
    threads: int = 2,
    *,
    values: Any = (0.2, 0.1, 0.3),
    environment: Environment = BOARD,
    status: Status = Status.OK,
    **more: Any,
) -> Measurement:
    is_ok = status is Status.OK
    return Measurement(
        configuration={"threads": threads, "mode": "fast", "arena": True, "share": 0.25},
        environment=environment,
        status=status,
        repetitions={TIME: np.array(values)} if is_ok else {},
        reason="" if is_ok else "the child died",
        **more,
    )


CARD: dict[str, Any] = {
    "system": "sample",
    "options": [
        {"name": "threads", "type": "ordinal", "values": [1, 2, 4]},
        {"name": "mode", "type": "categorical", "values": ["none", "NA", "fast"]},
    ],
    "objectives": [{"name": TIME, "unit": "s"}],
    "environments": [{"name": "board", "file": "board.csv", "hardware": "4-core board"}],
}
CSV = f"threads,mode,{TIME}\n1,none,0.9\n2,NA,0.5\n4,fast,0.4\n"


def table_folder(
    folder: Path, *, card: Mapping[str, Any] | str | bytes = CARD, files: Mapping[str, str | bytes] | None = None
) -> Path:
    """Write a card and CSV files; whatever is wrong with them is what the test is about."""
    folder.mkdir(parents=True, exist_ok=True)
    text = card if isinstance(card, str | bytes) else yaml.safe_dump(json.loads(json.dumps(card)))
    for name, content in {"datacard.yaml": text, **({"board.csv": CSV} if files is None else files)}.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


# No deadline: a machine that is busy is not a fault of the code.
relaxed = settings(deadline=None, max_examples=60)

# Surrogates cannot be encoded as UTF-8, so no file could hold them.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = st.text(st.characters(categories=("L", "N"), include_characters="._-"), min_size=1, max_size=8)
whole_numbers = st.integers(-(2**53), 2**53)
finite_numbers = st.floats(allow_nan=False, allow_infinity=False)
facts = st.dictionaries(
    names,
    st.one_of(texts, st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), st.booleans()),
    max_size=3,
)
environments = st.builds(Environment, name=names, hardware=facts, network=facts, workload=facts, software=facts)
numbers = st.floats(0.0, allow_nan=False, allow_infinity=False)
repetitions = st.lists(numbers, min_size=1, max_size=5).map(np.array)
levels = st.one_of(
    st.none(), texts, st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False)
)


@st.composite
def measurements(draw: st.DrawFn) -> Measurement:
    status = draw(st.sampled_from(Status))
    is_ok = status is Status.OK
    has_numbers = is_ok or (status is Status.TIMED_OUT and draw(st.booleans()))
    measured = draw(st.dictionaries(names, repetitions, min_size=1, max_size=3)) if has_numbers else {}
    absent = draw(st.dictionaries(names, texts, max_size=2))
    return Measurement(
        configuration=draw(st.dictionaries(names, levels, max_size=4)),
        environment=draw(environments),
        status=status,
        repetitions=measured,
        absent={name: reason for name, reason in absent.items() if name not in measured},
        cost_s=draw(st.one_of(numbers, st.just(float("nan")))),
        conditions=draw(st.dictionaries(names, st.one_of(texts, st.lists(numbers, max_size=2), facts), max_size=3)),
        reason="" if is_ok else draw(texts.filter(bool)),
        protocol=draw(names),
        block=draw(st.integers(0, 9)),
        started_at=draw(st.sampled_from(["", "2026-11-22T10:00:00.000+00:00"])),
        attempt=draw(st.integers(0, 2)),
        grade=draw(st.sampled_from(["", *GRADES])) if is_ok else "",
        grade_reasons=tuple(draw(st.lists(texts, max_size=2))),
        log_se={name: draw(numbers) for name in measured if draw(st.booleans())},
    )


@st.composite
def options(draw: st.DrawFn) -> Option:
    kind = draw(st.sampled_from(["boolean", "categorical", "ordinal", "integer", "float"]))
    name = "option " + draw(names)
    description = draw(texts)
    if kind == "boolean":
        return Option(name=name, type="boolean", description=description, default=draw(st.sampled_from([None, True])))
    if kind == "categorical":
        words = draw(st.lists(texts, min_size=1, max_size=4, unique=True))
        return Option(name=name, type="categorical", values=tuple(words), group=draw(names))
    if kind == "ordinal":
        steps = draw(st.lists(st.integers(-(10**6), 10**9), min_size=1, max_size=5, unique=True))
        return Option(name=name, type="ordinal", values=tuple(steps), unit="Hz")
    if kind == "integer":
        lower = draw(st.integers(-100, 100))
        return Option(name=name, type="integer", lower=lower, upper=lower + draw(st.integers(1, 9)))
    lower_bound = draw(st.floats(-1e6, 1e6))
    return Option(name=name, type="float", lower=lower_bound, upper=lower_bound + draw(st.floats(1e-3, 1e6)), unit="V")


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    """Draw a dataset of distinct configurations with every kind of column a table can hold."""
    listed = draw(st.lists(options(), min_size=1, max_size=4, unique_by=lambda option: option.name))
    drawn = Space(listed, name="drawn")
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    configurations = drawn.sample(draw(st.integers(1, 8)), rng)
    n = len(configurations)
    status = np.array(draw(st.lists(st.sampled_from([str(status) for status in Status]), min_size=n, max_size=n)))
    declared = draw(st.lists(names.map("property {}".format), min_size=1, max_size=2, unique=True))
    column = st.lists(st.one_of(numbers, st.just(float("nan"))), min_size=n, max_size=n).map(np.array)
    has_numbers = np.isin(status, ["ok", "timed_out"])
    responses = {name: np.where(has_numbers, draw(column), np.nan) for name in declared}
    return Dataset(
        space=drawn,
        environment=draw(environments),
        properties={
            name: Property(name, draw(texts), draw(st.sampled_from(["minimise", "maximise"]))) for name in declared
        },
        configurations=configurations,
        responses=responses,
        status=status,
        log_se={name: draw(column) for name in declared},
        cost_s=draw(column),
    )
