"""The tables of the store, and how a measurement becomes a row and a row a measurement.

Numbers are kept exactly: repetitions are JSON arrays, whose numbers Python writes with the shortest
digits that read back as the same float, and costs are double precision columns.
"""

import math
from collections.abc import Mapping
from typing import Any, get_args

import sqlalchemy as sa

from perfport.data.decoding import naming_the_row, whole_row
from perfport.data.environment import FACETS, Environment
from perfport.data.measurement import Direction, Measurement, Property, configuration_key

__all__ = [
    "CAMPAIGN",
    "CAMPAIGN_MEASUREMENT",
    "ENVIRONMENT",
    "MEASUREMENT",
    "MEASUREMENT_KEY",
    "METADATA",
    "PROPERTY",
    "VERSION_TABLE",
    "environment_of",
    "environment_row",
    "measurement_of",
    "measurement_row",
    "property_of",
    "property_row",
]

METADATA = sa.MetaData()
MEASUREMENT_KEY = ("environment_fingerprint", "configuration_key", "protocol", "block", "attempt")
# Not Alembic's default: a PostgreSQL database may hold the tables of other programs.
VERSION_TABLE = "perfport_version"

# One row a (fingerprint, name): people may give the same facts two names, and both stay readable.
ENVIRONMENT = sa.Table(
    "environment",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("fingerprint", sa.String(16), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("facets", sa.JSON, nullable=False),
    sa.UniqueConstraint("fingerprint", "name", name="uq_environment"),
)

PROPERTY = sa.Table(
    "property",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("environment_fingerprint", sa.String(16), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("unit", sa.Text, nullable=False),
    sa.Column("direction", sa.String(16), nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.UniqueConstraint("environment_fingerprint", "name", name="uq_property"),
)

CAMPAIGN = sa.Table(
    "campaign",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("spec", sa.JSON, nullable=False),
    sa.Column("created_at", sa.String(40), nullable=False),
    sa.UniqueConstraint("name", name="uq_campaign"),
)

MEASUREMENT = sa.Table(
    "measurement",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("environment_id", sa.Integer, sa.ForeignKey("environment.id"), nullable=False),
    # The fingerprint again: a unique constraint cannot look through a foreign key.
    sa.Column("environment_fingerprint", sa.String(16), nullable=False),
    sa.Column("configuration_key", sa.String(16), nullable=False),
    sa.Column("protocol", sa.Text, nullable=False),
    sa.Column("block", sa.Integer, nullable=False),
    sa.Column("configuration", sa.JSON, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("repetitions", sa.JSON, nullable=False),
    sa.Column("absent", sa.JSON, nullable=False),
    sa.Column("conditions", sa.JSON, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("cost_s", sa.Double, nullable=True),  # what nobody recorded is not nothing
    sa.Column("started_at", sa.String(40), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("grade", sa.String(1), nullable=False),
    sa.Column("grade_reasons", sa.JSON, nullable=False),
    sa.Column("log_se", sa.JSON, nullable=False),
    sa.UniqueConstraint(*MEASUREMENT_KEY, name="uq_measurement"),
)

# A measurement may serve several campaigns: the second finds it done, and it still belongs to both.
CAMPAIGN_MEASUREMENT = sa.Table(
    "campaign_measurement",
    METADATA,
    sa.Column("campaign_id", sa.Integer, sa.ForeignKey("campaign.id"), primary_key=True),
    sa.Column("measurement_id", sa.Integer, sa.ForeignKey("measurement.id"), primary_key=True),
    sa.Index("ix_campaign_measurement", "measurement_id"),
)

_STATED = [
    column.name
    for column in MEASUREMENT.columns
    if column.name not in ("id", "environment_id", "environment_fingerprint", "configuration_key")
]


def environment_row(environment: Environment) -> dict[str, Any]:
    """Return the columns of an environment."""
    facets = {facet: dict(getattr(environment, facet)) for facet in FACETS}
    return {"fingerprint": environment.fingerprint, "name": environment.name, "facets": facets}


def property_row(fingerprint: str, declared: Property) -> dict[str, Any]:
    """Return the columns of a property measured in the environment of that fingerprint."""
    return {
        "environment_fingerprint": fingerprint,
        "name": declared.name,
        "unit": declared.unit,
        "direction": declared.direction,
        "description": declared.description,
    }


def measurement_row(measurement: Measurement, environment_id: int, fingerprint: str) -> dict[str, Any]:
    """Return the columns of a measurement; the caller has stored its environment."""
    row = measurement.to_dict()
    del row["environment"]
    return row | {
        "environment_id": environment_id,
        "environment_fingerprint": fingerprint,
        "configuration_key": configuration_key(measurement.configuration),
    }


def environment_of(row: sa.RowMapping, where: str) -> Environment:
    """Return the environment of a row of `ENVIRONMENT`.

    Raises:
        StoreError: If the row is damaged; `where` names the store.
    """
    with naming_the_row(where, ENVIRONMENT, whole_row(where, ENVIRONMENT, row)):
        return Environment(row["name"], **row["facets"])


def property_of(row: sa.RowMapping, where: str) -> Property:
    """Return the property of a row of `PROPERTY`.

    Raises:
        StoreError: If the row is damaged; `where` names the store.
    """
    with naming_the_row(where, PROPERTY, whole_row(where, PROPERTY, row)):
        if row["direction"] not in get_args(Direction):
            raise ValueError(f"direction is '{row['direction']}', none of {', '.join(get_args(Direction))}")
        return Property(row["name"], row["unit"], row["direction"], row["description"])


def measurement_of(row: sa.RowMapping, environments: Mapping[int, Environment], where: str) -> Measurement:
    """Return the measurement of a row of `MEASUREMENT`.

    Args:
        row: All columns.
        environments: Of all rows of `ENVIRONMENT`, by their id.
        where: Names the store.

    Raises:
        StoreError: If the row is damaged.
    """
    with naming_the_row(where, MEASUREMENT, whole_row(where, MEASUREMENT, row)):
        if row["environment_id"] not in environments:
            raise ValueError(f"there is no environment {row['environment_id']}")
        fields = {name: row[name] for name in _STATED}
        fields["cost_s"] = math.nan if row["cost_s"] is None else row["cost_s"]
        return Measurement(environment=environments[row["environment_id"]], **fields)
