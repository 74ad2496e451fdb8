"""Campaign: what is to be measured where, how and in which order, as one YAML file says it.

    name: threads
    environments:
    - {name: small, system: onnxruntime, network: ppocr_det, workload: {side: 192}}
    - {name: large, system: onnxruntime, network: ppocr_det, workload: {side: 320}}
    configurations: 40
    replicates: 10

Unknown keys are errors that name the nearest known one.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from perfport.data.document import Document
from perfport.data.environment import Fact
from perfport.errors import SpaceError, UsageError
from perfport.measure.actuators import options_named
from perfport.measure.base import System
from perfport.measure.blocks import SENTINEL_BLOCK
from perfport.measure.meters import DEFAULT_METERS
from perfport.measure.protocol import Protocol
from perfport.measure.runner.modules import modules_beside
from perfport.measure.runner.rig import Rig, make_rig
from perfport.measure.systems import make_system
from perfport.space.options import Level
from perfport.space.restriction import restricted, with_levels
from perfport.space.schema import SpaceDocument, parse_yaml
from perfport.space.space import Space

__all__ = ["Campaign", "EnvironmentSpec", "rig_of"]

_PlainFact = StrictBool | StrictInt | StrictFloat | StrictStr
SCHEMA_VERSION = 1


class EnvironmentSpec(Document):
    """One environment to measure in.

    Attributes:
        name: What people call it.
        system: Name of the system under test, or `module:Class` of anything that can be imported or lies beside
            the campaign's file.
        network: The network, for systems that run one: a name of the zoo, the path of a file, or `module:function`.
        workload: Facts about the input (image side, sequence length).
        settings: Further arguments of the system.
        actuators: Option -> level that holds for the whole environment; environment variables by
            their name (`ONEDNN_MAX_CPU_ISA: AVX2`), the processors used as `cpus: "0"`.
        levels: Option -> the only levels to use, instead of all the system has; one level fixes it. An
            option that cannot be active with them is left out.
        options: Options of the machine to vary as well, beside those of the system: their names, or option ->
            levels to use. The name of an actuator stands for all its options.
        space: A space of its own, instead of `levels` and of that of the campaign.
    """

    name: str = Field(min_length=1)
    system: str = Field(min_length=1)
    network: str = ""
    workload: Mapping[str, _PlainFact] = Field(default_factory=dict)
    settings: Mapping[str, Any] = Field(default_factory=dict)
    actuators: Mapping[str, _PlainFact] = Field(default_factory=dict)
    levels: Mapping[str, tuple[_PlainFact, ...]] = Field(default_factory=dict)
    options: tuple[str, ...] | Mapping[str, tuple[_PlainFact, ...]] = ()
    space: SpaceDocument | None = None

    # Where the campaign's file lies; no part of what it says, and so no field.
    _folder: str = PrivateAttr(default="")

    @property
    def folder(self) -> str:
        """Where modules are looked for last: the folder of the campaign's file, "" if there is none."""
        return self._folder

    def beside(self, file: Path) -> "EnvironmentSpec":
        """Return the same environment, of a campaign that was read from `file`."""
        found = self.model_copy()
        found._folder = str(file.absolute().parent)
        return found


def _known_version(version: object) -> object:
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise ValueError(f"version {version} is newer than {SCHEMA_VERSION}, the newest known here; update perfport")
    return version


class Campaign(Document):
    """Everything a campaign is; two runs of an equal campaign measure the same configurations.

    Attributes:
        version: Of this format.
        name: Names the campaign in the store.
        environments: Where to measure; they are interleaved.
        space: Options and levels to use in every environment that names none of its own.
        configurations: How many to draw from the valid ones (the default configuration comes
            first), or the configurations themselves, which may be invalid; an option left out is at its default, one
            that is null inactive.
        replicates: How many of them each later block measures again; 0 for none.
        blocks: Number of blocks, the first included, if there are replicates.
        sentinel_every: After so many configurations each environment measures its first one again, which
            tells of drift; 0 for never.
        worst_kept: A row with a worse grade is measured again, after the others.
        remeasure: How often at most; 0 for never.
        protocol: How one configuration is measured.
        meters: Read beside the clock, in a window of their own; recorded as absent where they are.
        seed: Decides the configurations drawn and the order.
    """

    model_config = ConfigDict(title="Campaign")

    version: Annotated[Literal[1], BeforeValidator(_known_version)] = 1
    name: str = Field(min_length=1)
    environments: tuple[EnvironmentSpec, ...] = Field(min_length=1)
    space: SpaceDocument | None = None
    configurations: Annotated[int, Field(ge=1)] | tuple[Mapping[str, _PlainFact | None], ...] = 60
    replicates: int = Field(default=0, ge=0)
    blocks: int = Field(default=2, ge=1, le=SENTINEL_BLOCK)
    sentinel_every: int = Field(default=20, ge=0)
    worst_kept: Literal["A", "B", "C", "D"] = "C"
    remeasure: int = Field(default=1, ge=0, le=10)
    protocol: Protocol = Field(default_factory=Protocol)
    meters: tuple[str, ...] = DEFAULT_METERS
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def _fields_stand_at_their_level(cls, data: Any) -> Any:
        for place, fields, given in _levels_of(data):
            for name in given:
                homes = [_HOMES[kind] for kind in _HOMES if name in kind.model_fields] if name not in fields else []
                if homes:
                    raise ValueError(f"{place}field '{name}' does not belong here; write it {' or '.join(homes)}")
        return data

    @model_validator(mode="after")
    def _names_differ(self) -> "Campaign":
        names = [environment.name for environment in self.environments]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"environment '{twice}' is given twice; names must differ")
        if isinstance(self.configurations, tuple) and not self.configurations:
            raise ValueError("configurations is an empty list; give at least one, or a number to draw")
        return self

    @classmethod
    def from_yaml(cls, text: str, file: str = "") -> "Campaign":
        """Read a campaign from YAML (or JSON, which is YAML).

        Args:
            text: The document.
            file: Where it came from, for messages.

        Raises:
            UsageError: If it is no campaign; one line with file, place and the nearest known key.
        """
        prefix = f"{file}: " if file else ""
        data = parse_yaml(text, file)
        if not isinstance(data, Mapping):
            raise UsageError(f"{prefix}a campaign is a mapping with the keys 'name' and 'environments'", file=file)
        try:
            return cls(**{str(key): value for key, value in data.items()})
        except UsageError as error:
            raise UsageError(f"{prefix}{error.message}", **error.details) from None

    @classmethod
    def read(cls, path: str | Path) -> "Campaign":
        """Read a campaign from a file.

        Raises:
            UsageError: If the file cannot be read or holds no campaign.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise UsageError(f"{path}: cannot be read: {reason}; give a YAML file of a campaign", path=path) from None
        found = cls.from_yaml(text, str(path))
        return found.model_copy(update={"environments": tuple(spec.beside(Path(path)) for spec in found.environments)})

    def to_yaml(self) -> str:
        """Return the campaign as YAML; `from_yaml` makes an equal one of it."""
        content = {"version": self.version} | self.model_dump(mode="json", exclude_defaults=True)
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of the YAML document."""
        return cls.model_json_schema()

    def rigs(self) -> list[Rig]:
        """Return the rig of every environment, in order.

        Raises:
            UsageError: If a system, network, option, level or actuator is not known here.
            MissingPackageError: If a system or network needs a package that is not installed.
        """
        return [rig_of(environment, space=self.space) for environment in self.environments]


_HOMES: Mapping[type[Document], str] = {
    Campaign: "at the top level of the campaign",
    Protocol: "inside protocol: {...}",
    EnvironmentSpec: "inside an entry of environments",
}


def _levels_of(data: Any) -> Iterator[tuple[str, Collection[str], Mapping[str, object]]]:
    """Yield what a message calls a level of a campaign's document, the fields it has, and those that were given."""
    if not isinstance(data, Mapping):
        return
    yield "", Campaign.model_fields, data
    if isinstance(protocol := data.get("protocol"), Mapping):
        yield "protocol: ", Protocol.model_fields, protocol
    environments = data.get("environments")
    for number, environment in enumerate(environments if isinstance(environments, list | tuple) else ()):
        if isinstance(environment, Mapping):
            yield f"environments[{number}]: ", EnvironmentSpec.model_fields, environment


def rig_of(spec: EnvironmentSpec, *, space: SpaceDocument | None = None) -> Rig:
    """Return the rig an environment's specification describes.

    Args:
        spec: The environment.
        space: Used if `spec` has neither a space nor levels of its own.

    Raises:
        UsageError: If a system, network, option, level or actuator is not known here.
        MissingPackageError: If the system or the network needs a package that is not installed.
    """
    settings = dict(spec.settings) | ({"network": spec.network} if spec.network else {})
    with modules_beside(spec.folder):
        system = make_system(spec.system, settings)
    document = spec.space or (None if spec.levels else space)
    workload: dict[str, Fact] = dict(spec.workload)
    chosen = _space_of(document) if document is not None else _restricted(system.space(), spec)
    return make_rig(
        spec.name,
        system,
        workload=workload,
        actuators=dict(spec.actuators),
        space=_with_machine_options(chosen, spec, system),
        folder=spec.folder,
    )


def _space_of(document: SpaceDocument) -> Space:
    return Space(
        options=document.options,
        conditions=document.conditions,
        forbidden=document.forbidden,
        constraints=document.constraints,
        name=document.name,
        constants=document.constants,
    )


def _restricted(space: Space, spec: EnvironmentSpec) -> Space:
    """Return the space with some options reduced to some of their levels."""
    if not spec.levels:
        return space
    try:
        return restricted(space, spec.levels)
    except SpaceError as error:
        raise SpaceError(f"environment '{spec.name}', {error.message}", **error.details) from None


def _named_of_the_system(spec: EnvironmentSpec, system: System) -> UsageError | None:
    """Return what is wrong where options of the system are named among those of the machine; None if none is."""
    space = system.space()
    name = next((name for name in spec.options if name in space.names), None)
    if name is None:
        return None
    levels = ", ".join(str(level) for level in (space.option(name).levels or space.option(name).bounds)[:2])
    return UsageError(
        f"environment '{spec.name}', options: '{name}' is an option of system '{system.name}', which vary anyway; "
        f"choose its levels with levels: {{{name}: [{levels}]}}, and name options of the machine here",
        option=name,
    )


def _with_machine_options(space: Space, spec: EnvironmentSpec, system: System) -> Space:
    """Return the space with options of the machine behind those of the system."""
    if not spec.options:
        return space
    levels: Mapping[str, tuple[Level, ...]] = spec.options if isinstance(spec.options, Mapping) else {}
    try:
        added = options_named(spec.options)
    except UsageError as error:
        raise _named_of_the_system(spec, system) or error from None
    names = [option.name for option in added]
    wrong = next((name for name in levels if name not in names or not levels[name]), None)
    if wrong is not None:
        raise UsageError(
            f"environment '{spec.name}', options: '{wrong}' must be an option with at least one level; "
            f"options here are {', '.join(names)}"
        )
    both = sorted(set(names) & set(space.names))
    if both:
        raise UsageError(f"environment '{spec.name}': {', '.join(both)} is in the space and in options; keep one")
    return Space(
        options=[*space.options, *(with_levels(option, levels.get(option.name)) for option in added)],
        conditions=space.conditions,
        forbidden=space.forbidden,
        constraints=space.constraints,
        name=space.name,
        constants=space.constants,
    )
