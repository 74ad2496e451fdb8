"""The store: every measurement, kept for good.

A store only grows; only a table that was corrected may replace what was imported from it. One
measurement is one row, unique on (environment fingerprint, configuration, protocol, block, attempt);
adding it again changes nothing, so whoever was interrupted simply adds again.
`append` returns after the row is on disk: from then on a killed process, a second writer or a power
cut does not lose it.

Example:
    >>> import numpy as np
    >>> store = Store.open(":memory:")
    >>> here = Environment("laptop", hardware={"cores": 2})
    >>> times = {"inference_time_s": np.array([0.011, 0.010, 0.012])}
    >>> store.append([Measurement({"threads": 2}, here, Status.OK, times)], campaign="first")
    1
    >>> store.dataset("laptop").responses["inference_time_s"]
    array([0.011])
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from perfport.data.assembly import TABLE_PROTOCOL, dataset_of, inferred_space, measurements_of
from perfport.data.database import Database
from perfport.data.dataset import Dataset
from perfport.data.decoding import whole_row
from perfport.data.environment import Environment
from perfport.data.imports import ImportedTables, difference, differing
from perfport.data.lookup import belongs_to, called, check_campaign, fingerprint_of, stated_spaces
from perfport.data.measurement import Measurement, Property, Status, plain_json
from perfport.data.records import (
    CAMPAIGN,
    CAMPAIGN_MEASUREMENT,
    ENVIRONMENT,
    MEASUREMENT,
    MEASUREMENT_KEY,
    PROPERTY,
    environment_of,
    environment_row,
    measurement_of,
    measurement_row,
    property_of,
    property_row,
)
from perfport.data.tables import SystemTables
from perfport.errors import NotEnoughDataError, StoreUsageError
from perfport.space.space import Space

__all__ = ["CampaignRecord", "Store"]


@dataclass(frozen=True, slots=True)
class CampaignRecord:
    """A campaign as the store knows it.

    Attributes:
        name: Unique in the store.
        spec: What it was asked to do, as JSON; `space` in it is the YAML of its space.
        created_at: UTC, ISO 8601.
    """

    name: str
    spec: Mapping[str, Any]
    created_at: str


class Store:
    """Measurements in one database; see the module for what it promises.

    Environments are asked for by name, by fingerprint, or as `Environment`. All methods raise
    `StoreError` when the database cannot do what is asked, in one line, and have then changed nothing.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, url_or_path: str | Path, *, create: bool = True, read_only: bool = False) -> Self:
        """Open a store, and make it or bring its schema up to date if need be.

        Args:
            url_or_path: Path of an SQLite file, ":memory:", or a URL (`sqlite:///...`, `postgresql://...`).
            create: Whether to make the file if there is none.
            read_only: Never write, whatever is called; a file that may not be written is opened so by itself.

        Raises:
            StoreError: If it cannot be opened, is something else than a store, or has a newer schema.
            MissingPackageError: If the URL needs a driver that is not installed.
        """
        return cls(Database.open(url_or_path, create=create, read_only=read_only))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Store {self.where}>"

    @property
    def where(self) -> str:
        """Path or URL, without a password."""
        return self._database.where

    def close(self) -> None:
        """Release the database. What was appended is on disk already; closing is a courtesy."""
        self._database.close()

    def append(
        self,
        measurements: Iterable[Measurement],
        *,
        campaign: str | None = None,
        properties: Iterable[Property] = (),
        replacing: Sequence[Measurement] = (),
    ) -> int:
        """Add measurements, all or none, and return when they are on disk.

        A measurement whose key is in the store already is left as it was: the first one counts. Those
        that are new and those that were there both belong to `campaign` from then on.

        Args:
            measurements: Any environments, any outcomes.
            campaign: The campaign they belong to; made with an empty spec if the store has none of that name.
            properties: Units and directions of what was measured; kept for each environment.
            replacing: Those of `measurements` that take the place of what is stored under their key: for
                a table that was corrected, never for what was measured here.

        Returns:
            How many rows are new.

        Raises:
            StoreError: If a property has another unit in the store, or the database cannot write.
        """
        listed = list(measurements)
        environments = {measurement.environment: measurement.environment.fingerprint for measurement in listed}
        with self._database.writing() as connection:
            ids = {
                environment: self._environment_id(connection, environment, fingerprint)
                for environment, fingerprint in environments.items()
            }
            self._register(connection, sorted(set(environments.values())), list(properties))
            rows = [
                measurement_row(measurement, ids[measurement.environment], environments[measurement.environment])
                for measurement in listed
            ]
            n_new = self._database.insert_new(connection, MEASUREMENT, rows)
            corrected = {measurement.key for measurement in replacing}
            self._replace(connection, [row for row in rows if tuple(row[key] for key in MEASUREMENT_KEY) in corrected])
            if campaign is not None:
                self._link(connection, self._campaign_id(connection, campaign, {}), rows)
        return n_new

    def begin_campaign(self, name: str, spec: Mapping[str, Any]) -> CampaignRecord:
        """Record what a campaign is asked to do; again with the same spec changes nothing.

        Args:
            name: Unique in the store.
            spec: JSON data. `dataset` finds the levels in `spec["space"]`, the YAML of the space, or in
                `spec["spaces"]`, environment name -> YAML.

        Raises:
            StoreError: If the store has a campaign of that name with another spec.
        """
        plain: dict[str, Any] = plain_json(spec)
        with self._database.writing() as connection:
            self._campaign_id(connection, name, plain)
            row = connection.execute(sa.select(CAMPAIGN).where(CAMPAIGN.c.name == name)).mappings().one()
            known = whole_row(self.where, CAMPAIGN, row)
            spec = known["spec"]
            if not spec and plain:
                # Made by `append`, which did not know the spec.
                connection.execute(sa.update(CAMPAIGN).where(CAMPAIGN.c.id == known["id"]).values(spec=plain))
            elif spec != plain:
                changed = sorted(key for key in {*spec, *plain} if spec.get(key) != plain.get(key))
                raise StoreUsageError(
                    f"{self.where}: campaign '{name}' is known with another {', '.join(changed)}; "
                    "give the changed campaign another name",
                    name=name,
                    changed=changed,
                )
        return CampaignRecord(known["name"], plain, known["created_at"])

    def read(
        self,
        *,
        environment: str | Environment | None = None,
        campaign: str | None = None,
        status: Status | None = None,
        protocol: str | None = None,
    ) -> list[Measurement]:
        """Return measurements in the order they were added; what is None does not restrict.

        Raises:
            StoreError: If there is no such environment or campaign.
        """
        with self._database.reading() as connection:
            query = sa.select(MEASUREMENT).order_by(MEASUREMENT.c.id)
            if environment is not None:
                fingerprint = fingerprint_of(connection, environment, self.where)
                query = query.where(MEASUREMENT.c.environment_fingerprint == fingerprint)
            if campaign is not None:
                check_campaign(connection, campaign, self.where)
                query = query.where(belongs_to(campaign))
            if status is not None:
                query = query.where(MEASUREMENT.c.status == str(Status(status)))
            if protocol is not None:
                query = query.where(MEASUREMENT.c.protocol == protocol)
            known = connection.execute(sa.select(ENVIRONMENT)).mappings()
            environments = {row["id"]: environment_of(row, self.where) for row in known}
            rows = connection.execute(query).mappings()
            return [measurement_of(row, environments, self.where) for row in rows]

    def done(
        self, environment_fingerprint: str, protocol: str, campaign: str | None = None
    ) -> set[tuple[str, int, int]]:
        """Return (configuration key, block, attempt) of what was measured so, whatever its outcome.

        With a campaign, those that belong to it; an unknown campaign or environment has none.
        """
        with self._database.reading() as connection:
            told = (MEASUREMENT.c.id, MEASUREMENT.c.configuration_key, MEASUREMENT.c.block, MEASUREMENT.c.attempt)
            query = sa.select(*told).where(
                MEASUREMENT.c.environment_fingerprint == environment_fingerprint, MEASUREMENT.c.protocol == protocol
            )
            if campaign is not None:
                query = query.where(belongs_to(campaign))
            rows = (whole_row(self.where, MEASUREMENT, row) for row in connection.execute(query).mappings())
            return {(row["configuration_key"], row["block"], row["attempt"]) for row in rows}

    def environments(self) -> list[Environment]:
        """Return all environments in the order they were first seen."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(ENVIRONMENT).order_by(ENVIRONMENT.c.id)).mappings()
            return [environment_of(row, self.where) for row in rows]

    def environment(self, name_or_fingerprint: str) -> Environment:
        """Return one environment.

        Raises:
            StoreError: If there is none, or several of that name.
        """
        with self._database.reading() as connection:
            fingerprint = fingerprint_of(connection, name_or_fingerprint, self.where)
            query = sa.select(ENVIRONMENT).where(ENVIRONMENT.c.fingerprint == fingerprint).order_by(ENVIRONMENT.c.id)
            found = [environment_of(row, self.where) for row in connection.execute(query).mappings()]
        return next((item for item in found if item.name == name_or_fingerprint), found[0])

    def campaigns(self) -> list[CampaignRecord]:
        """Return all campaigns in the order they were begun."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(CAMPAIGN).order_by(CAMPAIGN.c.id)).mappings()
            whole = [whole_row(self.where, CAMPAIGN, row) for row in rows]
            return [CampaignRecord(row["name"], row["spec"], row["created_at"]) for row in whole]

    def properties(self, environment: str | Environment) -> dict[str, Property]:
        """Return name -> property for what is registered in an environment."""
        with self._database.reading() as connection:
            query = sa.select(PROPERTY).where(
                PROPERTY.c.environment_fingerprint == fingerprint_of(connection, environment, self.where)
            )
            rows = connection.execute(query.order_by(PROPERTY.c.id)).mappings()
            return {row["name"]: property_of(row, self.where) for row in rows}

    def dataset(
        self,
        environment: str | Environment,
        *,
        space: Space | None = None,
        campaign: str | None = None,
        protocol: str | None = None,
    ) -> Dataset:
        """Return what is known of one environment; see `assembly.dataset_of` for how it is summarised.

        Args:
            environment: Its name, its fingerprint, or itself.
            space: The options; that of the campaigns the measurements belong to if not given, or else
                the levels found.
            campaign: Only its measurements.
            protocol: Only measurements of this protocol.

        Raises:
            StoreError: If there is no such environment or campaign; if measurements of several protocols,
                or campaigns of several spaces, would be mixed.
            NotEnoughDataError: If no measurement of it is ok.
        """
        found = self.read(environment=environment, campaign=campaign, protocol=protocol)
        if not found:
            raise NotEnoughDataError(
                f"{self.where}: environment '{called(environment)}' has no measurements of campaign "
                f"{campaign or '(any)'}, protocol {protocol or '(any)'}; measure or import some first"
            )
        protocols = sorted({measurement.protocol for measurement in found})
        if len(protocols) > 1:
            raise StoreUsageError(
                f"{self.where}: environment '{called(environment)}' was measured under {len(protocols)} protocols "
                f"({', '.join(protocols)}), whose numbers do not compare; give protocol= or "
                "campaign= (on the command line --protocol or --campaign)"
            )
        chosen = space or self._space(environment, campaign) or inferred_space(found)
        return dataset_of(found, space=chosen, properties=self.properties(environment))

    def import_tables(
        self,
        tables: SystemTables,
        *,
        environments: Sequence[str] | None = None,
        campaign: str | None = None,
        replace: bool = False,
    ) -> ImportedTables:
        """Add the rows of tables under the protocol "table", one transaction an environment.

        Repetitions that the tables number are kept one by one.

        Args:
            tables: What `read_tables` returned.
            environments: Which of them; all if not given.
            campaign: The campaign they belong to; the name of the tables if not given.
            replace: Let rows that were imported before and now say something else take the place of what
                is stored; otherwise that is left as it is.

        Returns:
            How many rows are new, and which differ from what was stored.

        Raises:
            TableError: If a file is not what the card says; environments before it are in the store.
            StoreError: If the store knows the campaign with another space, or a property in another unit.
        """
        name = campaign or tables.name
        spec = {"system": tables.name, "space": tables.space.to_yaml(), "protocol": TABLE_PROTOCOL}
        self.begin_campaign(name, spec)
        n_new, changed, empty = 0, dict[Measurement, Measurement](), list[str]()
        for item in environments or tables.environments:
            dataset = tables.environments[item]
            readings = tables.readings(item)
            found = list(measurements_of(dataset, readings=None if readings is dataset else readings))
            corrected = differing(found, self._imported(dataset.environment))
            n_new += self.append(
                found,
                campaign=name,
                properties=dataset.properties.values(),
                replacing=list(corrected) if replace else (),
            )
            changed |= corrected
            empty += [] if found else [item]
        texts = tuple(difference(given, stored) for given, stored in changed.items())
        return ImportedTables(n_new, tuple(changed), texts, len(changed) if replace else 0, tuple(empty))

    def export_rows(
        self, path: str | Path, *, environment: str | Environment | None = None, campaign: str | None = None
    ) -> int:
        """Write one row a repetition to a .parquet, .csv or .csv.gz file, and return how many.

        Raises:
            StoreError: If the file has another ending or cannot be written; an older file is then untouched.
        """
        from perfport.data.export import write_rows  # loads pyarrow

        return write_rows(Path(path), self.read(environment=environment, campaign=campaign), self.units())

    def units(self) -> dict[tuple[str, str], str]:
        """Return (environment fingerprint, property) -> unit for everything registered."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(PROPERTY)).mappings()
            whole = [whole_row(self.where, PROPERTY, row) for row in rows]
            return {(row["environment_fingerprint"], row["name"]): row["unit"] for row in whole}

    def _imported(self, environment: Environment) -> list[Measurement]:
        is_known = environment.fingerprint in {known.fingerprint for known in self.environments()}
        return self.read(environment=environment, protocol=TABLE_PROTOCOL) if is_known else []

    def _replace(self, connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            at = (MEASUREMENT.c[key] == sa.bindparam(f"at_{key}") for key in MEASUREMENT_KEY)
            changes = [{**row, **{f"at_{key}": row[key] for key in MEASUREMENT_KEY}} for row in rows]
            connection.execute(sa.update(MEASUREMENT).where(*at), changes)

    def _space(self, environment: str | Environment, campaign: str | None) -> Space | None:
        """Return the space of the campaigns that measured in an environment, None if none states one."""
        with self._database.reading() as connection:
            fingerprint = fingerprint_of(connection, environment, self.where)
            texts = stated_spaces(connection, fingerprint, self.where, campaign)
        if len(set(texts.values())) > 1:
            raise StoreUsageError(
                f"{self.where}: the campaigns {', '.join(texts)} measured in environment '{called(environment)}' "
                "with different spaces; give space= or campaign= (on the command line --campaign)"
            )
        return next((Space.from_yaml(text, f"{self.where}: campaign '{name}'") for name, text in texts.items()), None)

    def _environment_id(self, connection: sa.Connection, environment: Environment, fingerprint: str) -> int:
        self._database.insert_new(connection, ENVIRONMENT, [environment_row(environment)])
        query = sa.select(ENVIRONMENT.c.id).where(
            ENVIRONMENT.c.fingerprint == fingerprint, ENVIRONMENT.c.name == environment.name
        )
        return int(connection.execute(query).scalar_one())

    def _campaign_id(self, connection: sa.Connection, name: str, spec: Mapping[str, Any]) -> int:
        created_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._database.insert_new(connection, CAMPAIGN, [{"name": name, "spec": spec, "created_at": created_at}])
        return int(connection.execute(sa.select(CAMPAIGN.c.id).where(CAMPAIGN.c.name == name)).scalar_one())

    def _register(self, connection: sa.Connection, fingerprints: Sequence[str], properties: Sequence[Property]) -> None:
        rows = [property_row(fingerprint, declared) for fingerprint in fingerprints for declared in properties]
        self._database.insert_new(connection, PROPERTY, rows)
        query = sa.select(PROPERTY).where(PROPERTY.c.environment_fingerprint.in_(fingerprints))
        known = {(row.environment_fingerprint, row.name): row.unit for row in connection.execute(query)} if rows else {}
        for row in rows:
            unit = known[row["environment_fingerprint"], row["name"]]
            if unit != row["unit"]:
                raise StoreUsageError(
                    f"{self.where}: property '{row['name']}' is stored in '{unit}', given in '{row['unit']}'; "
                    "convert it, or measure under another name",
                    property=row["name"],
                )

    def _link(self, connection: sa.Connection, campaign_id: int, rows: Sequence[Mapping[str, Any]]) -> None:
        if not rows:
            return
        keys = MEASUREMENT_KEY
        found = sa.select(sa.literal(campaign_id), MEASUREMENT.c.id).where(
            *(MEASUREMENT.c[key] == sa.bindparam(f"at_{key}") for key in keys)
        )
        insert = self._database.skipping_duplicates(CAMPAIGN_MEASUREMENT)
        statement = insert.from_select(["campaign_id", "measurement_id"], found)
        connection.execute(statement, [{f"at_{key}": row[key] for key in keys} for row in rows])
