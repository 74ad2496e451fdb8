"""The card of a model: what it is, what it rests on, how wrong it may be, where it must not be used.

Example:
    >>> card = model_card(model, held_out=target.take(rest))  # doctest: +SKIP
    >>> Path("model-card.md").write_text(card.to_markdown())  # doctest: +SKIP
"""

import builtins
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

import numpy as np

from perfport.advise.rendering import level_text, plain
from perfport.data.dataset import Dataset
from perfport.data.environment import FACETS, Environment
from perfport.data.measurement import Property, Status
from perfport.errors import UsageError
from perfport.model.metrics import mape_pct
from perfport.model.rows import usable_rows
from perfport.seeding import rng_for
from perfport.space.options import Level, Option
from perfport.space.space import Space
from perfport.transfer.recipe import Recipe
from perfport.transfer.transferred import TransferredModel
from perfport.transfer.verdict import Verdict
from perfport.version import __version__

__all__ = ["CardEnvironment", "CardOption", "HeldOut", "ModelCard", "model_card"]

_COVERAGE = 0.9
_WIDTH_ROWS = 500  # configurations that say how wide intervals typically are
_SHOWN_LEVELS = 8


@dataclass(frozen=True, slots=True)
class CardEnvironment:
    """An environment the model rests on.

    Attributes:
        name: What people call it.
        fingerprint: Of its facts.
        facts: "facet.fact" -> value.
        n_rows: Rows of it that were given.
        n_usable: Those with a positive response, which the model could learn from.
        cost_s: Wall time they took to measure, in seconds; None if it is not known for all.
        key: Hash of the rows.
    """

    name: str
    fingerprint: str
    facts: Mapping[str, str | int | float | bool]
    n_rows: int
    n_usable: int
    cost_s: float | None
    key: str


@dataclass(frozen=True, slots=True)
class CardOption:
    """An option, and how far the target rows cover it.

    Attributes:
        name: Its name.
        unit: Of its levels.
        levels: All it may take, as text.
        measured: Levels that occur in the target rows that the model could learn from.
        is_range_left: Whether it takes numbers beyond those measured in the target.
    """

    name: str
    unit: str
    levels: str
    measured: tuple[Level, ...]
    is_range_left: bool


@dataclass(frozen=True, slots=True)
class HeldOut:
    """How the model did on measured rows it was not fitted on.

    Attributes:
        n_rows: How many.
        mape_pct: Mean absolute percentage error.
        share_inside: Share of responses inside their intervals.
    """

    n_rows: int
    mape_pct: float
    share_inside: float


@dataclass(frozen=True, slots=True)
class ModelCard:
    """All a reader needs before trusting a model.

    Attributes:
        title: One line.
        created: When, ISO 8601, UTC.
        perfport: Version that made it.
        fingerprint: Hash of recipe and rows: equal fingerprints are equal models.
        property: What is predicted.
        strategy: How.
        seed: Of all randomness.
        target: Where it holds.
        sources: What it was transferred from.
        options: What it may be asked about.
        verdict: How far the sources helped, with the estimated errors.
        interval_pct: Typical half width of its 90 % interval, in percent of the prediction; None without limits.
        held_out: Its error on rows it had not seen; None if none were given.
        limits: Where it must not be used, in sentences.
    """

    title: str
    created: str
    perfport: str
    fingerprint: str
    property: Property
    strategy: str
    seed: int
    target: CardEnvironment
    sources: tuple[CardEnvironment, ...]
    options: tuple[CardOption, ...]
    verdict: Verdict
    interval_pct: float | None
    held_out: HeldOut | None
    limits: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        return asdict(self) | {"verdict": asdict(self.verdict) | {"gain": self.verdict.gain}}

    def to_json(self) -> str:
        """Return the card as JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """Return the card as Markdown; names and texts in it cannot become markup."""
        return "\n".join([*self._head(), *self._rests_on(), *self._accuracy(), *self._scope()]) + "\n"

    def _head(self) -> list[str]:
        rows = [
            ("property", f"{self.property.name} ({self.property.unit or 'no unit'}, {self.property.direction})"),
            ("environment", f"{self.target.name} ({self.target.fingerprint})"),
            ("strategy", f"{self.strategy}, seed {self.seed}"),
            ("created", f"{self.created} with perfport {self.perfport}"),
            ("fingerprint", self.fingerprint),
        ]
        return [f"# {_md(self.title)}", "", *_table(("", ""), rows), ""]

    def _rests_on(self) -> list[str]:
        rows = [
            (role, one.name, one.fingerprint, f"{one.n_usable} of {one.n_rows}", _hours(one.cost_s), one.key)
            for role, one in [("target", self.target), *(("source", source) for source in self.sources)]
        ]
        lines = ["## What it rests on", ""]
        lines += _table(("role", "environment", "fingerprint", "rows used", "measuring time", "rows hash"), rows)
        facts = [(name, str(value)) for name, value in self.target.facts.items()]
        return [
            *lines,
            "",
            *(_table(("fact of the target", "value"), facts) if facts else ["No facts are stated."]),
            "",
        ]

    def _accuracy(self) -> list[str]:
        verdict = self.verdict
        rows = [
            ("verdict", verdict.decision),
            ("estimated error", _pct(verdict.estimated_error_pct)),
            ("estimated error of the target rows alone", _pct(verdict.target_only_error_pct)),
            ("typical half width of the 90 % interval", _pct(self.interval_pct)),
        ]
        if self.held_out is not None:
            rows.append((f"error on {self.held_out.n_rows} rows it had not seen", _pct(self.held_out.mape_pct)))
            rows.append(("of them inside their 90 % interval", f"{self.held_out.share_inside:.0%}"))
        shares = [f"- {_md(name)}: {weight:.2f}" for name, weight in verdict.weights.items() if weight >= 0.01]
        weights = ["", "Weights:", "", *shares] if shares else []
        return ["## How wrong it may be", "", *_table(("", ""), rows), *weights, ""]

    def _scope(self) -> list[str]:
        rows = [
            (one.name, one.levels, ", ".join(level_text(level, one.unit) for level in _some(one.measured)) or "none")
            for one in self.options
        ]
        lines = ["## Options", "", *_table(("option", "levels", "measured in the target"), rows), ""]
        return [*lines, "## Limits", "", *(f"- {_md(limit)}" for limit in self.limits)]

    def __str__(self) -> str:
        return self.to_markdown()

    def _repr_html_(self) -> str:
        rows = "".join(f"<li>{escape(limit)}</li>" for limit in self.limits)
        return f"<h4>{escape(self.title)}</h4><p>{escape(str(self.verdict))}</p><ul>{rows}</ul>"

    @builtins.property
    def is_transferred(self) -> bool:
        """Whether any source was given."""
        return bool(self.sources)


def model_card(
    model: TransferredModel, *, held_out: Dataset | None = None, created: datetime | None = None
) -> ModelCard:
    """Describe a model made by `perfport.transfer`.

    Args:
        model: The model.
        held_out: Measured target rows it was not fitted on, for its error; rows it was fitted on are refused.
        created: When it was made; now if not given.

    Raises:
        UsageError: If the model has no recipe, or `held_out` shares a configuration with its target rows.
    """
    recipe = model.recipe
    if recipe is None:
        raise UsageError("the model does not say what it was made from; only models of perfport.transfer have a card")
    space, name = recipe.target.space, recipe.property
    usable, _ = usable_rows(recipe.target, name)
    return ModelCard(
        title=f"{name} on {recipe.target.environment.name}",
        created=(created or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds"),
        perfport=__version__,
        fingerprint=_fingerprint(recipe),
        property=model.property,
        strategy=_strategy_name(recipe),
        seed=recipe.seed,
        target=_environment(recipe.target, name),
        sources=tuple(_environment(source, name) for source in recipe.sources),
        options=tuple(_option(option, usable) for option in space.options),
        verdict=model.verdict,
        interval_pct=_interval_pct(model, space),
        held_out=None if held_out is None else _held_out(model, recipe, held_out),
        limits=_limits(model, recipe, usable),
    )


def _environment(dataset: Dataset, name: str) -> CardEnvironment:
    environment: Environment = dataset.environment
    cost_s = float(dataset.cost_s.sum())
    return CardEnvironment(
        name=environment.name,
        fingerprint=environment.fingerprint,
        facts={f"{facet}.{fact}": value for facet in FACETS for fact, value in getattr(environment, facet).items()},
        n_rows=len(dataset),
        n_usable=len(usable_rows(dataset, name)[0]),
        cost_s=cost_s if np.isfinite(cost_s) else None,
        key=dataset.key,
    )


def _option(option: Option, usable: Dataset) -> CardOption:
    found = {level for level in map(plain, usable.configurations[option.name].unique()) if level is not None}
    measured = tuple(sorted(found, key=lambda level: (str(type(level)), level)))
    numbers = [float(level) for level in measured if isinstance(level, int | float)]
    is_left = option.is_numeric and (not numbers or option.bounds[0] < min(numbers) or option.bounds[1] > max(numbers))
    levels = option.allowed.removeprefix("its levels are ").removeprefix("allowed are ")
    return CardOption(option.name, option.unit, levels, measured, is_left)


def _interval_pct(model: TransferredModel, space: Space) -> float | None:
    rows = space.sample(_WIDTH_ROWS, rng_for(0, "advise", "card"))
    lower, upper = model.predict_interval(rows, coverage=_COVERAGE)
    with np.errstate(divide="ignore", invalid="ignore"):
        half = 100.0 * np.expm1(0.5 * np.log(upper / lower))
    typical = float(np.median(half))
    return typical if np.isfinite(typical) else None


def _held_out(model: TransferredModel, recipe: Recipe, held_out: Dataset) -> HeldOut:
    rows, _ = usable_rows(held_out, recipe.property)
    seen = recipe.target.configurations.drop_duplicates()
    names = list(recipe.target.space.names)
    if len(rows.configurations[names].merge(seen[names], on=names, how="inner")):
        raise UsageError("held_out shares configurations with the rows the model was fitted on; give others")
    y = rows.response(recipe.property)
    lower, upper = model.predict_interval(rows.configurations, coverage=_COVERAGE)
    return HeldOut(
        n_rows=len(rows),
        mape_pct=mape_pct(y, model.predict(rows.configurations)),
        share_inside=float(np.mean((lower <= y) & (y <= upper))),
    )


def _limits(model: TransferredModel, recipe: Recipe, usable: Dataset) -> tuple[str, ...]:
    target = recipe.target
    limits = [
        f"It holds for the environment {target.environment.fingerprint} only: another device, network, workload or "
        "software version needs a transfer of its own"
    ]
    unseen, ranges = [], []
    for option in target.space.options:
        one = _option(option, usable)
        if option.levels is not None and len(one.measured) < len(option.levels):
            unseen.append(f"{option.name} ({len(option.levels) - len(one.measured)} of {len(option.levels)} levels)")
        if one.is_range_left:
            ranges.append(option.name)
    n_failed = int((target.status != Status.OK.value).sum())
    if n_failed:
        limits.append(f"{n_failed} of the {len(target)} target rows failed: what is like them may not run at all")
    if unseen:
        limits.append(f"Not measured in the target, only inferred: {', '.join(unseen)}")
    if ranges:
        limits.append(f"It extrapolates beyond the measured range of {', '.join(ranges)}")
    if model.verdict.estimated_error_pct is None:
        limits.append("Its error could not be estimated from so few rows")
    if not recipe.sources:
        limits.append("It rests on the target rows alone; nothing was transferred")
    unstated = [facet for facet in FACETS if not getattr(target.environment, facet)]
    if unstated:
        limits.append(f"The target states no facts about its {', '.join(unstated)}, so nothing tells when it changed")
    return (*limits, *model.verdict.notes)


def _fingerprint(recipe: Recipe) -> str:
    content = {
        "property": recipe.property,
        "strategy": _strategy_name(recipe),
        "seed": recipe.seed,
        "rename": dict(recipe.rename or {}),
        "target": recipe.target.key,
        "sources": [source.key for source in recipe.sources],
        "perfport": __version__,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _strategy_name(recipe: Recipe) -> str:
    return recipe.strategy if isinstance(recipe.strategy, str) else type(recipe.strategy).__name__


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(_md(cell) for cell in row)} |" for row in (head, *rows)]
    return [lines[0], "|" + "---|" * len(head), *lines[1:]]


def _md(text: str) -> str:
    """Escape what Markdown (CommonMark, tables of GitHub) would read as markup; one line."""
    line = " ".join(text.split())
    # An underscore inside a word is no markup, and names are full of them.
    return re.sub(r"[\\`*{}\[\]<>#|~&]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", line)


def _pct(value: float | None) -> str:
    return "not known" if value is None else f"{value:.3g} %"


def _hours(cost_s: float | None) -> str:
    if cost_s is None:
        return "not known"
    return (
        f"{cost_s:.0f} s" if cost_s < 600 else f"{cost_s / 60:.0f} min" if cost_s < 36_000 else f"{cost_s / 3600:.1f} h"
    )


def _some(levels: tuple[Level, ...]) -> tuple[Level, ...]:
    if len(levels) <= _SHOWN_LEVELS:
        return levels
    return tuple(levels[round(i)] for i in np.linspace(0, len(levels) - 1, _SHOWN_LEVELS))
