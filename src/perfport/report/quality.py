"""The quality of a campaign's measurements in the terminal: grades, replicate error, drift."""

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from perfport.measure.quality.drift import FLAGGED, MIN_SENTINELS, Drift
from perfport.measure.quality.summary import CampaignQuality, EnvironmentQuality
from perfport.report.terminal import plain, simple_table
from perfport.report.wording import format_duration, format_pct, grades_text

__all__ = ["quality_fields", "show_quality"]

_SHOWN_REASONS = 3
_SHOWN_DRIFT_PCT = 0.1


def show_quality(quality: CampaignQuality) -> RenderableType:
    """Return grades and replicate error of each environment, and drift over all of them, within 80 columns."""
    table = simple_table("How good the measurements are")
    for name in ("Environment", "Grades", "Replicate error", "Why not A"):
        table.add_column(name, overflow="fold")
    for found in quality.environments:
        table.add_row(*(plain(cell) for cell in _cells(found)))
    n_flagged = sum(found.n_flagged for found in quality.environments)
    return Group(table, Text(_drift_sentence(quality.drift, n_flagged)))


def quality_fields(quality: CampaignQuality) -> dict[str, Any]:
    """Return the same as plain JSON data."""
    environments = [
        {
            "environment": found.environment,
            "grades": dict(found.grades),
            "reasons": dict(found.reasons),
            "measured_again": found.n_again,
            "replicate_error_pct": found.replicates.mape_pct if found.replicates.n_pairs else None,
            "replicated": found.replicates.n_pairs,
            "flagged_for_drift": found.n_flagged,
        }
        for found in quality.environments
    ]
    drift = quality.drift
    if drift is None:
        return {"environments": environments, "drift": None}
    told = {
        "lowest_pct": drift.range_pct[0],
        "highest_pct": drift.range_pct[1],
        "sentinel_noise_pct": drift.noise_pct,
        "sentinels": len(drift.at_s),
        "minutes": drift.minutes,
    }
    return {"environments": environments, "drift": told}


def _cells(found: EnvironmentQuality) -> Iterator[str]:
    yield found.environment
    yield grades_text(found.grades) + (f"; {found.n_again} made again" if found.n_again else "")
    noise = found.replicates
    yield f"{format_pct(noise.mape_pct)} of {noise.n_pairs}" if noise.n_pairs else "none measured twice"
    yield ", ".join(f"{reason} {count}" for reason, count in list(found.reasons.items())[:_SHOWN_REASONS])


def _drift_sentence(drift: Drift | None, n_flagged: int) -> str:
    if drift is None:
        return f"Drift is not known: fewer than {MIN_SENTINELS} re-measurements of the first configuration."
    lowest, highest = drift.range_pct
    sentinels = f"{len(drift.at_s)} sentinels, each good to {format_pct(drift.noise_pct)}"
    found = f"{lowest:+.1f} % to {highest:+.1f} %" if highest - lowest >= _SHOWN_DRIFT_PCT else "none found"
    told = f"Drift over {format_duration(drift.minutes * 60)}: {found} ({sentinels})."
    if n_flagged:
        told += f" {n_flagged} rows were measured while the machine was more than {FLAGGED:.0%} off its average."
    return told
