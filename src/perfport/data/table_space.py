"""From a datacard to what its files have in common: environments, properties and the space."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perfport.data.cells import number, read_csv
from perfport.data.environment import FACETS, Environment, Fact
from perfport.data.frames import MOST_LISTED_LEVELS
from perfport.data.measurement import Property, unit_of
from perfport.data.schema import CARD_FILE, Card, EnvironmentCard, ObjectiveCard, OptionCard, RangeCard
from perfport.errors import SpaceError, TableError, UsageError
from perfport.space.options import Level, Option
from perfport.space.space import Space

__all__ = ["check_environments", "environment_of", "file_of", "property_of", "space_of"]


def environment_of(system: str, card: EnvironmentCard) -> Environment:
    """Return the environment a card describes.

    A text is filed as the fact `name`; the software facet also names the system, so that two systems
    measured on the same device are two environments. A card that states nothing is told apart by name.
    """
    facets: dict[str, dict[str, Fact]] = {}
    for facet in FACETS:
        stated = getattr(card, facet)
        facets[facet] = {"name": stated} if isinstance(stated, str) else dict(stated or {})
    if not isinstance(card.software, dict):
        facets["software"] = {"system": system, **facets["software"]}
    if all(getattr(card, facet) is None for facet in FACETS):
        facets["workload"] = {"environment": card.name}
    return Environment(card.name, **facets)


def check_environments(root: Path, card: Card) -> None:
    """Refuse a card that names a file outside its folder, or two environments that cannot be told apart."""
    seen: dict[str, str] = {}
    for item in card.environments:
        file_of(root, item)
        try:
            fingerprint = environment_of(card.system, item).fingerprint
        except UsageError as error:
            raise TableError(f"{root / CARD_FILE}: {error}", file=root / CARD_FILE, **error.details) from error
        if fingerprint in seen:
            raise TableError(
                f"{root / CARD_FILE}: environments '{seen[fingerprint]}' and '{item.name}' state the same hardware, "
                "network, workload and software; state in what they differ",
                file=root / CARD_FILE,
            )
        seen[fingerprint] = item.name


def file_of(root: Path, card: EnvironmentCard) -> Path:
    """Return the path of an environment's file, which must lie inside the folder of the card."""
    path = root / card.file
    if not path.resolve().is_relative_to(root.resolve()):
        raise TableError(
            f"{root / CARD_FILE}: environment '{card.name}': file '{card.file}' is outside the folder; "
            "a card may only name files beside it",
            file=root / CARD_FILE,
        )
    return path


def property_of(card: ObjectiveCard) -> Property:
    """Return the property a card describes; the unit is that of its name if the card states none."""
    unit = unit_of(card.name) if card.unit is None else card.unit
    return Property(card.name, unit, card.direction, card.description)


def space_of(root: Path, card: Card) -> Space:
    """Return the space of a card, with the levels found in the files where the card lists none."""
    open_options = [item for item in card.options if _needs_files(item)]
    found = _levels_found(root, card, open_options) if open_options else {}
    try:
        return Space(
            options=[_option_of(item, found.get(item.name)) for item in card.options],
            conditions=[item.model_dump() for item in card.conditions],
            forbidden=list(card.forbidden),
            constraints=list(card.constraints),
            constants=dict(card.constants),
            name=card.system,
        )
    except SpaceError as error:
        raise TableError(f"{root / CARD_FILE}: {error}", file=root / CARD_FILE, **error.details) from error


def _needs_files(card: OptionCard) -> bool:
    if card.type == "boolean" or isinstance(card.values, tuple):
        return False
    # A range is enough for a number; an ordinal option's levels are steps, and which ones only the files say.
    return not isinstance(card.values, RangeCard) or card.type == "ordinal" or card.values.min == card.values.max


def _levels_found(root: Path, card: Card, options: Sequence[OptionCard]) -> dict[str, list[Level]]:
    texts: dict[str, set[str]] = {item.name: set() for item in options}
    for environment in card.environments:
        table = read_csv(file_of(root, environment))
        for item in options:
            texts[item.name].update(table.column(item.name, "an option of the card"))
    return {item.name: _sorted_levels(root, item, texts[item.name] - {""}) for item in options}


def _sorted_levels(root: Path, card: OptionCard, texts: set[str]) -> list[Level]:
    if not texts:
        raise TableError(
            f"{root / CARD_FILE}: option '{card.name}': no level in any file; list its values", option=card.name
        )
    numbers = {text: number(text) for text in texts}
    wrong = sorted(text for text, value in numbers.items() if value is None)
    if card.type == "categorical":
        # Text even if it looks like numbers: the card says the levels have no order.
        return sorted(texts)
    if wrong:
        raise TableError(
            f"{root / CARD_FILE}: option '{card.name}' is {card.type}, but a file holds '{wrong[0]}'; "
            "list its values in order, or make it categorical",
            option=card.name,
        )
    levels = sorted({value for value in numbers.values() if value is not None})
    limits = card.values
    if isinstance(limits, RangeCard) and not limits.min <= levels[0] <= levels[-1] <= limits.max:
        outside = levels[0] if levels[0] < limits.min else levels[-1]
        raise TableError(
            f"{root / CARD_FILE}: option '{card.name}': a file holds {outside}, "
            f"the card says {limits.min} to {limits.max}",
            option=card.name,
        )
    return list(levels)


def _option_of(card: OptionCard, found: list[Level] | None) -> Option:
    fields: dict[str, Any] = card.model_dump(
        include={"name", "type", "description", "unit", "group", "scale", "owner", "default"}
    )
    values = card.values
    if isinstance(values, tuple):
        fields["values"] = values
    elif found is not None and card.type in ("float", "integer") and len(found) > MOST_LISTED_LEVELS:
        fields |= {"lower": found[0], "upper": found[-1]}
    elif found is not None:
        fields["values"] = tuple(found)
    elif isinstance(values, RangeCard):
        fields |= {"lower": values.min, "upper": values.max}
    return Option(**fields)
