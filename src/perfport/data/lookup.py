"""Finding environments and campaigns in a store by what people call them."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import sqlalchemy as sa

from perfport.data.decoding import whole_row
from perfport.data.environment import Environment
from perfport.data.records import CAMPAIGN, CAMPAIGN_MEASUREMENT, ENVIRONMENT, MEASUREMENT
from perfport.errors import StoreUsageError

__all__ = ["belongs_to", "called", "check_campaign", "fingerprint_of", "stated_spaces"]


def fingerprint_of(connection: sa.Connection, environment: str | Environment, where: str) -> str:
    """Return the fingerprint of an environment given by name, by fingerprint, or itself.

    Raises:
        StoreError: If the store has none such, or several of that name; `where` names the store.
    """
    query = sa.select(ENVIRONMENT.c.id, ENVIRONMENT.c.fingerprint, ENVIRONMENT.c.name).order_by(ENVIRONMENT.c.id)
    known = [whole_row(where, ENVIRONMENT, row) for row in connection.execute(query).mappings()]
    asked = environment.fingerprint if isinstance(environment, Environment) else environment
    if asked in {row["fingerprint"] for row in known}:
        return asked
    matches = sorted({str(row["fingerprint"]) for row in known if row["name"] == asked})
    if len(matches) > 1:
        raise StoreUsageError(
            f"{where}: {len(matches)} environments are called '{asked}'; give a fingerprint: {', '.join(matches)}",
            fingerprints=matches,
        )
    if not matches:
        hint = _hint(called(environment), [row["name"] for row in known])
        raise StoreUsageError(f"{where}: no environment '{called(environment)}'{hint}", environment=environment)
    return matches[0]


def check_campaign(connection: sa.Connection, campaign: str, where: str) -> None:
    """Raise a `StoreError` that lists the campaigns if there is none of that name."""
    rows = connection.execute(sa.select(CAMPAIGN.c.id, CAMPAIGN.c.name).order_by(CAMPAIGN.c.id)).mappings()
    names = [whole_row(where, CAMPAIGN, row)["name"] for row in rows]
    if campaign not in names:
        raise StoreUsageError(f"{where}: no campaign '{campaign}'{_hint(campaign, names)}", campaign=campaign)


def belongs_to(campaign: str) -> "sa.ColumnElement[bool]":
    """Return the condition that a measurement belongs to a campaign."""
    members = sa.select(CAMPAIGN_MEASUREMENT.c.measurement_id).join(CAMPAIGN)
    return MEASUREMENT.c.id.in_(members.where(CAMPAIGN.c.name == campaign))


def stated_spaces(
    connection: sa.Connection, fingerprint: str, where: str, campaign: str | None = None
) -> dict[str, str]:
    """Return campaign -> YAML of the space it used in an environment, of those that say so and measured there.

    Args:
        connection: To the store.
        fingerprint: Of the environment.
        where: Names the store.
        campaign: This one only; all if None.

    Raises:
        StoreError: If the row of a campaign is damaged.
    """
    measured = sa.select(CAMPAIGN_MEASUREMENT.c.campaign_id).join(MEASUREMENT)
    query = sa.select(CAMPAIGN).where(
        CAMPAIGN.c.id.in_(measured.where(MEASUREMENT.c.environment_fingerprint == fingerprint))
    )
    if campaign is not None:
        query = query.where(CAMPAIGN.c.name == campaign)
    rows = connection.execute(query.order_by(CAMPAIGN.c.id)).mappings()
    specs = {row["name"]: whole_row(where, CAMPAIGN, row)["spec"] for row in rows}
    query_names = (
        sa.select(ENVIRONMENT.c.name).where(ENVIRONMENT.c.fingerprint == fingerprint).order_by(ENVIRONMENT.c.id)
    )
    names = list(connection.execute(query_names).scalars())
    stated = {name: _space_text(spec, names) for name, spec in specs.items()}
    return {name: text for name, text in stated.items() if text is not None}


def called(environment: str | Environment) -> str:
    """Return what to call an environment in a message."""
    return environment.name if isinstance(environment, Environment) else environment


def _hint(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1)
    listed = ", ".join(dict.fromkeys(known)) if len(known) <= 10 else f"{len(known)} others"
    return f"; it has {listed or 'none yet'}" + (f"; did you mean '{close[0]}'?" if close else "")


def _space_text(spec: Mapping[str, Any], environments: Sequence[str]) -> str | None:
    """Return the YAML of the space a campaign used in an environment: its own `space`, or one of its `spaces`."""
    if isinstance(spec.get("space"), str):
        return str(spec["space"])
    spaces = spec.get("spaces")
    if not isinstance(spaces, Mapping):
        return None
    return next((str(spaces[name]) for name in environments if name in spaces), None)
