"""Two writers and killed writers: nothing acknowledged is lost, nothing is stored twice."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.unit.data.samples import measurement

from perfport.data.measurement import Measurement
from perfport.data.store import Store

WRITER = """
import sys
from perfport.data.store import Store
from tests.unit.data.samples import measurement

where, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with Store.open(where) as store:
    for block in range(first, last):
        new = store.append([measurement(block=block)], campaign="crash")
        # Acknowledged: from here on the row must survive whatever happens to this process.
        print(block, new, flush=True)
"""


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Path or URL of a store that outlives the processes that write it."""
    return str(tmp_path / "perfport.db") if request.param == "sqlite" else str(request.getfixturevalue("postgres"))


def start_writer(where: str, first: int, last: int) -> "subprocess.Popen[str]":
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", WRITER, where, str(first), str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)


def acknowledged(writer: "subprocess.Popen[str]") -> list[tuple[int, int]]:
    """Wait for the end of the writer and return the (block, new rows) pairs it printed."""
    lines = writer.communicate()[0].splitlines()
    # The last line may be cut in the middle when the writer was killed while it printed.
    return [(int(block), int(new)) for block, new in (line.split() for line in lines if len(line.split()) == 2)]


@pytest.mark.slow
def test_two_processes_append_at_once(where: str) -> None:
    writers = [start_writer(where, first, first + 40) for first in (0, 20)]
    counts = [acknowledged(writer) for writer in writers]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert sum(new for told in counts for _, new in told) == 60
    with Store.open(where) as store:
        assert sorted(item.block for item in store.read(campaign="crash")) == list(range(60))


@pytest.mark.slow
def test_many_processes_make_one_store_at_once(where: str) -> None:
    writers = [start_writer(where, first, first + 1) for first in range(6)]
    assert [acknowledged(writer) for writer in writers] == [[(block, 1)] for block in range(6)]
    with Store.open(where) as store:
        assert len(store.read()) == 6


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_killed_writer_loses_nothing_it_acknowledged(where: str, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  # when to pull the plug
    told: dict[int, int] = {}
    for _ in range(3):
        writer = start_writer(where, 0, 400)
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(chance.random() * 0.3)
        writer.kill()
        block, new = map(int, first.split())
        told[block] = told.get(block, 0) + new
        for later, new_then in acknowledged(writer):
            told[later] = told.get(later, 0) + new_then
        with Store.open(where) as store:
            kept = store.read()
        assert_sound(kept)
        assert set(told) <= {item.block for item in kept}
        # At most the one row that was on disk, but not yet acknowledged, was told of by nobody.
        assert max(told.values()) <= 1


def assert_sound(kept: list[Measurement]) -> None:
    blocks = [item.block for item in kept]
    assert blocks == list(range(len(blocks)))
    assert kept == [measurement(block=block) for block in blocks]


@pytest.mark.slow
def test_a_store_opens_with_a_log_that_a_killed_writer_left(tmp_path: Path) -> None:
    path = tmp_path / "perfport.db"
    writer = start_writer(str(path), 0, 100_000)
    assert writer.stdout is not None
    told = [writer.stdout.readline() for _ in range(5)]
    writer.kill()
    writer.communicate()
    assert Path(f"{path}-wal").stat().st_size > 0
    with Store.open(path, read_only=True) as store:
        assert len(store.read()) >= len(told)
    with Store.open(path) as store:
        assert store.append([measurement(4)]) == 1
