"""`doctor`, `plan` and `measure`: what can be measured here, what a campaign will cost, and running it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perfport.cli.console import JsonFlag, err, out, print_json
from perfport.cli.environments import store_to_read
from perfport.cli.tables import StoreOption

if TYPE_CHECKING:
    from perfport.measure.campaign import Campaign, CampaignResult
    from perfport.measure.campaign.plan import Plan
    from perfport.measure.quality.summary import CampaignQuality

__all__ = ["CampaignArgument", "doctor", "measure", "plan"]

CampaignArgument = Annotated[Path, typer.Argument(help="The campaign's YAML file.", show_default=False)]

INTERRUPTED = 130


def doctor(
    *,
    restore: Annotated[
        bool, typer.Option("--restore", help="Put back what a killed campaign had set, and do nothing else.")
    ] = False,
    noise_test: Annotated[
        float, typer.Option(min=0.0, help="Length of the noise self-test in seconds; 0 for none.")
    ] = 1.0,
    as_json: JsonFlag = False,
) -> int:
    """Say what can be measured and set on this machine, and exactly why not.

    Exits with 3 when no network can be measured here, or something could not be restored.
    """
    if restore:
        return _restore(as_json=as_json)
    from perfport.measure.doctor import doctor as examine
    from perfport.report.terminal import show_doctor

    with err.status("looking around"):
        found = examine(noise_test_s=noise_test)
    if as_json:
        print_json(found.to_dict())
    else:
        out.print(show_doctor(found))
    return 0 if found.can_measure else 3


def _restore(*, as_json: bool) -> int:
    from perfport.measure.actuators import Journal
    from perfport.measure.doctor import restore_machine

    done = restore_machine()
    folder = str(Journal().folder)
    if as_json:
        entries = [{"actuator": d.actuator, "options": list(d.options), "problem": d.problem} for d in done]
        print_json({"journal": folder, "entries": entries, "is_restored": not any(d.problem for d in done)})
    elif not done:
        out.print(f"nothing to restore: no killed campaign left anything in {folder}", markup=False)
    for entry in () if as_json else done:
        state = f"NOT restored: {entry.problem}" if entry.problem else "restored to what was found"
        out.print(f"{entry.actuator} ({', '.join(entry.options)}): {state}", markup=False)
    return 3 if any(entry.problem for entry in done) else 0


def plan(
    campaign: CampaignArgument,
    *,
    store: StoreOption = "perfport.db",
    pilot: Annotated[
        int, typer.Option(min=0, help="Measure so many first, to estimate from; they are kept and count.")
    ] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Say what a campaign will measure and how long it will take; measures nothing but the pilot asked for."""
    from perfport.measure.campaign import Campaign

    spec = Campaign.read(campaign)
    laid_out = _laid_out(spec, store)
    if pilot > laid_out.n_done:
        _run(spec, store, max_runs=pilot - laid_out.n_done)
        laid_out = _laid_out(spec, store)
    if as_json:
        print_json(_plan_fields(laid_out))
    else:
        _show_plan(laid_out)


def measure(
    campaign: CampaignArgument,
    *,
    store: StoreOption = "perfport.db",
    max_runs: Annotated[int | None, typer.Option(min=1, help="Stop after this many measurements.")] = None,
    max_time: Annotated[
        float | None, typer.Option(min=0.0, help="Stop within one repetition of this many seconds.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Measure once more what has failed or timed out.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be measured.")] = False,
    as_json: JsonFlag = False,
) -> int:
    """Run a campaign; stopped in any way, the same command goes on where it stopped.

    Exits with 1 when nothing that was measured is ok.
    """
    from perfport.measure.campaign import Campaign
    from perfport.report.quality import quality_fields, show_quality

    spec = Campaign.read(campaign)
    if dry_run:
        plan(campaign, store=store, as_json=as_json)
        return 0
    result, quality = _run(spec, store, max_runs=max_runs, max_time_s=max_time, retry_failed=retry_failed)
    if as_json:
        told = {"campaign": spec.name, "store": store, "is_finished": result.is_finished}
        print_json(told | _fields(result) | {"quality": quality_fields(quality)})
    else:
        counts = ", ".join(f"{n} {status}" for status, n in result.counts.items()) or "nothing left to measure"
        retried = f" ({result.n_retried} of them again, having failed)" if result.n_retried else ""
        again = f" ({result.n_again} of them again, having been too disturbed)" if result.n_again else ""
        state = "finished" if result.is_finished else f"stopped ({result.stopped_by}), the same command goes on"
        n_stored = result.n_before + result.n_measured
        out.print(
            f"campaign '{spec.name}' {state}: {counts}{retried}{again}; {n_stored} of {result.n_total} are in {store}",
            markup=False,
        )
        _show_reason(result)
        if quality.environments:
            out.print(show_quality(quality))
    if result.stopped_by == "asked":
        return INTERRUPTED
    return 1 if result.is_all_wrong else 0


def _show_reason(result: "CampaignResult") -> None:
    """Say why measurements are not ok: the reason that most of them have."""
    from perfport.measure.campaign.plan import RETRIED

    if not result.reasons:
        return
    (status, reason), count = next(iter(result.reasons.items()))
    of_all = f"{count} of {sum(result.reasons.values())} that are not ok"
    all_of_them = "" if len(result.reasons) == 1 else f"; --json lists all {len(result.reasons)} reasons"
    ended = status.value.replace("_", " ")
    out.print(f"most frequent reason ({of_all}{all_of_them}): {ended}: {reason}", markup=False, soft_wrap=True)
    if any(ended in RETRIED for ended, _ in result.reasons):
        out.print("once the cause is mended, --retry-failed measures what failed or timed out once more", markup=False)


def _run(
    spec: "Campaign",
    store: str,
    *,
    max_runs: int | None = None,
    max_time_s: float | None = None,
    retry_failed: bool = False,
) -> tuple["CampaignResult", "CampaignQuality"]:
    from perfport.data.store import Store
    from perfport.measure.campaign import run_campaign
    from perfport.measure.quality.summary import quality_of
    from perfport.report.progress import MeasuringProgress

    with Store.open(store) as opened:
        with MeasuringProgress(err, "measuring") as shown:
            result = run_campaign(
                spec, opened, progress=shown, max_runs=max_runs, max_time_s=max_time_s, retry_failed=retry_failed
            )
        return result, quality_of(opened.read(campaign=spec.name, protocol=spec.protocol.key))


def _laid_out(spec: "Campaign", store: str) -> "Plan":
    from perfport.measure.campaign import plan_campaign

    if Path(store).exists() or "://" in store:
        with store_to_read(store) as opened:
            return plan_campaign(spec, opened)
    return plan_campaign(spec)


def _plan_fields(laid_out: "Plan") -> dict[str, object]:
    estimate = laid_out.estimate
    environments = {
        rig.environment.name: sum(task.rig is rig for task in laid_out.tasks)
        for rig in {id(task.rig): task.rig for task in laid_out.tasks}.values()
    }
    return {
        "campaign": laid_out.campaign.name,
        "n_runs": laid_out.n_runs,
        "n_done": laid_out.n_done,
        "n_left": laid_out.n_left,
        "runs_by_environment": environments,
        "sentinels": laid_out.n_sentinels,
        "time_s": {"low": estimate.low_s, "typical": estimate.typical_s, "high": estimate.high_s},
        "estimate_rests_on": estimate.basis,
        "notes": laid_out.limits,
    }


def _show_plan(laid_out: "Plan") -> None:
    from perfport.report.wording import format_duration

    estimate = laid_out.estimate
    among = f" ({laid_out.n_sentinels} of them sentinels)" if laid_out.n_sentinels else ""
    name = laid_out.campaign.name
    out.print(f"campaign '{name}': {laid_out.n_runs} runs{among}, {laid_out.n_done} of them done", markup=False)
    if laid_out.n_left:
        low, typical, high = (format_duration(value) for value in (estimate.low_s, estimate.typical_s, estimate.high_s))
        out.print(f"about {typical} to go ({low} to {high}; from {estimate.basis})", markup=False)
    for note in laid_out.limits:
        out.print(f"note: {note}", markup=False)


def _fields(result: "CampaignResult") -> dict[str, object]:
    names = (
        "n_total",
        "n_before",
        "n_measured",
        "n_again",
        "n_retried",
        "counts",
        "grades",
        "outcomes",
        "stopped_by",
        "elapsed_s",
    )
    reasons = [
        {"status": str(status), "reason": reason, "count": count} for (status, reason), count in result.reasons.items()
    ]
    return {name: getattr(result, name) for name in names} | {"reasons": reasons}
