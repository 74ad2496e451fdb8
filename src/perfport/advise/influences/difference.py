"""Why one configuration is faster than another: the difference, shared exactly among the options that differ.

The shares are Shapley values of the game "some options take their new level, the others keep the old
one", so they sum to the predicted difference. Options that act mostly together are named together.

Example:
    >>> print(explain_difference(model, slow, fast, space=space))  # doctest: +SKIP
    2.4x slower (22.4 ms to 54.1 ms): +38.0 ms from threads=4 with spinning=on, -6.3 ms from graph_optimisation=all
"""

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from perfport.advise.influences.shapley import Split, split
from perfport.advise.rendering import change_text, html_block, setting_text
from perfport.advise.uncertainty import central_response
from perfport.data.measurement import FloatArray, Property
from perfport.model.base import PerformanceModel
from perfport.model.threads import one_thread
from perfport.seeding import rng_for
from perfport.space.constraints import Expression
from perfport.space.options import Level
from perfport.space.space import Configuration, Space
from perfport.units import format_quantity

__all__ = ["Contribution", "Difference", "explain_difference"]

# Two options are named together when what they do jointly is at least this share of what they do at all.
_TOGETHER = 0.5
_SHOWN = 6
_SHOWN_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Contribution:
    """What some options add to the difference.

    Attributes:
        options: Options that act (mostly) together, most often one.
        setting: Their new levels, for people: "threads=4 with spinning=on".
        change: In the unit of the property.
        standard_error: Of `change` where orders were drawn at random, else 0.
    """

    options: tuple[str, ...]
    setting: str
    change: float
    standard_error: float = 0.0


@dataclass(frozen=True, slots=True)
class Difference:
    """One configuration explained against another.

    Attributes:
        property: What is explained.
        response: Predicted for the configuration, in the unit of the property.
        baseline_response: Predicted for the configuration it is held against.
        contributions: Largest first; their changes sum to `response - baseline_response`.
        options: Option -> its Shapley value, in the unit of the property; they have the same sum. Options
            that are switched on or off by another one are counted with it.
        pairs: Two options -> what they do together beyond what each does alone (Shapley-Taylor).
        is_exact: Whether all combinations were asked for; else orders were drawn at random.
    """

    property: Property
    response: float
    baseline_response: float
    contributions: tuple[Contribution, ...]
    options: Mapping[str, float]
    pairs: Mapping[tuple[str, str], float]
    is_exact: bool

    @builtins.property
    def ratio(self) -> float:
        """Response over that of the baseline."""
        return self.response / self.baseline_response

    def table(self) -> pd.DataFrame:
        """Return one row a contribution: setting, change, standard_error."""
        return pd.DataFrame(
            [(part.setting, part.change, part.standard_error) for part in self.contributions],
            columns=["setting", "change", "standard_error"],
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON types; pairs as a list."""
        pairs = [{"options": list(options), "change": change} for options, change in self.pairs.items()]
        return asdict(self) | {"pairs": pairs}

    def __str__(self) -> str:
        unit = self.property.unit
        ends = f"{format_quantity(self.baseline_response, unit)} to {format_quantity(self.response, unit)}"
        total = sum(abs(part.change) for part in self.contributions)
        shown = [part for part in self.contributions[:_SHOWN] if abs(part.change) >= _SHOWN_SHARE * total > 0]
        texts = [f"{change_text(part.change, unit)} from {part.setting}" for part in shown]
        rest = self.contributions[len(shown) :]
        if rest:
            texts.append(f"{change_text(sum(part.change for part in rest), unit)} from {len(rest)} more")
        return f"{self._headline()} ({ends})" + (": " + ", ".join(texts) if texts else ": the same in all options")

    def _headline(self) -> str:
        if not np.isfinite(self.ratio) or self.ratio <= 0:
            return change_text(self.response - self.baseline_response, self.property.unit)
        factor = max(self.ratio, 1.0 / self.ratio)
        if factor < 1.005:
            return "equal"
        more, less = ("slower", "faster") if self.property.unit == "s" else ("higher", "lower")
        return f"{factor:.3g}x {more if self.ratio > 1 else less}"

    def _repr_html_(self) -> str:
        return html_block(str(self), self.table())


@one_thread()
def explain_difference(
    model: PerformanceModel, configuration: Configuration, baseline: Configuration, *, space: Space, seed: int = 0
) -> Difference:
    """Explain the predicted difference between two configurations.

    Combinations of old and new levels are asked for even where the space forbids them. An option that is
    active in only one of the two moves together with the options that (de)activate it, since a model
    cannot be asked for a level of an inactive option.

    Args:
        model: Any performance model.
        configuration: The one to explain; a full, valid configuration.
        baseline: The one to hold it against, likewise.
        space: Of both.
        seed: Of the orders that are drawn where more than 12 options differ.

    Raises:
        InvalidConfigurationError: If one of the two is not valid.
    """
    for given in (configuration, baseline):
        space.validate(given)
    ends = space.frame([baseline, configuration])
    old_levels, new_levels = space.configurations(ends)
    levels = {name: (old_levels[name], new_levels[name]) for name in space.names}
    players = _players(space, levels)

    def game(members: np.ndarray[Any, np.dtype[np.bool_]]) -> FloatArray:
        is_new = {name: members[:, number] for number, names in enumerate(players) for name in names}
        old = np.zeros(len(members), dtype=np.bool_)
        rows = {name: ends[name].take(is_new.get(name, old).astype(np.int64)) for name in space.names}
        return central_response(model, pd.DataFrame({name: cells.array for name, cells in rows.items()}))

    shared = split(game, len(players), rng=rng_for(seed, "advise", "orders"))
    baseline_response, response = (float(end) for end in central_response(model, ends))
    units = {option.name: option.unit for option in space.options}
    settings = [
        ", ".join(setting_text(name, levels[name][1], units[name]) for name in names if levels[name][1] is not None)
        or ", ".join(setting_text(name, None) for name in names)
        for names in players
    ]
    labels = [names[0] for names in players]
    return Difference(
        property=model.property,
        response=response,
        baseline_response=baseline_response,
        contributions=_contributions(shared, players, settings),
        options={label: float(value) for label, value in zip(labels, shared.values, strict=True)},
        pairs={
            (labels[i], labels[j]): float(shared.together[i, j])
            for i in range(len(labels))
            for j in range(i + 1, len(labels))
        },
        is_exact=shared.n_orders is None,
    )


def _players(space: Space, levels: Mapping[str, tuple[Level | None, Level | None]]) -> list[tuple[str, ...]]:
    """Group the options that differ: each by itself, those of changed activity with what (de)activates them."""
    differing = [name for name, (old, new) in levels.items() if old != new]
    leader = {name: name for name in differing}
    for condition in space.conditions:
        child = condition.option
        if child not in leader or (levels[child][0] is None) == (levels[child][1] is None):
            continue
        for parent in Expression.parse(condition.when, space.names, space.constants).names:
            if parent in leader:
                joined, kept = leader[child], leader[parent]
                leader = {name: kept if leads == joined else leads for name, leads in leader.items()}
    # The leader, which switched the others, comes first.
    groups = {lead: [lead] for lead in differing if lead in leader.values()}
    for name in differing:
        if name != leader[name]:
            groups[leader[name]].append(name)
    return [tuple(names) for names in groups.values()]


def _contributions(
    shared: Split, players: Sequence[tuple[str, ...]], settings: Sequence[str]
) -> tuple[Contribution, ...]:
    sizes = np.abs(shared.values)
    group = np.arange(len(players))
    for i in range(len(players)):
        for j in range(i):
            if abs(shared.together[i, j]) > _TOGETHER * (sizes[i] + sizes[j]):
                group[group == group[i]] = group[j]
    found = []
    for number in sorted(set(group.tolist())):
        members = np.flatnonzero(group == number).tolist()
        found.append(
            Contribution(
                options=tuple(name for i in members for name in players[i]),
                setting=" with ".join(settings[i] for i in members),
                change=float(shared.values[members].sum()),
                standard_error=float(np.sqrt(np.square(shared.standard_errors[members]).sum())),
            )
        )
    return tuple(sorted(found, key=lambda part: -abs(part.change)))
