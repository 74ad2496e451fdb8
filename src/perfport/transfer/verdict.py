"""The verdict on a transfer: were the sources used, how far, and what did it buy."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html import escape
from typing import Literal

import numpy as np

from perfport.data.measurement import FloatArray

__all__ = ["Decision", "Verdict", "judged"]

Decision = Literal["helped", "no help", "harmful", "harmful, not used", "no source"]

CLEAR_GAIN = 1.1  # estimated errors of a handful of rows that differ by less cannot be told apart
CLEAR_LOSS = 0.7  # further from 1 than a gain: giving a source up is dearer than keeping one that does little


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the sources of a transfer were used. All errors are estimates from the target rows alone.

    Attributes:
        decision: "helped" (the sources lower the estimated error), "no help" (they change little, or
            nothing can be said from so few rows), "harmful" (they raise it, and the strategy uses them all
            the same), "harmful, not used" (they would raise it; the model rests on the target rows), "no
            source" (there are none).
        weights: Member or source -> share of the prediction it carries; members are named
            "member:<name>", sources "source:<environment>". Empty for strategies without weights.
        estimated_error_pct: Leave-one-out estimate of the mean absolute percentage error, in percent;
            None when it cannot be estimated (a single target row).
        target_only_error_pct: The same for a model of the target rows alone.
        gain: target_only_error_pct / estimated_error_pct; above 1 the transfer pays. None if unknown.
        notes: What the caller should know: rows dropped, options or levels that were not transferred.
    """

    decision: Decision
    weights: Mapping[str, float] = field(default_factory=dict)
    estimated_error_pct: float | None = None
    target_only_error_pct: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def gain(self) -> float | None:
        """Estimated error without the sources over estimated error with them; None if unknown."""
        if self.estimated_error_pct is None or self.target_only_error_pct is None:
            return None
        # An exact fit leaves no error to compare with; a floor keeps the ratio finite.
        return self.target_only_error_pct / max(self.estimated_error_pct, 1e-9)

    def __str__(self) -> str:
        """One line: decision, errors, weights above 1 %, notes."""
        parts: list[str] = [self.decision]
        if self.estimated_error_pct is not None:
            text = f"estimated error {self.estimated_error_pct:.3g} %"
            if self.target_only_error_pct is not None:
                text += f" (target only {self.target_only_error_pct:.3g} %, gain {self.gain:.2f})"
            parts.append(text)
        shares = [f"{name} {weight:.2f}" for name, weight in self.weights.items() if weight >= 0.01]
        if shares:
            parts.append("weights " + ", ".join(shares))
        return "; ".join([*parts, *self.notes])

    def _repr_html_(self) -> str:
        errors = {
            "estimated error": self.estimated_error_pct,
            "error of the target rows alone": self.target_only_error_pct,
        }
        rows = [(name, f"{error:.3g} %") for name, error in errors.items() if error is not None]
        rows += [(f"weight of {name}", f"{weight:.2f}") for name, weight in self.weights.items() if weight >= 0.01]
        cells = "".join(f"<tr><td>{escape(name)}</td><td>{value}</td></tr>" for name, value in rows)
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        table = f"<table>{cells}</table>" if cells else ""
        return f"<p><b>{escape(self.decision)}</b></p>{table}" + (f"<ul>{notes}</ul>" if notes else "")


def judged(
    errors_pct: FloatArray,
    alone_pct: FloatArray,
    *,
    weights: Mapping[str, float] | None = None,
    notes: tuple[str, ...] = (),
) -> Verdict:
    """Return the verdict on a model that uses its sources.

    Harm has to show in the median of the errors too: one row that is far off decides a mean.

    Args:
        errors_pct: Left-out absolute percentage error of every row by the model, shape (n,); one says nothing.
        alone_pct: The same by a model of the target rows alone.
        weights: As in `Verdict`.
        notes: As in `Verdict`.
    """
    estimated, alone = (float(errors.mean()) if len(errors) > 1 else None for errors in (errors_pct, alone_pct))
    verdict = Verdict("no help", weights or {}, estimated, alone, notes)
    if verdict.gain is None:
        return verdict
    if verdict.gain >= CLEAR_GAIN:
        return replace(verdict, decision="helped")
    is_harmful = verdict.gain < CLEAR_LOSS and np.median(alone_pct) < CLEAR_LOSS * np.median(errors_pct)
    return replace(verdict, decision="harmful") if is_harmful else verdict
