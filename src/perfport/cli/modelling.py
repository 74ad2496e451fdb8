"""`transfer`, `predict` and `report`: models made, used and shown."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pandas as pd
import typer

from perfport.cli.console import JsonFlag, err, out, print_json
from perfport.cli.environments import measured_environments, parse_pairs, parse_settings
from perfport.errors import ModelFileError, NotEnoughDataError, TableError, UsageError

if TYPE_CHECKING:
    from perfport.data.dataset import Dataset
    from perfport.model.metrics import Errors
    from perfport.space.space import Space
    from perfport.transfer.advice import BreakEven, BudgetAdvice
    from perfport.transfer.recipe import Recipe
    from perfport.transfer.transferred import TransferredModel

__all__ = [
    "CampaignOption",
    "CoverageOption",
    "DataOption",
    "ModelArgument",
    "ProtocolOption",
    "SeedOption",
    "StoreOption",
    "loaded_model",
    "predict",
    "read_configurations",
    "read_frame",
    "report",
    "transfer",
    "unseen_rows",
]

DataOption = Annotated[str, typer.Option("--data", help="A folder of tables, or a store (file or URL).")]
CampaignOption = Annotated[
    str | None, typer.Option("--campaign", help="Of a store: only measurements of this campaign.")
]
ProtocolOption = Annotated[
    str | None, typer.Option("--protocol", help="Of a store: only measurements made under this protocol.")
]
ModelArgument = Annotated[Path, typer.Argument(help="A model that perfport transfer wrote.", show_default=False)]
CoverageOption = Annotated[float, typer.Option(min=0.01, max=0.999, help="Probability the intervals aim at.")]
SeedOption = Annotated[int, typer.Option(help="Decides every choice.")]
StoreOption = Annotated[str, typer.Option("--store", help="Where what is measured is kept.")]

SHOWN_ROWS = 20
_HEADINGS = ("predicted", "median", "lower", "upper")


def transfer(
    *,
    data: DataOption = "perfport.db",
    campaign: CampaignOption = None,
    protocol: ProtocolOption = None,
    source: Annotated[
        list[str] | None, typer.Option("--source", "-s", help="Environment to learn from; may be repeated.")
    ] = None,
    target: Annotated[str, typer.Option("--target", "-t", help="Environment to predict.", show_default=False)],
    property: Annotated[str, typer.Option("--property", "-p", help="What to predict.")] = "inference_time_s",
    budget: Annotated[int, typer.Option("--budget", "-n", min=1, help="Target rows the model may see.")] = 10,
    strategy: Annotated[str, typer.Option(help="How to transfer: auto, influence, target_only, ...")] = "auto",
    rename: Annotated[
        list[str] | None, typer.Option(help="SOURCE=TARGET: an option the target calls otherwise; may be repeated.")
    ] = None,
    measure: Annotated[
        Path | None,
        typer.Option(help="Campaign that says how the target is measured; without it rows are looked up."),
    ] = None,
    seed: SeedOption = 0,
    model: Annotated[Path, typer.Option("--model", "-m", help="Where the model goes.")] = Path("model.perfport"),
    advice: Annotated[
        bool, typer.Option("--advice", help="Say what more rows would give, and how many the sources saved.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Choose the target rows worth measuring, measure or look them up, and build the model.

    Where more of the target has been measured than the budget, the model is checked on the rest,
    which it never sees.
    """
    from perfport.transfer.api import propose
    from perfport.transfer.api import transfer as build
    from perfport.transfer.files import save_model

    renamed = parse_pairs(rename or [], "--rename") or None
    if target in (source or []):
        raise UsageError(f"'{target}' is source and target: that is no transfer; name other environments as sources")
    with measured_environments(data, create=measure is not None, campaign=campaign, protocol=protocol) as measured:
        sources = [measured.dataset(name) for name in source or []]
        pool = measured.pool(target, campaign=measure, seed=seed)
        with err.status("choosing the rows to measure"):
            rows = propose(
                sources=sources,
                candidates=pool.configurations,
                property=property,
                budget=budget,
                seed=seed,
                rename=renamed,
            )
        chosen = pool.take(rows)
        with err.status("fitting"):
            built = build(
                sources=sources, target=chosen, property=property, strategy=strategy, seed=seed, rename=renamed
            )
            checked = _errors_on(built, pool.others(rows))
        advised = _advised(built, pool.configurations) if advice else {}
    save_model(built, model)
    if as_json:
        print_json(
            {
                "model": model,
                "property": built.property,
                "rows": chosen.configurations.assign(**{property: chosen.responses[property], "status": chosen.status}),
                "verdict": built.verdict,
                "gain": built.verdict.gain,
                "errors_on_unseen_rows": checked,
                **advised,
            }
        )
        return
    from perfport.report.terminal import show_rows, show_verdict

    n_sources = f"{len(sources)} source{'' if len(sources) == 1 else 's'}"
    out.print(f"{property} of {target}, from {n_sources} and {len(chosen)} target rows:", markup=False)
    responses = {property: chosen.responses[property]}
    out.print(show_rows(chosen.configurations, responses, built.property, status=chosen.status))
    out.print(show_verdict(built.verdict))
    if checked is not None:
        out.print(
            f"On {checked.n} rows it has not seen: mean error {checked.mape_pct:.3g} %, median "
            f"{checked.median_ape_pct:.3g} %, rank correlation {checked.spearman:.3f}.",
            markup=False,
        )
    for said in advised.values():
        if said is not None:
            out.print(f"advice: {said}", markup=False)
    out.print(f"model: {model}", markup=False)


def predict(
    model: ModelArgument,
    *,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="OPTION=LEVEL; options not given are at their default.")
    ] = None,
    configurations: Annotated[
        Path | None, typer.Option("--configurations", "-c", help="CSV file, one configuration a row.")
    ] = None,
    coverage: CoverageOption = 0.9,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="CSV file for all predictions.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Predict configurations, with intervals."""
    if configurations is not None and setting:
        raise UsageError("--set and --configurations were both given; use one of them")
    loaded, recipe = loaded_model(model)
    space = recipe.target.space
    if configurations is not None:
        frame = read_configurations(configurations, space)
    else:
        wanted = space.default_configuration() | parse_settings(setting or [], space)
        space.validate(wanted)
        frame = space.frame([wanted])
    name = loaded.property.name
    lower, upper = loaded.predict_interval(frame, coverage=coverage)
    found = {
        name: loaded.predict(frame),
        f"{name}_median": loaded.predict_median(frame),
        f"{name}_lower": lower,
        f"{name}_upper": upper,
    }
    if output is not None:
        frame.assign(**found).to_csv(output, index=False)
    if as_json:
        print_json({"property": loaded.property, "coverage": coverage, "predictions": frame.assign(**found)})
        return
    from perfport.report.terminal import show_rows

    shown = dict(zip(_HEADINGS, (column[:SHOWN_ROWS] for column in found.values()), strict=True))
    out.print(
        f"{name} of {recipe.target.environment.name} with {100 * coverage:g} % intervals. predicted: point of least "
        "expected relative error; median: centre, by which recommend ranks.",
        markup=False,
    )
    out.print(show_rows(frame.head(SHOWN_ROWS), shown, loaded.property))
    if len(frame) > SHOWN_ROWS:
        out.print(f"... and {len(frame) - SHOWN_ROWS} more rows; --output writes them all", markup=False)


def report(
    model: ModelArgument,
    *,
    data: Annotated[
        str | None,
        typer.Option("--data", help="Tables or store with further rows of the target, to check the model on."),
    ] = None,
    campaign: CampaignOption = None,
    protocol: ProtocolOption = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option("--beside", help="Model of another property: the page shows the front of both; may be repeated."),
    ] = None,
    goal: Annotated[
        str | None, typer.Option(help="Limits and what is to be best, as for recommend: heads the page.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the page goes.")] = Path("report.html"),
    as_json: JsonFlag = False,
) -> None:
    """Write a self-contained HTML page about a model."""
    from perfport.cli.recommending import loaded_models, traded
    from perfport.report.assembly import report_of
    from perfport.report.page import write_report

    (loaded, recipe), *others = loaded_models([model, *(beside or [])])
    found = traded([(loaded, recipe), *others], goal) if others or goal is not None else None
    test = None
    if data is not None:
        with measured_environments(data, campaign=campaign, protocol=protocol) as measured:
            test = unseen_rows(measured.dataset(recipe.target.environment.name), recipe)
    with err.status("writing the report"):
        path = write_report(report_of(loaded, recipe, test=test, trade_off=found), output)
    if as_json:
        print_json({"report": path})
    else:
        out.print(f"report: {path.resolve()}", markup=False, soft_wrap=True)


def loaded_model(path: Path) -> "tuple[TransferredModel, Recipe]":
    """Return a saved model and what it was made from.

    Raises:
        UsageError: If the file is not there, or cannot be used as a model.
    """
    from perfport.transfer.files import load_model

    try:
        with err.status("loading the model"):
            model = load_model(path)
    except ModelFileError as error:
        raise UsageError(error.message, path=path) from error
    assert model.recipe is not None  # noqa: S101  # a loaded model always knows what it was made from
    return model, model.recipe


def _advised(model: "TransferredModel", candidates: pd.DataFrame) -> "dict[str, BudgetAdvice | BreakEven | None]":
    """Return what may be said about the budget, None where nothing can be."""
    from perfport.transfer.advice import advise_budget, break_even

    with err.status("looking at the budget"):
        return {"advice": advise_budget(model, candidates), "break_even": break_even(model)}


def _errors_on(model: "TransferredModel", others: "Dataset | None") -> "Errors | None":
    from perfport.model.metrics import errors

    name = model.property.name
    usable = _usable(others, name)
    if usable is None:
        return None
    minimise = model.property.direction != "maximise"
    return errors(usable.responses[name], model.predict(usable.configurations), minimise=minimise)


def unseen_rows(dataset: "Dataset", recipe: "Recipe") -> "Dataset | None":
    """Return the usable rows of a dataset whose configuration the model has not seen; None if there are none."""
    from perfport.data.measurement import configuration_key
    from perfport.measure.rows import configurations_of

    seen, offered = (
        [configuration_key(found) for found in configurations_of(dataset.space, rows.configurations)]
        for rows in (recipe.target, dataset)
    )
    return _usable(dataset.take([row for row, key in enumerate(offered) if key not in seen]), recipe.property)


def _usable(dataset: "Dataset | None", property: str) -> "Dataset | None":
    from perfport.model.rows import usable_rows

    try:
        return None if dataset is None else usable_rows(dataset, property)[0]
    except NotEnoughDataError:
        return None


def read_configurations(path: Path, space: "Space") -> pd.DataFrame:
    """Return the configurations of a CSV file with the levels of `space`.

    Raises:
        TableError: If the file is no table, lacks an option, or has a configuration that is not valid.
    """
    raw = read_frame(path)
    missing = [name for name in space.names if name not in raw.columns]
    if missing:
        raise TableError(f"{path}: no column '{missing[0]}'; the options are {', '.join(space.names)}", path=path)
    frame = space.typed(raw[list(space.names)])
    wrong = np.flatnonzero(~space.is_valid(frame))
    if len(wrong):
        row = int(wrong[0])
        cells = {str(name): None if pd.isna(cell) else cell for name, cell in frame.iloc[row].items()}
        raise TableError(f"{path}, row {row + 2}: {'; '.join(space.violations(cells))}", path=path, row=row + 2)
    return frame


def read_frame(path: Path) -> pd.DataFrame:
    """Return what a CSV file of configurations holds, as it is.

    Raises:
        TableError: If the file is no table, or has no row.
    """
    try:
        # Texts such as "none" and "NA" are levels, not missing cells.
        raw = pd.read_csv(path, keep_default_na=False, na_values=[""])
    except (ValueError, OSError) as error:
        raise TableError(f"{path}: cannot be read as a CSV file: {error}", path=path) from error
    if raw.empty:
        raise TableError(f"{path}: there is no row; give one configuration a row", path=path)
    return raw
