"""Study: what is compared, on which environments, as one YAML file says it.

    name: sizes
    data: ../tables
    environments: [tx2_200, tx2_400, tx2_800]
    properties: [inference_time_s]
    samplers: [random, guided]
    strategies: [auto, target_only, "residual:boosting"]
    budgets: [5, 10, 20]
    seeds: 3

Unknown keys and unknown names are errors that name the nearest known one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from perfport.data.document import Document
from perfport.errors import UsageError
from perfport.model import learners as learner_room
from perfport.plugins import known_names
from perfport.sampling import BUILTIN as SAMPLERS
from perfport.space.messages import near
from perfport.space.schema import parse_yaml
from perfport.transfer.names import BUILTIN as STRATEGIES
from perfport.transfer.names import split_name, takes_learner

__all__ = ["PROPOSE", "Method", "PairSpec", "SamplerSpec", "StrategySpec", "StudySpec"]

SCHEMA_VERSION = 1
PROPOSE = "propose"  # the sampler that is `perfport.propose`
OWN_CHOICE = "default"  # the learner a strategy takes if it is told none


def _known(kind: str, name: str, names: list[str]) -> str:
    if name not in names:
        raise ValueError(f"unknown {kind} '{name}'{near(name, names)} (known: {', '.join(names)})")
    return name


def _sampler(name: str) -> str:
    return _known("sampler", name, [*known_names("sampler", SAMPLERS), PROPOSE])


def _learner(name: str) -> str:
    return _known("learner", name, [*known_names("learner", learner_room.BUILTIN), OWN_CHOICE])


def _strategy(name: str) -> str:
    strategy, learner = split_name(name)
    _known("strategy", strategy, known_names("strategy", STRATEGIES))
    if learner is not None:
        _learner(learner)
    return name


def _named(key: str, kind: type[Document]) -> BeforeValidator:
    """Let a bare name stand for the mapping that holds nothing but the name."""
    return BeforeValidator(
        lambda given: {key: given} if isinstance(given, str) else given, json_schema_input_type=str | kind
    )


def _one_or_more(given: object) -> object:
    return (given,) if isinstance(given, str) else given


def _counted(given: object) -> object:
    """Read a number of seeds as the seeds 0, 1, 2, ..."""
    return tuple(range(given)) if isinstance(given, int) and not isinstance(given, bool) else given


_ONE_OR_MORE = BeforeValidator(_one_or_more, json_schema_input_type=str | tuple[str, ...])
_COUNTED = BeforeValidator(_counted, json_schema_input_type=int | tuple[int, ...])


def _without_repeats(given: tuple[Any, ...]) -> tuple[Any, ...]:
    twice = next((item for item in given if given.count(item) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} is given twice")
    return given


class SamplerSpec(Document):
    """A sampler by name, or with settings.

    Attributes:
        sampler: Name of a sampler, or "propose".
        settings: Arguments of the sampler.
    """

    sampler: Annotated[str, AfterValidator(_sampler)]
    settings: Mapping[str, Any] = Field(default_factory=dict)

    @property
    def label(self) -> str:
        """Name and settings in one text."""
        return self.sampler + _shown(self.settings)


class StrategySpec(Document):
    """A strategy by name, or with a learner and settings.

    Attributes:
        strategy: Name of a strategy, with or without a learner: "auto", "residual:boosting".
        learner: Name of the learner inside.
        settings: Further arguments of the strategy.
    """

    strategy: Annotated[str, AfterValidator(_strategy)]
    learner: Annotated[str, AfterValidator(_learner)] | None = None
    settings: Mapping[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_one_learner(self) -> "StrategySpec":
        strategy, learner = split_name(self.strategy)
        if learner is not None and self.learner is not None:
            raise ValueError(f"strategy '{self.strategy}' names a learner already; leave out 'learner'")
        if (learner or self.learner) is not None and not takes_learner(strategy):
            raise ValueError(f"strategy '{strategy}' takes no learner; give it by its name alone")
        return self


class Method(Document):
    """A strategy with everything it needs to be made: one line of a comparison.

    Attributes:
        strategy: Its name, without a learner.
        learner: Name of the learner inside; None for the strategy's own choice.
        settings: Further arguments.
    """

    strategy: str
    learner: str | None = None
    settings: Mapping[str, Any] = Field(default_factory=dict)

    @property
    def label(self) -> str:
        """Strategy, learner and settings in one text."""
        learner = "" if self.learner is None else f":{self.learner}"
        return self.strategy + learner + _shown(self.settings)


class PairSpec(Document):
    """Sources and a target.

    Attributes:
        system: Folder of the tables, where `data` holds several; campaign, where it is a store.
        sources: One environment or more.
        target: The environment to be predicted.
        properties: What is predicted; those of the study if not given.
    """

    system: str = ""
    sources: Annotated[tuple[str, ...], _ONE_OR_MORE, AfterValidator(_without_repeats)]
    target: str = Field(min_length=1)
    properties: Annotated[tuple[str, ...], _ONE_OR_MORE] = ()

    @model_validator(mode="after")
    def _differ(self) -> "PairSpec":
        if self.target in self.sources:
            raise ValueError(f"environment '{self.target}' is source and target of one pair")
        return self


def _known_version(version: object) -> object:
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise ValueError(f"version {version} is newer than {SCHEMA_VERSION}, the newest known here; update perfport")
    return version


_Names = Annotated[tuple[str, ...], AfterValidator(_without_repeats)]


class StudySpec(Document):
    """Everything a study is; two runs of an equal study on equal data give equal rows.

    Attributes:
        version: Of this format.
        name: Of the study.
        title: For its page.
        data: A folder of tables, a folder of such folders, or a store; relative to the file of the study.
        environments: All ordered pairs of these are studied, each alone as source. Where `data` holds several
            folders, "folder/environment" names one of another folder.
        pairs: Pairs to study, instead or besides.
        properties: What is predicted; every property of the target if empty.
        rename: Option in a source -> the same option in the target, in pairs of which only the source has
            the first and only the target the second.
        samplers: How the target rows to measure are chosen.
        learners: A strategy that takes a learner and names none is run with each of these; "default" is
            the strategy's own choice, which it is run with if there are none.
        strategies: What is compared.
        budgets: Numbers of target rows to measure.
        seeds: How many repetitions, or the seeds themselves.
        max_test_rows: Most target rows a model is judged on; more are thinned at random.
        baseline: The method the others are compared with; the first "target_only" if not given.
    """

    model_config = ConfigDict(title="Study")

    version: Annotated[Literal[1], BeforeValidator(_known_version)] = 1
    name: str = Field(min_length=1)
    title: str = ""
    data: str = ""
    environments: _Names = ()
    pairs: tuple[PairSpec, ...] = ()
    properties: Annotated[_Names, _ONE_OR_MORE] = ()
    rename: Mapping[str, str] = Field(default_factory=dict)
    samplers: tuple[Annotated[SamplerSpec, _named("sampler", SamplerSpec)], ...] = Field(
        default=(SamplerSpec(sampler="random"),), min_length=1
    )
    learners: tuple[Annotated[str, AfterValidator(_learner)], ...] = ()
    strategies: tuple[Annotated[StrategySpec, _named("strategy", StrategySpec)], ...] = Field(min_length=1)
    budgets: Annotated[tuple[Annotated[int, Field(ge=1)], ...], AfterValidator(_without_repeats)] = Field(
        default=(5, 10, 20, 50), min_length=1
    )
    seeds: Annotated[tuple[int, ...], _COUNTED, AfterValidator(_without_repeats)] = Field(
        default=(0, 1, 2), min_length=1
    )
    max_test_rows: int = Field(default=4000, ge=1)
    baseline: str = ""

    @model_validator(mode="after")
    def _is_whole(self) -> "StudySpec":
        if not self.pairs and len(self.environments) < 2:
            raise ValueError("there is nothing to study: give at least two environments, or pairs")
        labels = [method.label for method in self.methods()]
        _without_repeats(tuple(labels))
        _without_repeats(tuple(sampler.label for sampler in self.samplers))
        if self.baseline and self.baseline not in labels:
            raise ValueError(
                f"baseline '{self.baseline}' is no method of this study{near(self.baseline, labels)} "
                f"(it has {', '.join(labels)})"
            )
        return self

    def methods(self) -> list[Method]:
        """Return every strategy with every learner it is run with, in order."""
        found = []
        for given in self.strategies:
            strategy, named = split_name(given.strategy)
            learner = named or given.learner
            crossed: tuple[str | None, ...] = (learner,)
            if learner is None and self.learners and takes_learner(strategy):
                crossed = self.learners
            found += [
                Method(strategy=strategy, learner=None if one == OWN_CHOICE else one, settings=given.settings)
                for one in crossed
            ]
        return found

    def all_pairs(self) -> list[PairSpec]:
        """Return the pairs given, then all ordered pairs of the environments."""
        made = [
            PairSpec(sources=(source,), target=target)
            for source in self.environments
            for target in self.environments
            if source != target
        ]
        return [*self.pairs, *made]

    def baseline_label(self) -> str | None:
        """Return the method the others are compared with; None if there is no natural one."""
        alone = (method.label for method in self.methods() if method.strategy == "target_only")
        return self.baseline or next(alone, None)

    @classmethod
    def from_yaml(cls, text: str, file: str = "") -> "StudySpec":
        """Read a study from YAML (or JSON, which is YAML).

        Args:
            text: The document.
            file: Where it came from, for messages.

        Raises:
            UsageError: If it is no study; one line with file, place and the nearest known key or name.
        """
        prefix = f"{file}: " if file else ""
        data = parse_yaml(text, file)
        if not isinstance(data, Mapping):
            raise UsageError(f"{prefix}a study is a mapping with the keys 'name' and 'strategies'", file=file)
        try:
            return cls(**{str(key): value for key, value in data.items()})
        except UsageError as error:
            raise UsageError(f"{prefix}{error.message}", **error.details) from None

    @classmethod
    def read(cls, path: str | Path) -> "StudySpec":
        """Read a study from a file; a relative `data` becomes relative to the file's folder.

        Raises:
            UsageError: If the file cannot be read or holds no study.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise UsageError(f"{path}: cannot be read: {reason}; give a YAML file of a study", path=path) from None
        spec = cls.from_yaml(text, str(path))
        if not spec.data or "://" in spec.data:
            return spec
        return spec.model_copy(update={"data": str(Path(path).parent / spec.data)})

    def to_yaml(self) -> str:
        """Return the study as YAML; `from_yaml` makes an equal one of it."""
        content = {"version": self.version} | self.model_dump(mode="json", exclude_defaults=True)
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of the YAML document."""
        return cls.model_json_schema()


def _shown(settings: Mapping[str, Any]) -> str:
    return f"({', '.join(f'{name}={value}' for name, value in settings.items())})" if settings else ""
