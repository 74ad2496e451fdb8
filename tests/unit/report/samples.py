"""A made-up transfer between two boards, whole enough to fill every part of a report."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd

from perfport.advise.comparison.result import Comparison as Changes
from perfport.advise.comparison.result import InfluenceChange, RankChange
from perfport.advise.influences.explanation import EffectCurve
from perfport.data.environment import Environment
from perfport.data.measurement import Property, Status
from perfport.report.content import (
    Choice,
    Comparison,
    EnvironmentInfluences,
    ErrorRow,
    Estimate,
    Influence,
    LearningCurve,
    MeasuringSummary,
    Predictions,
    ReportData,
    ReportedEnvironment,
    Reproduction,
)
from perfport.seeding import rng_for
from perfport.space.options import Level, Option
from perfport.transfer.verdict import Verdict

TIME = Property("inference_time_s", "s", "minimise", "Median time of one inference")

OPTIONS = (
    Option(name="intra_threads", type="ordinal", values=(1, 2), description="Threads inside one operator"),
    Option(name="inter_threads", type="ordinal", values=(1, 2), description="Operators that run at once"),
    Option(name="execution_mode", type="categorical", values=("sequential", "parallel")),
    Option(name="spinning", type="boolean", description="Threads wait busily instead of sleeping"),
    Option(name="graph_optimisation", type="ordinal", values=("none", "basic", "extended", "all")),
    Option(name="batch", type="ordinal", values=(1, 2, 4)),
    Option(name="arena", type="boolean", description="Keep freed memory for the next inference"),
    Option(name="cpu_freq_hz", type="ordinal", values=(0.8e9, 1.2e9, 1.6e9), unit="Hz", owner="actuator"),
)

SOURCE = Environment(
    "ocr-small",
    {"processor": "Cortex-A78AE", "cores": 8, "memory_bytes": 32_000_000_000, "architecture": "aarch64"},
    {"name": "ppocr_det", "precision": "float32", "sha256": "0f3c5a9b7712e4d1"},
    {"image_side": 320, "batch": 1},
    {"runtime": "onnxruntime 1.24.1", "python": "3.11.7", "kernel": "6.8.0"},
)
TARGET = Environment(
    "ocr-large",
    {"processor": "Cortex-A57", "cores": 4, "memory_bytes": 8_000_000_000, "architecture": "aarch64"},
    {"name": "ppocr_det", "precision": "float32", "sha256": "0f3c5a9b7712e4d1"},
    {"image_side": 640, "batch": 1},
    {"runtime": "onnxruntime 1.24.1", "python": "3.11.7", "kernel": "5.15.0"},
)


def sample_configurations(n: int) -> pd.DataFrame:
    rng = rng_for(0, "configurations")
    columns = {option.name: rng.choice(np.array(option.values or (False, True)), n) for option in OPTIONS}
    return pd.DataFrame(columns)


def sample_predictions(n: int = 40, n_fitted: int = 10) -> Predictions:
    rng = rng_for(0, "predictions")
    measured = np.exp(rng.normal(-3.4, 0.7, n))
    predicted = measured * np.exp(rng.normal(0.0, 0.07, n))
    spread = np.exp(0.13)
    return Predictions(
        sample_configurations(n), measured, predicted, np.arange(n) < n_fitted, predicted / spread, predicted * spread
    )


def sample_choice() -> Choice:
    default: dict[str, Level | None] = {
        "intra_threads": 1,
        "inter_threads": 1,
        "execution_mode": "sequential",
        "spinning": True,
        "graph_optimisation": "all",
        "batch": 1,
        "arena": True,
        "cpu_freq_hz": 1.2e9,
    }
    return Choice(
        configuration=default | {"intra_threads": 2, "spinning": False, "cpu_freq_hz": 1.6e9},
        default=default,
        predicted=Estimate(0.01243, 0.0112, 0.0139),
        verified=Estimate(0.01208, 0.0119, 0.0123),
        default_measured=Estimate(0.0221, 0.0218, 0.0226),
        n_candidates=1152,
    )


def sample_changes(source: str = "ocr-small", target: str = "ocr-large") -> Changes:
    """One influence of every kind."""
    return Changes(
        property=TIME,
        source=source,
        target=target,
        influences=(
            InfluenceChange(("intra_threads",), "stays", 0.99, 1.02, 0.93, 1.11, 28.0, 28.6, (25.9, 31.5)),
            InfluenceChange(("graph_optimisation",), "scales", 0.97, 0.42, 0.35, 0.5, 22.0, 8.7, (7.2, 10.5)),
            InfluenceChange(("spinning",), "flips", 1.0, -0.8, -0.95, -0.66, 20.0, 15.7, (12.8, 18.9)),
            InfluenceChange(
                ("execution_mode", "inter_threads"), "vanishes", 0.92, 0.02, -0.1, 0.2, 9.0, 0.2, (-0.9, 1.7)
            ),
            InfluenceChange(("batch",), "reshapes", 0.7, 0.4, 0.2, 0.6, 7.0, 6.0, (4.0, 8.0)),
            InfluenceChange(("cpu_freq_hz",), "appears", 0.95, None, None, None, 0.3, 12.0, (9.0, 15.0)),
        ),
        ranks=(
            RankChange({"intra_threads": 1, "spinning": True}, 40, 3, 0.031, 0.012),
            RankChange({"intra_threads": 1, "spinning": False}, 2, 30, 0.011, 0.028),
        ),
        rank_correlation=0.71,
        median_ratio=1.9,
        n_configurations=1152,
        n_target_rows=20,
        noise_pct=4.1,
        smallest_effect_pct=2.0,
        tolerance=0.25,
        coverage=0.9,
        interval_origin="20 measured rows of the target",
        notes=("1 of 21 rows dropped",),
    )


def sample_curve(scale: float = 1.0, *, has_interval: bool = True) -> EffectCurve:
    """Two levels, the second 1.8 times faster."""
    lower, upper = (scale * 0.033, scale * 0.018), (scale * 0.039, scale * 0.023)
    return EffectCurve(
        "intra_threads", "", (1, 2), (scale * 0.036, scale * 0.02),
        lower if has_interval else None, upper if has_interval else None, is_binned=False,
    )  # fmt: skip


def sample_report() -> ReportData:
    """Every part given."""
    return ReportData(
        title="ocr-small to ocr-large: inference time of PP-OCRv4 detection",
        created=datetime(2026, 1, 31, 14, 5, tzinfo=UTC),
        property=TIME,
        options=OPTIONS,
        environments=(
            ReportedEnvironment(
                SOURCE,
                "source",
                MeasuringSummary({Status.OK: 48}, {}, 83.2, 2.1, 6, {"A": 41, "B": 5, "C": 2}, n_again=3),
            ),
            ReportedEnvironment(
                TARGET,
                "target",
                MeasuringSummary(
                    {Status.OK: 40, Status.FAILED: 2, Status.TIMED_OUT: 1, Status.INVALID: 0},
                    {"not enough memory for batch 4": 2, "over the limit of 20 s": 1},
                    192.0,
                    replicate_error_pct=2.9,
                    n_replicated=8,
                ),
            ),
        ),
        absent={"energy_j": "this machine has no readable energy counter (no RAPL, no INA sensor)"},
        comparison=Comparison(
            rows=(
                ErrorRow("auto", 6.1, 4.4, 0.983, 30),
                ErrorRow("linear_shift", 13.7, 9.8, 0.951, 30),
                ErrorRow("target_only", 18.2, 14.9, 0.902, 30),
                ErrorRow("direct", 61.5, 63.0, 0.951, 30),
            ),
            chosen="auto",
            n_target=10,
            replicate=ErrorRow("measured again", 2.9, 1.8, 0.997, 8),
        ),
        predictions=sample_predictions(),
        influences=(
            EnvironmentInfluences(
                "ocr-small",
                "source",
                (
                    Influence(("intra_threads",), 0.34, "decreases", "1 to 2: 9.1 ms to 5.4 ms"),
                    Influence(("graph_optimisation",), 0.22, "decreases", "none to all: 8.2 ms to 6.0 ms"),
                    Influence(("execution_mode", "inter_threads"), 0.09),
                    Influence(("spinning",), 0.07, "decreases", "off to on: 7.3 ms to 6.6 ms"),
                    Influence(("arena",), 0.002),
                ),
                (sample_curve(0.25, has_interval=False),),
            ),
            EnvironmentInfluences(
                "ocr-large",
                "target",
                (
                    Influence(("intra_threads",), 0.41, "decreases", "1 to 2: 36 ms to 20 ms", 0.35, 0.47),
                    Influence(("spinning",), 0.18, "increases", "off to on: 22 ms to 29 ms", 0.13, 0.22),
                    Influence(("graph_optimisation",), 0.12, "decreases", "none to all: 30 ms to 25 ms"),
                    Influence(("inter_threads", "execution_mode"), 0.11),
                    Influence(("cpu_freq_hz",), 0.10, "decreases", "800 MHz to 1.60 GHz: 33 ms to 21 ms"),
                ),
                (sample_curve(),),
            ),
        ),
        changes=sample_changes(),
        learning_curves=(
            LearningCurve("auto", (3, 5, 7, 10), (12.0, 9.1, 7.4, 6.1)),
            LearningCurve("target_only", (3, 5, 7, 10), (58.0, 37.0, 25.5, 18.2)),
        ),
        recommendation=sample_choice(),
        verdict=Verdict(
            "helped",
            {"member:influence": 0.71, "member:zero": 0.29, "source:ocr-small": 0.86},
            5.8,
            17.4,
            ("option 'cpu_freq_hz' is not in source 'ocr-small' and was learnt from the target alone",),
        ),
        reproduction=Reproduction(
            "perfport quickstart --seed 7 --store perfport.db",
            7,
            {"perfport": "0.1.0", "python": "3.11.7", "onnxruntime": "1.24.1", "numpy": "2.4.0"},
            "perfport.db",
        ),
    )
