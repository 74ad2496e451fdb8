"""Whatever a system does in its child, the runner answers with an outcome and goes on."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from perfport.data.measurement import Status
from perfport.errors import MeasurementError
from perfport.measure.actuators import BUILTIN
from perfport.measure.base import Outcome
from perfport.measure.machine.scratch import remove_abandoned
from perfport.measure.protocol import Protocol
from perfport.measure.runner.child_process import ChildProcess
from perfport.measure.runner.rig import Rig, make_rig
from perfport.measure.runner.runner import OutOfTimeError, Runner
from perfport.measure.runner.strays import end_abandoned
from perfport.measure.systems.command import CommandSystem
from perfport.measure.systems.synthetic import SyntheticSystem
from perfport.space.options import Level
from perfport.testing.fakes import FakeMeter, FaultySystem

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the tests look into /proc")

QUICK = Protocol(
    warm_up_max_s=0.01, min_time_s=0.0, budget_s=0.02, min_repetitions=3, max_repetitions=5, timeout_s=20, window_s=0.02
)


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner(QUICK) as runner:
        yield runner


@pytest.fixture(scope="module")
def rig() -> Rig:
    return make_rig("here", FaultySystem())


def works(outcome: Outcome) -> bool:
    return outcome.status is Status.OK and len(outcome.repetitions["inference_time_s"]) >= 3


@pytest.mark.parametrize(
    ("fault", "status", "told"),
    [
        ("invalid", Status.INVALID, "forbidden"),
        ("open", Status.FAILED, "RuntimeError: cannot be opened like this"),
        ("wrong", Status.FAILED, "wrong output: output 0 differs"),
        ("raise", Status.FAILED, "RuntimeError: the run broke in two lines"),
        ("exit", Status.FAILED, "the child ended by itself with exit code 3 in the first run"),
        ("abort", Status.FAILED, "crashed with SIGABRT"),
        ("segfault", Status.FAILED, "crashed with SIGSEGV"),
        ("killed", Status.FAILED, "killed by SIGKILL, most likely by the kernel because memory ran out"),
        ("garble", Status.FAILED, "'garbage' where a message was expected"),
        ("speak", Status.FAILED, "an outcome that cannot be read"),
        ("program", Status.FAILED, "crashed with SIGABRT"),
    ],
)
def test_what_goes_wrong_is_an_outcome_and_the_next_configuration_is_measured(
    runner: Runner, rig: Rig, fault: str, status: Status, told: str
) -> None:
    outcome = runner.measure(rig, {"fault": fault})
    assert outcome.status is status
    assert told in outcome.reason
    assert "\n" not in outcome.reason
    assert not outcome.repetitions
    assert works(runner.measure(rig, {"fault": "none"}))


@pytest.mark.parametrize("fault", ["abort", "program", "none"])
def test_the_end_of_a_child_is_noticed_without_a_descriptor_for_it(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")  # as on macOS
    with Runner(QUICK) as runner:
        outcome = runner.measure(make_rig("here", FaultySystem()), {"fault": fault})
    assert works(outcome) if fault == "none" else "crashed with SIGABRT" in outcome.reason


def test_what_is_printed_disturbs_nothing(runner: Runner, rig: Rig) -> None:
    assert works(runner.measure(rig, {"fault": "print"}))


def test_copies_of_a_child_that_forks_end_and_say_nothing(runner: Runner, rig: Rig) -> None:
    assert works(runner.measure(rig, {"fault": "fork"}))
    assert works(runner.measure(rig, {"fault": "none"}))
    pids = [child.pid for child in runner._children.values()]
    runner.end_children()
    for pid in pids:
        assert_gone(partial(group_of, pid))


def test_a_program_left_behind_is_ended_with_its_child() -> None:
    with Runner(QUICK) as runner:
        rig = make_rig("here", FaultySystem())
        runner.measure(rig, {"fault": "none"})
        (child,) = runner._children.values()
        assert runner.measure(rig, {"fault": "program"}).status is Status.FAILED
    assert_gone(lambda: group_of(child.pid))


def test_a_daemon_is_ended_with_the_child_that_left_it() -> None:
    with Runner(QUICK) as runner:
        rig = make_rig("here", FaultySystem())
        assert works(runner.measure(rig, {"fault": "daemon"}))
        (child,) = runner._children.values()
        daemons = [pid for pid in children_of(child.pid) if field(pid, "NSsid") == str(pid)]
        assert len(daemons) == 1
    assert_gone(lambda: [pid for pid in daemons if pid in living()])


def test_what_a_killed_runner_has_left_is_ended_by_the_next_campaign() -> None:
    script = (
        "import subprocess, sys; from perfport.measure.runner.strays import MARK\n"
        "from perfport.measure.machine.owner import mark_of_this_process\n"
        "sleeper = [sys.executable, '-c', 'import time; time.sleep(3600)']\n"
        "mark = mark_of_this_process() + ':0'\n"
        "print(subprocess.Popen(sleeper, start_new_session=True, env={MARK: mark}).pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as runner:
        assert runner.stdout is not None
        stray = int(runner.stdout.readline())
        end_abandoned()
        assert stray in living()  # its runner lives
        runner.kill()
    assert end_abandoned() == 1
    assert_gone(lambda: [pid for pid in [stray] if pid in living()])


@pytest.mark.slow
def test_a_child_that_hangs_is_timed_out_and_replaced() -> None:
    impatient = QUICK.model_copy(update={"timeout_s": 1.0})
    with Runner(impatient) as runner:
        rig = make_rig("here", FaultySystem())
        outcome = runner.measure(rig, {"fault": "hang"})
        assert (outcome.status, outcome.reason) == (
            Status.TIMED_OUT,
            "no answer for 1 s in the first run",
        )
        assert outcome.cost_s >= 1.0
        assert works(runner.measure(rig, {"fault": "none"}))


@pytest.mark.parametrize(
    ("run_s", "timeout_s", "bound_s"),
    [
        (0.3, 3.0, (0.25, 0.35)),  # most timed runs ended: about what a run takes
        (1.0, 4.5, (0.1, 0.65)),  # the first one had not: as long as it has lasted
        (1.0, 3.5, None),  # warm-up: later runs may be faster by any factor
    ],
)
def test_a_time_out_in_the_timed_runs_leaves_a_lower_bound(
    run_s: float, timeout_s: float, bound_s: tuple[float, float] | None
) -> None:
    sleeping = SyntheticSystem(n_options=1, mode="sleep", base_s=run_s, noise=0.0, effects={})
    protocol = QUICK.model_copy(
        update={"warm_up_runs": 1, "min_repetitions": 20, "max_repetitions": 20, "timeout_s": timeout_s}
    )
    with Runner(protocol) as runner:
        rig = make_rig("here", sleeping)
        outcome = runner.measure(rig, rig.space.default_configuration())
    assert outcome.status is Status.TIMED_OUT
    assert not outcome.absent
    if bound_s is None:
        assert not outcome.repetitions
        return
    (at_least_s,) = outcome.repetitions["inference_time_s"].tolist()
    assert bound_s[0] < at_least_s < bound_s[1]
    assert f"while running; an input takes at least {at_least_s:.3g} s" in outcome.reason


@pytest.mark.slow
def test_a_child_that_eats_memory_meets_its_limit() -> None:
    limited = QUICK.model_copy(update={"memory_limit_bytes": 2 << 30, "timeout_s": 120})
    with Runner(limited) as runner:
        rig = make_rig("here", FaultySystem())
        outcome = runner.measure(rig, {"fault": "memory"})
        assert (outcome.status, outcome.reason) == (Status.FAILED, "out of memory")
        assert works(runner.measure(rig, {"fault": "none"}))


@pytest.mark.parametrize("default", ["open", "abort"])
def test_a_broken_default_configuration_does_not_spoil_the_others(default: str) -> None:
    with Runner(QUICK) as runner:
        rig = make_rig("here", FaultySystem(default=default))
        outcome = runner.measure(rig, {"fault": "none"})
        assert works(outcome)
        assert "the default configuration failed" in str(outcome.conditions["output_unchecked"])
        assert runner.measure(rig, {"fault": default}).status is Status.FAILED


def test_a_child_that_is_killed_while_it_starts_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    send = ChildProcess.send

    def kill_the_first(child: ChildProcess, message: dict[str, object]) -> None:
        started.append(child.pid)
        if len(started) == 1:
            os.kill(child.pid, signal.SIGKILL)
        send(child, message)

    monkeypatch.setattr(ChildProcess, "send", kill_the_first)
    with Runner(QUICK) as runner:
        assert works(runner.measure(make_rig("here", FaultySystem()), {"fault": "none"}))
    assert len(set(started)) == 2


def test_a_measurement_is_broken_off_when_the_time_of_the_whole_run_is_up() -> None:
    with Runner(QUICK) as runner:
        rig = make_rig("here", FaultySystem())
        assert works(runner.measure(rig, {"fault": "none"}, until=time.monotonic() + 60))
        begin = time.monotonic()
        with pytest.raises(OutOfTimeError):
            runner.measure(rig, {"fault": "hang"}, until=begin + 0.3)
        assert time.monotonic() - begin >= 0.3
        assert works(runner.measure(rig, {"fault": "none"}))


def test_a_system_that_cannot_start_stops_the_campaign(tmp_path: Path) -> None:
    class Local(FaultySystem):
        """Cannot be imported by the child: it lives in a function."""

    with Runner(QUICK) as runner, pytest.raises(MeasurementError, match="environment 'here': system 'faulty' cannot"):
        runner.measure(make_rig("here", Local()), {"fault": "none"})


@pytest.mark.parametrize("actuators", [{}, {"OMP_NUM_THREADS": 1}, {"boost": True}])
def test_what_is_fixed_around_a_system_is_not_blamed_for_one_that_cannot_start(
    actuators: dict[str, Level], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Local(FaultySystem):
        """Cannot be imported by the child: it lives in a function."""

    monkeypatch.setitem(BUILTIN, "fake", "perfport.testing.fakes:FakeActuator")  # acts on the machine
    with Runner(QUICK) as runner, pytest.raises(MeasurementError, match="system 'faulty' cannot be started"):
        runner.measure(make_rig("here", Local(), actuators=actuators), {"fault": "none"})


def test_children_are_replaced_after_their_share_and_none_is_left() -> None:
    protocol = QUICK.model_copy(update={"configurations_per_child": 2})
    with Runner(protocol) as runner:
        rig = make_rig("here", FaultySystem())
        pids = set()
        for _ in range(4):
            assert works(runner.measure(rig, {"fault": "none"}))
            pids |= {child.pid for child in runner._children.values()}
        assert len(pids) == 2
    assert_gone(lambda: [pid for pid in pids if pid in living()])


def test_rigs_keep_their_own_children_with_their_own_variables() -> None:
    slow, fast = SyntheticSystem(n_options=2, mode="sleep", base_s=2e-3), FaultySystem()
    with Runner(QUICK) as runner:
        rigs = [
            make_rig("a", slow, actuators={"OMP_NUM_THREADS": 1}),
            make_rig("b", fast, actuators={"cpus": "0"} if sys.platform == "linux" else {}),
        ]
        for _ in range(2):
            for rig in rigs:
                assert works(runner.measure(rig, rig.space.default_configuration()))
        children = list(runner._children.values())
        assert len(children) == 2
        if sys.platform == "linux":
            # The C library reads some before the child could set them, so it is started with them.
            assert "OMP_NUM_THREADS=1" in Path(f"/proc/{children[0].pid}/environ").read_text()
            assert os.sched_getaffinity(children[1].pid) == {0}


def test_meters_outside_are_read_in_a_window_of_their_own_per_input() -> None:
    meter = FakeMeter(power_w=3.0, min_window_s=0.05)
    with Runner(QUICK, meters=[meter]) as runner:
        rig = make_rig("here", SyntheticSystem(n_options=2, mode="sleep", base_s=5e-3, effects={}))
        outcome = runner.measure(rig, rig.space.default_configuration())
    assert meter.windows == 2  # the idle machine first
    (energy_j,) = outcome.repetitions["energy_j"]
    # Three watts over at least one run of five milliseconds, and no more than the window with its ends.
    assert 3.0 * 5e-3 * 0.9 <= energy_j < 3.0 * 1.0
    # Constant power: the idle machine takes as much, up to rounding, so there is next to no net energy, or none.
    assert ("net_energy_j" in outcome.repetitions) != ("net_energy_j" in outcome.absent)
    assert "idle_baseline" in str(outcome.conditions["meters"])


def test_what_is_raised_while_meters_are_read_is_the_reason(tmp_path: Path) -> None:
    mark = tmp_path / "metered"

    class Marking(FakeMeter):
        """Lets the system know that it is being read."""

        def start(self) -> None:
            super().start()
            mark.touch()

        def stop(self) -> dict[str, float]:
            mark.unlink()
            return dict(super().stop())

    code = f"import pathlib, sys; pathlib.Path({str(mark)!r}).exists() and sys.exit('too hot'); print('{{}}')"
    space = {"options": [{"name": "n", "type": "ordinal", "values": [1, 2]}]}
    system = CommandSystem(["${python}", "-c", code, "${n}"], space, properties={})
    meter = Marking()
    with Runner(QUICK, meters=[meter]) as runner:
        outcome = runner.measure(make_rig("here", system), {"n": 1})
    assert (outcome.status, outcome.reason) == (
        Status.FAILED,
        "MeasurementError: the program ended with exit code 1: too hot",
    )
    assert not outcome.repetitions
    assert meter.windows == 2  # no meter goes on reading; the idle machine was the first


def test_absent_meters_are_recorded_with_their_reason(rig: Rig) -> None:
    with Runner(QUICK, meters=[FakeMeter(absent="no counter here")]) as runner:
        outcome = runner.measure(rig, {"fault": "none"})
    assert outcome.absent == {"energy_j": "no counter here"}
    assert "energy_j" not in outcome.repetitions


def test_conditions_say_what_the_machine_was_like(runner: Runner, rig: Rig) -> None:
    outcome = runner.measure(rig, {"fault": "none"})
    assert {"open_s", "timing_s", "warm_up_runs", "stopped_by", "interval_width"} <= set(outcome.conditions)
    if sys.platform == "linux":
        assert outcome.conditions["scheduling"] in ("SCHED_OTHER", "SCHED_RR in bursts")
        assert outcome.conditions["affinity"]


def test_what_a_killed_child_had_in_temporary_folders_goes_with_it() -> None:
    system = CommandSystem(
        ["${python}", "-c", "import os, signal; os.kill(os.getppid(), signal.SIGKILL)", "${n}"],
        {"options": [{"name": "n", "type": "ordinal", "values": [1, 2]}]},
        files={"large": "${n}"},
    )
    with Runner(QUICK) as runner:
        begin = folders_of(os.getpid())
        outcome = runner.measure(make_rig("here", system), {"n": 1})
        assert "killed by SIGKILL" in outcome.reason
        assert folders_of(os.getpid()) == begin
    assert len(folders_of(os.getpid())) == len(begin) - 1


def test_a_child_that_dies_by_a_signal_without_a_name_is_an_outcome() -> None:
    system = CommandSystem(
        ["${python}", "-c", "import os; os.kill(os.getppid(), ${n})"],
        {"options": [{"name": "n", "type": "ordinal", "values": [40, 41]}]},
    )
    with Runner(QUICK) as runner:
        outcome = runner.measure(make_rig("here", system), {"n": 40})
        assert outcome.status is Status.FAILED
        assert "crashed with signal 40" in outcome.reason


def test_a_child_whose_runner_is_killed_ends_by_itself() -> None:
    script = (
        "from perfport.measure.runner.runner import Runner; from perfport.measure.runner.rig import make_rig\n"
        "from perfport.measure.protocol import Protocol; from perfport.testing.fakes import FaultySystem\n"
        "Runner(Protocol()).measure(make_rig('here', FaultySystem()), {'fault': 'hang'})\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    while not (children := children_of(parent.pid)) or len(folders_of(parent.pid)) < 2:
        assert parent.poll() is None
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    assert_gone(lambda: [pid for pid in children if pid in living()])
    # Nobody is left to remove its folders and those of its child; the next campaign does.
    assert len(folders_of(parent.pid)) == 2
    mine = folders_of(os.getpid())
    assert remove_abandoned() >= 2
    assert not folders_of(parent.pid)
    assert folders_of(os.getpid()) == mine


def folders_of(pid: int) -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob(f"perfport-{pid}-*"))


def living() -> list[int]:
    """Every process that is no zombie."""
    pids = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
    return [pid for pid in pids if field(pid, "State")[:1] not in ("", "Z")]


def field(pid: int, name: str) -> str:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:")), "")


def assert_gone(find: Callable[[], list[int]]) -> None:
    """The kernel takes a moment to end what it was told to kill."""
    deadline = time.monotonic() + 10
    while find() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not find()


def group_of(pid: int) -> list[int]:
    return [member for member in living() if field(member, "NSpgid") == str(pid)]


def children_of(pid: int) -> list[int]:
    return [child for child in living() if field(child, "PPid") == str(pid)]
