"""`recommend`: the best configurations of one model or several, verified, settled or searched for by measuring."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from perfport.cli.console import JsonFlag, err, out, print_json
from perfport.cli.environments import left_out, rig_of_target
from perfport.cli.modelling import SeedOption, StoreOption, loaded_model
from perfport.data.store import Store
from perfport.errors import UsageError

if TYPE_CHECKING:
    from perfport.advise.recommendation.feasible import LeftOut
    from perfport.advise.recommendation.recommend import Recommendation
    from perfport.advise.recommendation.search import SearchOutcome
    from perfport.advise.recommendation.settling import Settled, Settling
    from perfport.advise.recommendation.tradeoff import TradeOff
    from perfport.data.dataset import Dataset
    from perfport.measure.campaign.spec import Campaign
    from perfport.measure.runner.rig import Rig
    from perfport.report.content import Choice, VerifiedOffer
    from perfport.transfer.recipe import Recipe
    from perfport.transfer.transferred import TransferredModel

__all__ = ["GoalOption", "loaded_models", "recommend", "traded"]

GoalOption = Annotated[
    str | None,
    typer.Option(help="Limits and what is to be best: 'latency <= 30 ms and memory <= 500 MB, minimise energy'."),
]


def recommend(
    models: Annotated[
        list[Path], typer.Argument(help="Models that perfport transfer wrote, one a property.", show_default=False)
    ],
    *,
    goal: GoalOption = None,
    n: Annotated[int, typer.Option("--number", "-n", min=1, help="How many configurations.")] = 5,
    confidence: Annotated[
        float, typer.Option(min=0.01, max=0.999, help="Probability with which limits are kept and the best is settled.")
    ] = 0.9,
    measure: Annotated[
        Path | None,
        typer.Option(help="Campaign that says how the target is measured: verify the best beside the default."),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(min=1, help="With --measure: measure the best few in turn until one is settled, at most N times."),
    ] = None,
    search: Annotated[
        bool, typer.Option("--search", help="With --budget: any configuration may be measured, the model learns on.")
    ] = False,
    tolerance_pct: Annotated[
        float, typer.Option("--tolerance", min=0.0, help="Gain in percent that is not worth a measurement.")
    ] = 1.0,
    store: StoreOption = "perfport.db",
    seed: SeedOption = 0,
    as_json: JsonFlag = False,
) -> None:
    """Name the best configurations, under limits and for several properties; measure them if told how.

    Configurations that failed when the target was measured, and those like them, are left out.
    """
    if budget is not None and measure is None:
        raise UsageError("--budget was given without --measure: say how the target is measured")
    if search and budget is None:
        raise UsageError("--search was given without --budget: say how often it may measure")
    made = loaded_models(models)
    is_traded = goal is not None or len(made) > 1
    if search and is_traded:
        raise UsageError("--search goes with one model and without --goal: it knows no limits")
    asked = _Asked(n=n, confidence=confidence, budget=budget, tolerance_pct=tolerance_pct, seed=seed)
    door = None if measure is None else _Door.of(measure, made[0][1].target, store)
    if is_traded:
        answer = _traded(made, goal, asked, door)
    elif search and door is not None:
        answer = _searched(*made[0], asked, door)
    else:
        answer = _ranked(*made[0], asked, door)
    if as_json:
        print_json(answer.document)
        return
    for part in answer.shown:
        out.print(part)


@dataclass(frozen=True)
class _Asked:
    """What is asked for, however it is found."""

    n: int
    confidence: float
    budget: int | None
    tolerance_pct: float
    seed: int


@dataclass(frozen=True)
class _Answer:
    """What is printed: as JSON, or part by part."""

    document: Mapping[str, Any]
    shown: Sequence[RenderableType]


def _traded(
    made: "Sequence[tuple[TransferredModel, Recipe]]", goal: str | None, asked: _Asked, door: "_Door | None"
) -> _Answer:
    """Trade several properties off, or keep limits; measure what is on offer if there is a door."""
    from perfport.advise.recommendation.settling import Settling
    from perfport.report.offers import show_settled, show_trade_off, show_verified_offer

    found = traded(made, goal, n=asked.n, confidence=asked.confidence, seed=asked.seed)
    left = _left_out(made, asked)
    document = {"trade_off": found, "left_out": left}
    if door is not None and asked.budget is not None:
        default = door.rig.space.default_configuration()
        settled = door.settled(
            Settling.of_offers(
                found, budget=asked.budget, others=[default], tolerance_pct=asked.tolerance_pct, seed=asked.seed
            ),
            asked,
        )
        return _Answer(document | {"settled": settled}, [*_said(left), show_settled(settled)])
    offer = None if door is None else door.verified_offer(found, asked)
    shown = [show_trade_off(found, n=asked.n), *_said(left), *([] if offer is None else [show_verified_offer(offer)])]
    return _Answer(document | {"verified": offer}, shown)


def _ranked(model: "TransferredModel", recipe: "Recipe", asked: _Asked, door: "_Door | None") -> _Answer:
    """Rank by one property; settle which is best, or verify the first, if there is a door."""
    from perfport.advise.recommendation.feasible import allowed_by
    from perfport.advise.recommendation.recommend import recommend as rank
    from perfport.advise.recommendation.settling import Settling
    from perfport.report.assembly import report_of
    from perfport.report.offers import show_recommendations, show_settled
    from perfport.report.terminal import show_recommendation

    space = recipe.target.space
    with err.status("looking at the configurations"):
        # Where the default is best, the second is measured beside it.
        ranked = rank(model, candidates=space, n=max(asked.n, 2), seed=asked.seed, allowed=allowed_by(recipe.target))
    best, left = ranked[: asked.n], _left_out([(model, recipe)], asked)
    document = {"recommendations": best, "left_out": left}
    if door is not None and asked.budget is not None:
        settling = Settling(
            best,
            budget=asked.budget,
            others=[door.rig.space.default_configuration()],
            confidence=asked.confidence,
            tolerance_pct=asked.tolerance_pct,
            seed=asked.seed,
        )
        settled = door.settled(settling, asked)
        return _Answer(document | {"settled": settled}, [*_said(left), show_settled(settled)])
    choice = None if door is None else door.verified(ranked, asked)
    shown = [show_recommendations(best, space, target=recipe.target.environment.name), *_said(left)]
    if choice is not None:
        shown.append(show_recommendation(report_of(model, recipe, choice=choice)))
    return _Answer({"property": model.property} | document | {"verified": choice}, shown)


def _searched(model: "TransferredModel", recipe: "Recipe", asked: _Asked, door: "_Door") -> _Answer:
    """Measure what the model proposes, and let it learn on."""
    from perfport.report.offers import show_search

    outcome = door.searched(model, recipe, asked)
    return _Answer({"search": outcome}, [show_search(outcome)])


def _left_out(made: "Sequence[tuple[TransferredModel, Recipe]]", asked: _Asked) -> "LeftOut | None":
    from perfport.advise.recommendation.feasible import allowed_by

    return left_out(made[0][1].target.space, allowed_by(*(recipe.target for _, recipe in made)), asked.seed)


def _said(left: "LeftOut | None") -> list[RenderableType]:
    return [] if left is None else [Text(str(left), style="dim")]


def loaded_models(paths: Sequence[Path]) -> "list[tuple[TransferredModel, Recipe]]":
    """Return saved models of one environment, one a property.

    Raises:
        UsageError: If they are not of one environment and space, or two are of one property.
    """
    made = [loaded_model(path) for path in paths]
    first = made[0][1].target
    for path, (_, recipe) in zip(paths, made, strict=True):
        if recipe.target.environment.name != first.environment.name or recipe.target.space != first.space:
            raise UsageError(
                f"{path} is a model of '{recipe.target.environment.name}', {paths[0]} of '{first.environment.name}': "
                "models that are traded off have one environment and the same options"
            )
    names = [recipe.property for _, recipe in made]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two models of '{twice}' were given; give one a property")
    return made


def traded(
    made: "Sequence[tuple[TransferredModel, Recipe]]",
    goal: str | None,
    *,
    n: int = 5,
    confidence: float = 0.9,
    seed: int = 0,
) -> "TradeOff":
    """Return what is on offer; without a goal every property is to be best."""
    from perfport.advise.recommendation.feasible import allowed_by
    from perfport.advise.recommendation.goals import Goal, Objective
    from perfport.advise.recommendation.tradeoff import trade_off

    models = [model for model, _ in made]
    allowed = allowed_by(*(recipe.target for _, recipe in made))
    wanted = goal if goal is not None else Goal(tuple(Objective(model.property.name) for model in models))
    with err.status("looking at the configurations"):
        return trade_off(
            models,
            candidates=made[0][1].target.space,
            goal=wanted,
            n=n,
            confidence=confidence,
            seed=seed,
            allowed=allowed,
        )


@dataclass(frozen=True)
class _Door:
    """Where the target of a model is measured."""

    rig: "Rig"
    campaign: "Campaign"
    store: str

    @classmethod
    def of(cls, campaign: Path, target: "Dataset", store: str) -> "_Door":
        return cls(*rig_of_target(campaign, target), store)

    def verified(self, ranked: "Sequence[Recommendation]", asked: _Asked) -> "Choice":
        from perfport.report.progress import MeasuringProgress
        from perfport.verify import verified_choice

        with Store.open(self.store) as opened, MeasuringProgress(err, "verifying") as shown:
            return verified_choice(
                ranked,
                self.rig,
                opened,
                protocol=self.campaign.protocol,
                campaign=self.campaign.name,
                meters=self.campaign.meters,
                seed=asked.seed,
                progress=shown,
            )

    def verified_offer(self, found: "TradeOff", asked: _Asked) -> "VerifiedOffer":
        from perfport.report.progress import MeasuringProgress
        from perfport.verify import verified_offer

        with Store.open(self.store) as opened, MeasuringProgress(err, "verifying") as shown:
            return verified_offer(
                found,
                self.rig,
                opened,
                protocol=self.campaign.protocol,
                campaign=self.campaign.name,
                meters=self.campaign.meters,
                seed=asked.seed,
                progress=shown,
            )

    def settled(self, settling: "Settling", asked: _Asked) -> "Settled":
        from perfport.verify import settled

        with Store.open(self.store) as opened, err.status("settling") as shown:
            return settled(
                settling,
                self.rig,
                opened,
                protocol=self.campaign.protocol,
                campaign=self.campaign.name,
                meters=self.campaign.meters,
                seed=asked.seed,
                watcher=lambda made, most: shown.update(f"settling: measurement {made + 1} of at most {most}"),
            )

    def searched(self, model: "TransferredModel", recipe: "Recipe", asked: _Asked) -> "SearchOutcome":
        from perfport.advise.recommendation.search import Search
        from perfport.verify import searched

        with err.status("looking at the configurations") as shown:
            search = Search(
                sources=recipe.sources,
                candidates=self.rig.space,
                property=model.property,
                budget=asked.budget or 1,
                measured=recipe.target,
                tolerance_pct=asked.tolerance_pct,
                seed=asked.seed,
                rename=recipe.rename,
            )
            with Store.open(self.store) as opened:
                return searched(
                    search,
                    self.rig,
                    opened,
                    protocol=self.campaign.protocol,
                    campaign=self.campaign.name,
                    meters=self.campaign.meters,
                    seed=asked.seed,
                    watcher=lambda made, most: shown.update(f"searching: measurement {made + 1} of at most {most}"),
                )
