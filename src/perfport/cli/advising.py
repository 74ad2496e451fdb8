"""`explain`, `compare`, `apply` and `card`: why, what changed, what to deploy, what to trust."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from perfport.cli.console import JsonFlag, err, out, print_json
from perfport.cli.environments import left_out, measured_environments, parse_pairs, parse_settings
from perfport.cli.modelling import (
    CampaignOption,
    CoverageOption,
    DataOption,
    ModelArgument,
    ProtocolOption,
    loaded_model,
    unseen_rows,
)
from perfport.errors import UsageError

if TYPE_CHECKING:
    from perfport.data.dataset import Dataset
    from perfport.space.options import Level
    from perfport.space.space import Space

__all__ = ["apply", "card", "compare", "explain"]

SettingOption = Annotated[
    list[str] | None, typer.Option("--set", help="OPTION=LEVEL; options not given are at their default.")
]


def explain(
    model: ModelArgument,
    *,
    setting: SettingOption = None,
    coverage: CoverageOption = 0.9,
    as_json: JsonFlag = False,
) -> None:
    """Say which options and interactions matter; with --set, why that configuration is faster or slower.

    Shares are of the variance of the logarithm of the property over all valid configurations. With --set, the
    predicted difference to the default configuration is split over the options; the parts sum to it.
    """
    from perfport.advise.influences.difference import explain_difference
    from perfport.advise.influences.explain import explain as explain_model
    from perfport.report.advice_terminal import show_explanation

    shown: RenderableType
    built, recipe = loaded_model(model)
    space = recipe.target.space
    with err.status("explaining"):
        if setting:
            default = space.default_configuration()
            found = explain_difference(built, default | parse_settings(setting, space), default, space=space)
            shown, data = Text(str(found)), found.to_dict()
        else:
            explanation = explain_model(built, space, coverage=coverage)
            shown, data = show_explanation(explanation), explanation.to_dict()
    if as_json:
        print_json(data)
    else:
        out.print(shown)


def compare(
    baseline: Annotated[str, typer.Argument(help="Environment, or version, to compare with.", show_default=False)],
    candidate: Annotated[str, typer.Argument(help="The other one; a few measured rows do.", show_default=False)],
    *,
    data: DataOption = "perfport.db",
    campaign: CampaignOption = None,
    protocol: ProtocolOption = None,
    property: Annotated[str, typer.Option("--property", "-p", help="What to compare.")] = "inference_time_s",
    fail_if: Annotated[
        str | None, typer.Option(help="Exit with 1 if this holds, such as 'p90 slowdown > 10%'.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the outcome of --fail-if as JUnit XML.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="HTML page with the picture.")] = None,
    as_json: JsonFlag = False,
) -> int:
    """Say which influences stay, scale, flip, reshape, vanish or appear; with --fail-if, gate a release."""
    if junit is not None and fail_if is None:
        raise UsageError("--junit was given without --fail-if: there is no outcome to write")
    if output is not None and fail_if is not None:
        raise UsageError("--output and --fail-if were both given; the page shows influences, a gate has none")
    with measured_environments(data, campaign=campaign, protocol=protocol) as measured:
        before, after = measured.dataset(baseline), measured.dataset(candidate)
    if fail_if is not None:
        return _gated(before, after, property, fail_if, junit, as_json=as_json)
    from perfport.advise.comparison.compare import compare as compare_environments
    from perfport.report.advice_terminal import show_changes
    from perfport.report.comparison_page import write_comparison_page
    from perfport.transfer.api import transfer

    with err.status("comparing"):
        model = transfer(sources=[before], target=after, property=property)
        comparison = compare_environments(before, after, property=property, target_model=model)
    if as_json:
        print_json(comparison.to_dict())
    else:
        out.print(show_changes(comparison))
    if output is not None:
        given = [*(("--campaign", campaign) if campaign else ()), *(("--protocol", protocol) if protocol else ())]
        command = ["perfport", "compare", baseline, candidate, "--data", data, *given, "--property", property]
        path = write_comparison_page(comparison, output, command=shlex.join(command))
        err.print(f"written: {path}", markup=False, soft_wrap=True)
    return 0


def _gated(before: "Dataset", after: "Dataset", property: str, rule: str, junit: Path | None, *, as_json: bool) -> int:
    from perfport.advise.regression.check import check_regression
    from perfport.advise.regression.junit import junit_xml

    with err.status("comparing"):
        check = check_regression(before, after, rule=rule, property=property)
    if junit is not None:
        junit.write_text(junit_xml([check]), encoding="utf-8")
    if as_json:
        print_json(check.to_dict())
    else:
        out.print(str(check), markup=False)
    return 0 if check.passed else 1


def apply(
    model: ModelArgument,
    *,
    form: Annotated[str, typer.Option("--as", help="onnxruntime, openvino, torch, triton, vllm, environment, ...")],
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="OPTION=LEVEL of the configuration; the predicted best if not given."),
    ] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option(help="OPTION=NAME: what an option of yours is called elsewhere; may be repeated."),
    ] = None,
    network: Annotated[str, typer.Option(help="Path or name of the network, for files that name it.")] = "model.onnx",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the files.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a configuration as settings that can be deployed, and say what they cannot express."""
    from perfport.advise.deployment.export import export
    from perfport.advise.recommendation.feasible import allowed_by
    from perfport.advise.recommendation.recommend import recommend

    built, recipe = loaded_model(model)
    space = recipe.target.space
    configuration, left = _chosen(space, setting), None
    if configuration is None:
        allowed = allowed_by(recipe.target)
        configuration = dict(recommend(built, candidates=space, allowed=allowed)[0].configuration)
        left = left_out(space, allowed, seed=0)
    written = export(configuration, form, network=network, rename=parse_pairs(rename or [], "--rename") or None)
    paths = written.write(output) if output is not None else ()
    if as_json:
        print_json(written.to_dict() | {"configuration": configuration, "left_out": left, "paths": paths})
        return
    if left is not None:
        err.print(str(left), markup=False, soft_wrap=True)
    out.print(str(written), markup=False, soft_wrap=True)
    for path in paths:
        err.print(f"written: {path}", markup=False)


def card(
    model: ModelArgument,
    *,
    data: Annotated[
        str | None,
        typer.Option("--data", help="Tables or store with further rows of the target, to say how wrong the model is."),
    ] = None,
    campaign: CampaignOption = None,
    protocol: ProtocolOption = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Markdown file for the card.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a model's card: what it rests on, how wrong it may be, where it must not be used."""
    from perfport.advise.deployment.card import model_card

    built, recipe = loaded_model(model)
    unseen = None
    if data is not None:
        with measured_environments(data, campaign=campaign, protocol=protocol) as measured:
            unseen = unseen_rows(measured.dataset(recipe.target.environment.name), recipe)
    made = model_card(built, held_out=unseen)
    if output is not None:
        output.write_text(made.to_markdown(), encoding="utf-8")
        err.print(f"written: {output}", markup=False, soft_wrap=True)
    if as_json:
        print_json(made.to_dict())
    elif output is None:
        out.print(made.to_markdown(), markup=False, soft_wrap=True)


def _chosen(space: "Space", setting: list[str] | None) -> "dict[str, Level | None] | None":
    if not setting:
        return None
    configuration = space.default_configuration() | parse_settings(setting, space)
    space.validate(configuration)
    return configuration
