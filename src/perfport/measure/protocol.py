"""The measuring protocol: how often, how long, how precisely one configuration is measured.

Two measurements are comparable only if made under the same protocol, so its key is part of what
makes a stored measurement unique.
"""

import hashlib
from typing import Literal

from pydantic import Field, model_validator

from perfport.data.document import Document

__all__ = ["Protocol"]


class Protocol(Document):
    """How one configuration is measured.

    Attributes:
        label: Tells measurements of one purpose apart from others made with the same settings.
        warm_up_runs: Runs in one warm-up window; warm-up ends when the medians of two consecutive
            windows agree, so it takes at least two windows.
        warm_up_tolerance: Largest relative difference of those medians.
        warm_up_max_s: Warm-up ends after this time, or `max_repetitions` runs, even if it is not
            stable (which is recorded).
        min_repetitions: Fewest timed runs, whatever they cost.
        max_repetitions: Most timed runs.
        min_time_s: Timed runs go on at least this long: a handful of short ones would all fall
            into one burst of interference.
        budget_s: Timed runs stop after this time even if the interval is still wide.
        interval_width: Timed runs stop when the confidence interval of the median is narrower than
            this share of the median.
        confidence: Coverage of that interval.
        scheduling: "auto" times in short real-time bursts, which no other program interrupts, wherever
            that is allowed and measures the same thing; "plain" never. Which it was is a condition.
        timeout_s: Longest time for one configuration in all: open, warm up, timed runs, windows. Where it passes in
            the timed runs, the median of those begun is kept as a lower bound.
        window_s: Length of the second window in which meters outside the child are read; a meter
            that needs longer gets longer.
        output_tolerance: Largest difference of the outputs from those of the default
            configuration, as a share of their norm; larger is the outcome "wrong output". The
            default separates rounding (bfloat16 on the networks of the zoo: up to 0.17) from
            failure (float16 overflowing in PP-OCRv4 detection: 0.6; nothing at all: 1).
        memory_limit_bytes: Address space of the child process; None for no limit.
        configurations_per_child: A child process is replaced after this many configurations.
    """

    label: str = ""
    warm_up_runs: int = Field(default=3, ge=1)
    warm_up_tolerance: float = Field(default=0.05, gt=0)
    warm_up_max_s: float = Field(default=0.5, ge=0)
    min_repetitions: int = Field(default=7, ge=1)
    max_repetitions: int = Field(default=1000, ge=1)
    min_time_s: float = Field(default=0.2, ge=0)
    budget_s: float = Field(default=1.0, gt=0)
    interval_width: float = Field(default=0.02, gt=0)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    scheduling: Literal["auto", "plain"] = "auto"
    timeout_s: float = Field(default=60.0, gt=0)
    window_s: float = Field(default=1.0, gt=0)
    output_tolerance: float = Field(default=0.3, gt=0)
    memory_limit_bytes: int | None = Field(default=None, gt=0)
    configurations_per_child: int = Field(default=20, ge=1)

    @model_validator(mode="after")
    def _bounds_agree(self) -> "Protocol":
        if self.min_repetitions > self.max_repetitions:
            raise ValueError(
                f"min_repetitions {self.min_repetitions} is above max_repetitions {self.max_repetitions}; lower it"
            )
        if self.min_time_s > self.budget_s:
            raise ValueError(f"min_time_s {self.min_time_s:g} is above budget_s {self.budget_s:g}; lower it")
        if self.timeout_s <= self.budget_s:
            raise ValueError(f"timeout_s {self.timeout_s:g} is not above budget_s {self.budget_s:g}; raise it")
        return self

    @property
    def key(self) -> str:
        """Twelve hex digits over every field: measurements with equal keys are comparable."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]
