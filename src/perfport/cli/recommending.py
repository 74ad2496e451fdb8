"""`recommend`: the best configurations of one model or several, verified, settled or searched for by measuring."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType

from perfport.cli.console import JsonFlag, err, out, print_json
from perfport.cli.environments import candidates, rig_of_campaign
from perfport.cli.modelling import SeedOption, StoreOption, loaded_model
from perfport.data.store import Store
from perfport.errors import UsageError

if TYPE_CHECKING:
    from perfport.advise.recommendation.recommend import Recommendation
    from perfport.advise.recommendation.search import SearchOutcome
    from perfport.advise.recommendation.settling import Settled, Settling
    from perfport.advise.recommendation.tradeoff import TradeOff
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
    """Name the best configurations, under limits and for several properties; measure them if told how."""
    if budget is not None and measure is None:
        raise UsageError("--budget was given without --measure: say how the target is measured")
    if search and budget is None:
        raise UsageError("--search was given without --budget: say how often it may measure")
    made = loaded_models(models)
    door = None if measure is None else _Door(measure, store, seed)
    if goal is not None or len(made) > 1:
        if search:
            raise UsageError("--search goes with one model and without --goal: it knows no limits")
        found = traded(made, goal, n=n, confidence=confidence, seed=seed)
        if door is not None and budget is not None:
            from perfport.report.offers import show_settled

            settled = door.settled_offers(found, made[0][1], budget, tolerance_pct=tolerance_pct)
            _print({"trade_off": found, "settled": settled}, [show_settled(settled)], as_json=as_json)
            return
        offer = None if door is None else door.verified_offer(found, made[0][1])
        from perfport.report.offers import show_trade_off, show_verified_offer

        shown = [show_trade_off(found, n=n), *([] if offer is None else [show_verified_offer(offer)])]
        _print({"trade_off": found, "verified": offer}, shown, as_json=as_json)
        return
    from perfport.report.offers import show_recommendations, show_search, show_settled

    (model, recipe), *_ = made
    if door is not None and budget is not None and search:
        outcome = door.searched(model, recipe, budget, tolerance_pct)
        _print({"search": outcome}, [show_search(outcome)], as_json=as_json)
        return
    from perfport.advise.recommendation.recommend import recommend as rank

    with err.status("looking at the configurations"):
        best = rank(model, candidates=recipe.target.space, n=n, seed=seed)
    if door is not None and budget is not None:
        settled = door.settled(best, recipe, budget, confidence=confidence, tolerance_pct=tolerance_pct)
        _print({"recommendations": best, "settled": settled}, [show_settled(settled)], as_json=as_json)
        return
    shown = [show_recommendations(best, recipe.target.space, target=recipe.target.environment.name)]
    choice = None if door is None else door.verified(model, recipe)
    if choice is not None:
        from perfport.report.assembly import report_of
        from perfport.report.terminal import show_recommendation

        shown.append(show_recommendation(report_of(model, recipe, choice=choice)))
    _print({"property": model.property, "recommendations": best, "verified": choice}, shown, as_json=as_json)


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
    from perfport.advise.recommendation.goals import Goal, Objective
    from perfport.advise.recommendation.tradeoff import trade_off

    models = [model for model, _ in made]
    wanted = goal if goal is not None else Goal(tuple(Objective(model.property.name) for model in models))
    with err.status("looking at the configurations"):
        return trade_off(models, candidates=made[0][1].target.space, goal=wanted, n=n, confidence=confidence, seed=seed)


@dataclass(frozen=True)
class _Door:
    """Where the target of a model is measured."""

    campaign: Path
    store: str
    seed: int

    def verified(self, model: "TransferredModel", recipe: "Recipe") -> "Choice":
        from perfport.report.progress import MeasuringProgress
        from perfport.verify import verified_choice

        rig, spec = rig_of_campaign(self.campaign, recipe.target.environment.name)
        with Store.open(self.store) as opened, MeasuringProgress(err, "verifying") as shown:
            return verified_choice(
                model,
                rig,
                candidates(rig.space, self.seed),
                opened,
                protocol=spec.protocol,
                campaign=spec.name,
                seed=self.seed,
                progress=shown,
            )

    def verified_offer(self, found: "TradeOff", recipe: "Recipe") -> "VerifiedOffer":
        from perfport.report.progress import MeasuringProgress
        from perfport.verify import verified_offer

        rig, spec = rig_of_campaign(self.campaign, recipe.target.environment.name)
        with Store.open(self.store) as opened, MeasuringProgress(err, "verifying") as shown:
            return verified_offer(
                found, rig, opened, protocol=spec.protocol, campaign=spec.name, seed=self.seed, progress=shown
            )

    def settled(
        self,
        best: "Sequence[Recommendation]",
        recipe: "Recipe",
        budget: int,
        *,
        confidence: float,
        tolerance_pct: float,
    ) -> "Settled":
        from perfport.advise.recommendation.settling import Settling

        rig, spec = rig_of_campaign(self.campaign, recipe.target.environment.name)
        settling = Settling(
            best,
            budget=budget,
            others=[rig.space.default_configuration()],
            confidence=confidence,
            tolerance_pct=tolerance_pct,
            seed=self.seed,
        )
        return self._settled(settling, rig, spec)

    def settled_offers(self, found: "TradeOff", recipe: "Recipe", budget: int, *, tolerance_pct: float) -> "Settled":
        from perfport.advise.recommendation.settling import Settling

        rig, spec = rig_of_campaign(self.campaign, recipe.target.environment.name)
        default = rig.space.default_configuration()
        settling = Settling.of_offers(
            found, budget=budget, others=[default], tolerance_pct=tolerance_pct, seed=self.seed
        )
        return self._settled(settling, rig, spec)

    def _settled(self, settling: "Settling", rig: "Rig", spec: "Campaign") -> "Settled":
        from perfport.verify import settled

        with Store.open(self.store) as opened, err.status("settling") as shown:
            return settled(
                settling,
                rig,
                opened,
                protocol=spec.protocol,
                campaign=spec.name,
                seed=self.seed,
                watcher=lambda made, most: shown.update(f"settling: measurement {made + 1} of at most {most}"),
            )

    def searched(
        self, model: "TransferredModel", recipe: "Recipe", budget: int, tolerance_pct: float
    ) -> "SearchOutcome":
        from perfport.advise.recommendation.search import Search
        from perfport.verify import searched

        rig, spec = rig_of_campaign(self.campaign, recipe.target.environment.name)
        with err.status("looking at the configurations") as shown:
            search = Search(
                sources=recipe.sources,
                candidates=rig.space,
                property=model.property,
                budget=budget,
                measured=recipe.target,
                tolerance_pct=tolerance_pct,
                seed=self.seed,
                rename=recipe.rename,
            )
            with Store.open(self.store) as opened:
                return searched(
                    search,
                    rig,
                    opened,
                    protocol=spec.protocol,
                    campaign=spec.name,
                    seed=self.seed,
                    watcher=lambda made, most: shown.update(f"searching: measurement {made + 1} of at most {most}"),
                )


def _print(document: dict[str, Any], shown: Sequence[RenderableType], *, as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    for part in shown:
        out.print(part)
