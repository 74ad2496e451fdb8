"""The whole story on this machine, for real: measure two environments, transfer, recommend, verify, report.

    look around -> measure the source -> propose target rows -> measure them, and others to check with
                -> transfer -> compare strategies -> recommend -> measure the winner and the default -> report

Every measurement goes through the store before the next begins, and every choice follows from the
seed and from what is stored. So the same call after Ctrl-C goes on where it stopped, and after the
end it tells the story again without measuring.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from perfport.advise.recommendation.feasible import allowed_by, allowed_rows, not_known_to_fail
from perfport.advise.recommendation.recommend import recommend
from perfport.data.assembly import dataset_of
from perfport.data.dataset import Dataset
from perfport.data.measurement import Measurement, Property, Status
from perfport.data.store import Store
from perfport.measure.campaign import EnvironmentSpec, measure_configurations
from perfport.measure.campaign.spec import rig_of
from perfport.measure.doctor import doctor
from perfport.measure.protocol import Protocol
from perfport.measure.quality.noise import ReplicateError, replicate_error
from perfport.measure.runner.rig import Rig
from perfport.model.rows import usable_rows
from perfport.report.assembly import (
    changes_of,
    compared,
    influences_of,
    measuring_summary,
    predicted_and_measured,
    replicate_row,
    versions,
)
from perfport.report.content import Choice, Comparison, ReportData, ReportedEnvironment, Reproduction, Role
from perfport.report.page import write_report
from perfport.report.progress import MeasuringProgress
from perfport.report.terminal import (
    show_comparison,
    show_doctor,
    show_measuring,
    show_recommendation,
    show_verdict,
)
from perfport.seeding import rng_for
from perfport.transfer.api import propose, transfer
from perfport.transfer.transferred import TransferredModel
from perfport.verify import verified_choice

__all__ = ["Move", "Quickstart", "QuickstartResult"]

Move = Literal["size", "network", "openvino"]
RowNumbers = NDArray[np.int64]

PROPERTY = Property("inference_time_s", "s", "minimise", "wall time of one inference, a batch divided by its inputs")
STRATEGIES = ("auto", "target_only", "direct", "linear_shift")
ENOUGH_CANDIDATES = 5000
MAKING_UP = 3  # rounds in which rows that failed are made up for
COVERAGE = 0.9
# ONNX Runtime's name of an option -> OpenVINO's name of the same one.
RENAME = {"intra_op_threads": "threads"}


@dataclass(frozen=True, slots=True)
class QuickstartResult:
    """What the story came to.

    Attributes:
        data: Everything the report shows.
        report: Where the report is.
        store: Where the measurements are.
    """

    data: ReportData
    report: Path
    store: str


@dataclass(frozen=True, slots=True)
class Quickstart:
    """One story to be told.

    Attributes:
        move: What changes from source to target: "size" (the input grows), "network" (a sibling
            network), "openvino" (another runtime, with other options).
        store: SQLite file or URL of a database.
        report: Where the HTML report goes.
        n_source: Source configurations to measure.
        budget: Target configurations the model may see.
        n_test: Further target configurations to check the model on.
        n_replicates: How many of those are measured twice, for the noise floor.
        seed: Decides every choice.
        protocol: How one configuration is measured.
    """

    move: Move = "size"
    store: str = "perfport.db"
    report: Path = Path("report.html")
    n_source: int = 48
    budget: int = 10
    n_test: int = 24
    n_replicates: int = 12
    seed: int = 0
    protocol: Protocol = field(
        default_factory=lambda: Protocol(min_time_s=0.15, budget_s=0.6, warm_up_max_s=0.3, timeout_s=30.0)
    )

    def run(self, console: Console) -> QuickstartResult:
        """Tell the story on `console`, measuring what the store lacks.

        Raises:
            KeyboardInterrupt: After Ctrl-C, when the measurement under way is stored.
            MissingPackageError: If a runtime or network is not installed.
            NotEnoughDataError: If too few configurations could be measured.
        """
        with Store.open(self.store) as store:
            return _Teller(self, store, console).tell()

    def rigs(self) -> tuple[Rig, Rig]:
        """Return how source and target are measured."""
        source, target = _environments(self.move)
        return rig_of(source), rig_of(target)

    @property
    def command(self) -> str:
        """The command line that tells this story."""
        given = ["perfport", "quickstart", "--target", self.move, "--seed", str(self.seed)]
        return shlex.join([*given, "--store", self.store, "--report", str(self.report)])


@dataclass(frozen=True, slots=True)
class _TargetRows:
    """What was measured in the target: what the model may see, what it is checked with, the noise between two."""

    chosen: Dataset
    test: Dataset
    noise: ReplicateError


class _Teller:
    """One telling: the story, its store and console, and the two environments."""

    def __init__(self, story: Quickstart, store: Store, console: Console) -> None:
        self.story, self.store, self.console = story, store, console
        self.source, self.target = story.rigs()
        self.rename = RENAME if story.move == "openvino" else None
        self.candidates = _candidates(self.target, story.seed)
        self.absent: dict[str, str] = {}
        self.measured: dict[str, dict[tuple[object, ...], Measurement]] = {
            rig.environment.name: {} for rig in (self.source, self.target)
        }

    @property
    def campaign(self) -> str:
        return f"quickstart-{self.story.move}"

    def tell(self) -> QuickstartResult:
        spaces = {rig.environment.name: rig.space.to_yaml() for rig in (self.source, self.target)}
        self.store.begin_campaign(self.campaign, {"spaces": spaces, "protocol": self.story.protocol.key})
        self.look_around()
        source = self.measure_source()
        rows = self.measure_target(source)
        models = self.fit(source, rows.chosen)
        comparison = self.compare(models, rows)
        choice = self.choose(models["auto"], rows.chosen)
        data = self.report(source, rows, models["auto"], comparison=comparison, choice=choice)
        path = write_report(data, self.story.report)
        self.say(show_recommendation(data))
        return QuickstartResult(data, path, self.story.store)

    def look_around(self) -> None:
        """Say what can be measured here, and what cannot and why."""
        self.heading("This machine")
        found = doctor(noise_test_s=0.0, kinds=("meter",))
        clock, energy = (check for check in found.checks if check.name in ("clock", "energy"))
        self.say(show_doctor(replace(found, checks=(clock, energy)), kinds=("meter",)))
        self.absent = {} if energy.ok else {"energy_j": energy.detail}

    def measure_source(self) -> Dataset:
        self.heading("The source: what was learnt before")
        drawn = self.source.space.sample(self.story.n_source - 1, rng_for(self.story.seed, "source"))
        default = self.source.space.frame([self.source.space.default_configuration()])
        frame = pd.concat([default, drawn], ignore_index=True).drop_duplicates(ignore_index=True)
        measured = self.measure(self.source, frame)
        self.say(f"{self.source.environment.name}: {len(measured)} configurations, drawn at random")
        for difference in self.source.environment.diff(self.target.environment):
            self.say(Text(f"to {self.target.environment.name}: {difference}", style="dim"))
        return self.dataset(self.source, measured)

    def measure_target(self, source: Dataset) -> _TargetRows:
        """Measure the proposed rows and those to check with in one random order, so that no drift tells them apart.

        Rows that fail are made up for: a failure costs a measurement and tells a model of time nothing.
        """
        self.heading("The target: a handful of measurements, chosen by what the source shows")
        n_rows = len(self.candidates)
        proposed = self.propose(source, np.arange(n_rows), self.story.budget)
        others = rng_for(self.story.seed, "test").permutation(np.setdiff1d(np.arange(n_rows), proposed))
        tested = others[: self.story.n_test]
        self.measure(self.target, self.candidates.iloc[np.concatenate([proposed, tested])])
        for _ in range(MAKING_UP):
            lacking = self.story.n_test - self.n_usable(tested)
            tested = np.concatenate([tested, others[len(tested) :][:lacking]]) if lacking > 0 else tested
        for _ in range(MAKING_UP):
            lacking = self.story.budget - self.n_usable(proposed)
            told = self.rows(proposed)
            allowed = np.flatnonzero(not_known_to_fail(self.candidates, told))
            free = np.setdiff1d(allowed, np.concatenate([proposed, tested]))
            if lacking > 0 and len(free):
                proposed = np.concatenate([proposed, self.propose(source, free, min(lacking, len(free)), told)])
        chosen, checked = self.rows(proposed), usable_rows(self.rows(tested), PROPERTY.name)[0]
        again = self.measure(self.target, checked.configurations.iloc[: self.story.n_replicates], block=1)
        self.say(show_measuring(self.environments()))
        first = self.measure(self.target, checked.configurations)
        return _TargetRows(chosen, checked, replicate_error([*first, *again], PROPERTY.name))

    def propose(self, source: Dataset, among: RowNumbers, budget: int, measured: Dataset | None = None) -> RowNumbers:
        """Return the rows worth measuring, as numbers of the candidates."""
        rows = propose(
            sources=[source],
            candidates=self.candidates.iloc[among].reset_index(drop=True),
            property=PROPERTY.name,
            budget=budget,
            seed=self.story.seed,
            measured=measured,
            rename=self.rename,
        )
        return among[rows]

    def rows(self, numbers: RowNumbers) -> Dataset:
        """Return candidates with what was measured, measuring what the store lacks."""
        return self.dataset(self.target, self.measure(self.target, self.candidates.iloc[numbers]))

    def n_usable(self, numbers: RowNumbers) -> int:
        return int((self.rows(numbers).status == Status.OK.value).sum())

    def fit(self, source: Dataset, chosen: Dataset) -> dict[str, TransferredModel]:
        """Return strategy -> model; every one is given the same source and the same target rows."""
        with self.console.status("fitting"):
            return {
                name: transfer(
                    sources=[source],
                    target=chosen,
                    property=PROPERTY.name,
                    strategy=name,
                    seed=self.story.seed,
                    rename=self.rename,
                )
                for name in STRATEGIES
            }

    def compare(self, models: dict[str, TransferredModel], rows: _TargetRows) -> Comparison:
        self.heading("How well the target is known now")
        n_target = int((rows.chosen.status == Status.OK.value).sum())
        comparison = compared(
            models, rows.test, PROPERTY.name, chosen="auto", n_target=n_target, replicate=replicate_row(rows.noise)
        )
        self.say(show_comparison(comparison))
        self.say(show_verdict(models["auto"].verdict))
        return comparison

    def choose(self, model: TransferredModel, chosen: Dataset) -> Choice:
        """Recommend, then measure the winner and the default side by side."""
        allowed = allowed_rows(self.candidates, allowed_by(chosen))
        ranked = recommend(model, candidates=allowed, n=2, coverage=COVERAGE, seed=self.story.seed)
        self.heading("The recommendation, checked by measuring it")
        with MeasuringProgress(self.console, "verifying") as shown:
            return verified_choice(
                ranked,
                self.target,
                self.store,
                protocol=self.story.protocol,
                campaign=self.campaign,
                coverage=COVERAGE,
                seed=self.story.seed,
                n_candidates=len(allowed),
                progress=shown,
            )

    def report(
        self, source: Dataset, rows: _TargetRows, model: TransferredModel, *, comparison: Comparison, choice: Choice
    ) -> ReportData:
        before = transfer(sources=[], target=source, property=PROPERTY.name, seed=self.story.seed)
        here, there = self.source.environment.name, self.target.environment.name
        return ReportData(
            title=f"{here} to {there}",
            created=datetime.now(UTC),
            property=PROPERTY,
            options=self.target.space.options,
            environments=self.environments(),
            absent=self.absent,
            comparison=comparison,
            predictions=predicted_and_measured(model, rows.chosen, rows.test, coverage=COVERAGE),
            influences=influences_of(
                [(before, self.source.space, here, "source"), (model, self.target.space, there, "target")]
            ),
            changes=changes_of(source, rows.chosen, model),
            recommendation=choice,
            verdict=model.verdict,
            reproduction=Reproduction(self.story.command, self.story.seed, versions(), self.story.store),
        )

    def environments(self) -> tuple[ReportedEnvironment, ...]:
        roles: tuple[tuple[Rig, Role], ...] = ((self.source, "source"), (self.target, "target"))
        return tuple(
            ReportedEnvironment(
                rig.environment,
                role,
                measuring_summary(list(self.measured[rig.environment.name].values()), PROPERTY.name),
            )
            for rig, role in roles
        )

    def measure(self, rig: Rig, frame: pd.DataFrame, *, block: int = 0) -> list[Measurement]:
        """Return one measurement a row of `frame`, making those the store lacks.

        Raises:
            KeyboardInterrupt: After Ctrl-C; everything up to then is stored.
        """
        with MeasuringProgress(self.console, "measuring") as shown:
            measured = measure_configurations(
                rig,
                frame,
                self.store,
                protocol=self.story.protocol,
                block=block,
                campaign=self.campaign,
                seed=self.story.seed,
                progress=shown,
            )
        if len(measured) < len(frame):
            raise KeyboardInterrupt
        self.measured[rig.environment.name].update({found.key[:4]: found for found in measured})
        return measured

    def dataset(self, rig: Rig, measured: Sequence[Measurement]) -> Dataset:
        return dataset_of(measured, space=rig.space, properties={PROPERTY.name: PROPERTY})

    def heading(self, text: str) -> None:
        self.console.print()
        self.console.print(Text(text, style="bold cyan"))

    def say(self, what: RenderableType) -> None:
        self.console.print(Padding(what, (0, 0, 0, 2)))


# Few enough that thirty measurements say something about each; the systems have more.
_OPTIONS = {
    "onnxruntime": [
        "intra_op_threads",
        "execution_mode",
        "inter_op_threads",
        "spinning",
        "graph_optimisation",
        "memory_arena",
        "memory_pattern",
        "batch",
    ],
    "openvino": ["threads", "streams", "performance_hint", "precision", "cpu_pinning", "hyper_threading", "batch"],
}


def _environments(move: Move) -> tuple[EnvironmentSpec, EnvironmentSpec]:
    """Return source and target; PP-OCRv4 finds text in images, and is small enough to be measured in seconds."""
    source = _environment("ppocr-det-160px", "onnxruntime", "ppocr_det", {"side": 160})
    match move:
        case "size":
            target = _environment("ppocr-det-320px", "onnxruntime", "ppocr_det", {"side": 320})
        case "network":
            target = _environment("ppocr-rec-160px", "onnxruntime", "ppocr_rec", {"width": 160})
        case "openvino":
            target = _environment("ppocr-det-160px-openvino", "openvino", "ppocr_det", {"side": 160})
    return source, target


def _environment(name: str, system: str, network: str, workload: dict[str, int]) -> EnvironmentSpec:
    settings = {"options": _OPTIONS[system]}
    return EnvironmentSpec(name=name, system=system, network=network, workload=workload, settings=settings)


def _candidates(rig: Rig, seed: int) -> pd.DataFrame:
    """Return every valid configuration of the target, or enough of them drawn at random."""
    size = rig.space.size()
    if size is not None and size <= ENOUGH_CANDIDATES:
        return pd.concat(list(rig.space.enumerate()), ignore_index=True)
    return rig.space.sample(ENOUGH_CANDIDATES, rng_for(seed, "candidates"))
