"""The sentences and number formats that the page and the terminal share, so that they cannot disagree."""

from collections.abc import Mapping, Sequence

from perfport.advise.recommendation.tradeoff import TradeOff
from perfport.advise.rendering import level_text
from perfport.data.environment import Fact
from perfport.data.measurement import Property
from perfport.report.content import Choice, Estimate, Missing, Predictions, ReportData
from perfport.space.options import Level, Option
from perfport.transfer.verdict import Verdict
from perfport.units import format_quantity

__all__ = [
    "changed_options",
    "differs",
    "fact_label",
    "format_configuration",
    "format_duration",
    "format_estimate",
    "format_fact",
    "format_factor",
    "format_interval",
    "format_pct",
    "format_share",
    "gain_over_default",
    "headline",
    "interval_sentence",
    "is_settled",
    "property_label",
    "units_of",
    "verdict_sentence",
    "verification_sentence",
]

# The headline names this many settings; the table below it has them all.
_HEADLINE_SETTINGS = 4
_FACT_UNITS = {"_bytes": "B", "_hz": "Hz", "_w": "W"}


def property_label(prop: Property) -> str:
    """Return the property's name for people: "inference_time_s" reads "inference time"."""
    name = prop.name
    if prop.unit:
        name = name.removesuffix(f"_{prop.unit}").removesuffix(f"_{prop.unit.lower()}")
    return name.replace("_", " ")


def units_of(options: Sequence[Option]) -> dict[str, str]:
    """Return option name -> unit of its levels."""
    return {option.name: option.unit for option in options}


def format_configuration(configuration: Mapping[str, Level | None], units: Mapping[str, str]) -> list[str]:
    """Return "option = level" for each option, in the order given."""
    return [f"{name} = {level_text(level, units.get(name, ''))}" for name, level in configuration.items()]


def format_pct(value: float) -> str:
    """Return a percentage with the digits that mean something.

    Example:
        >>> format_pct(6.12), format_pct(145.2), format_pct(0.123)
        ('6.1 %', '145 %', '0.12 %')
    """
    if abs(value) >= 100:
        return f"{value:,.0f} %"
    return f"{value:.1f} %" if abs(value) >= 1 or value == 0 else f"{value:.2g} %"


def format_share(value: float) -> str:
    """Return a share of 1 as a percentage: 0.9 reads "90 %", small ones keep a digit that is not 0."""
    return f"{100 * value:.0f} %" if value >= 0.01 or value == 0 else format_pct(100 * value)


def fact_label(fact: str) -> str:
    """Return the name of an environment's fact without its unit: "memory_bytes" reads "memory"."""
    for suffix in _FACT_UNITS:
        fact = fact.removesuffix(suffix)
    return fact.replace("_", " ")


def format_fact(fact: str, value: Fact | None) -> str:
    """Return the value of an environment's fact, in the unit its name ends in."""
    if value is None:
        return "not stated"
    for suffix, unit in _FACT_UNITS.items():
        if fact.endswith(suffix) and isinstance(value, int | float) and not isinstance(value, bool):
            return format_quantity(float(value), unit)
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def format_factor(value: float) -> str:
    """Return a ratio as "1.83×"."""
    return f"{value:.2f}×" if value < 10 else f"{value:.1f}×"


def format_duration(seconds: float) -> str:
    """Return a duration: "41 s", "3 min 12 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def grades_text(grades: Mapping[str, int]) -> str:
    """Return "A 40, B 6", best first; "not graded" if there are none.

    Example:
        >>> grades_text({"B": 6, "A": 40})
        'A 40, B 6'
    """
    return ", ".join(f"{grade} {count}" for grade, count in sorted(grades.items())) or "not graded"


def format_interval(estimate: Estimate, unit: str) -> str:
    """Return "11.9 ms to 12.3 ms", or "" without an interval."""
    if estimate.interval is None:
        return ""
    lower, upper = estimate.interval
    return f"{format_quantity(lower, unit)} to {format_quantity(upper, unit)}"


def format_estimate(estimate: Estimate, unit: str) -> str:
    """Return "12.1 ms (11.9 ms to 12.3 ms)", without the bracket where no interval is known."""
    interval = format_interval(estimate, unit)
    return format_quantity(estimate.value, unit) + (f" ({interval})" if interval else "")


def differs(level: Level | None, default: Level | None) -> bool:
    """Whether two levels are different; inactive is inactive, however it is written."""
    return level_text(level) != level_text(default)


def changed_options(choice: Choice) -> dict[str, Level | None]:
    """Return the recommended levels that are not the default ones, in order."""
    return {
        name: level
        for name, level in choice.configuration.items()
        if name not in choice.default or differs(level, choice.default[name])
    }


def gain_over_default(choice: Choice, prop: Property) -> Estimate | None:
    """Return how many times better the recommended configuration measured than the default.

    Above 1 is better, whichever direction the property is better in. Where the choice does not say, the
    interval is the widest the two intervals allow. None unless both were measured, or if the property
    has no better direction.
    """
    verified, default = choice.verified, choice.default_measured
    if isinstance(verified, Missing) or isinstance(default, Missing) or prop.direction == "unclear":
        return None
    if choice.gain is not None:
        return choice.gain
    worse, better = (default, verified) if prop.direction == "minimise" else (verified, default)
    gain = Estimate(worse.value / better.value)
    if worse.interval is None or better.interval is None:
        return gain
    return Estimate(gain.value, worse.interval[0] / better.interval[1], worse.interval[1] / better.interval[0])


def is_settled(gain: Estimate, noise_floor_pct: float | None) -> bool:
    """Whether a gain (or loss) is beyond what measuring the same configuration again would give.

    Both known kinds of noise count: the intervals of the repetitions, which are short-lived noise, and
    the replicate error, which also holds what changes from one process to the next.
    """
    floor = 1 + (noise_floor_pct or 0.0) / 100
    is_beyond_floor = gain.value > floor or gain.value < 1 / floor
    return is_beyond_floor and (gain.interval is None or not gain.interval[0] <= 1 <= gain.interval[1])


def headline(data: ReportData) -> str:
    """Return the answer in one sentence: what to set, what it measured, what it gains over the default."""
    choice, unit, label = data.recommendation, data.property.unit, property_label(data.property)
    if isinstance(choice, Missing):
        return f"No recommendation: {choice.reason}."
    settings = _settings(choice, data.options)
    if isinstance(choice.verified, Missing):
        predicted = f"{settings}: predicted {label} {format_quantity(choice.predicted.value, unit)}"
        alone = f"{predicted}, not verified ({choice.verified.reason})."
        return alone if data.trade_off is None else f"{_served(data.trade_off, settings)}, not verified."
    measured = f"measured {label} {format_quantity(choice.verified.value, unit)}"
    gain = gain_over_default(choice, data.property)
    if not changed_options(choice) or gain is None or isinstance(choice.default_measured, Missing):
        return f"{settings}: {measured}."
    default = format_quantity(choice.default_measured.value, unit)
    keep = f"Keep the default ({label} {default}): the recommended configuration"
    recommended = format_quantity(choice.verified.value, unit)
    if not is_settled(gain, data.noise_floor_pct()):
        return f"{keep} gains nothing beyond the noise ({recommended})."
    if gain.value < 1:
        return f"{keep} measured {recommended}."
    return f"{settings}: {measured}, {format_factor(gain.value)} {_better(unit)} the default ({default})."


def verdict_sentence(verdict: Verdict) -> str:
    """Return the decision of a verdict with the errors it rests on, as one sentence."""
    if verdict.estimated_error_pct is None:
        told = "No source" if verdict.decision == "no source" else "Whether the sources helped is not known"
        return f"{told}; too few target rows to estimate the error."
    opening = {
        "helped": "The sources helped",
        "no help": "The sources did not help",
        "harmful": "The sources did harm, and this strategy uses them all the same",
        "harmful, not used": "The sources would have done harm and were not used",
        "no source": "No source",
    }[verdict.decision]
    error = f"estimated error {format_pct(verdict.estimated_error_pct)}"
    if verdict.target_only_error_pct is None or verdict.decision == "no source":
        return f"{opening}: {error}."
    return f"{opening}: {error}, against {format_pct(verdict.target_only_error_pct)} from the target rows alone."


def verification_sentence(choice: Choice) -> str:
    """Return whether the verifying measurement lies in the predicted interval, or why nobody knows."""
    if isinstance(choice.verified, Missing):
        return f"Not verified: {choice.verified.reason}."
    if choice.predicted.interval is None:
        return "The model gives no interval for this prediction."
    lower, upper = choice.predicted.interval
    where = "inside" if lower <= choice.verified.value <= upper else "outside"
    return f"The verifying measurement lies {where} the predicted {format_share(choice.coverage)} interval."


def interval_sentence(predictions: Predictions) -> str:
    """Return how many measured rows the intervals contain, beside how many they are meant to contain."""
    if predictions.share_inside is None:
        return "The model gives no intervals." if predictions.lower is None else ""
    n_unseen = int((~predictions.is_fitted).sum())
    n_inside = round(predictions.share_inside * n_unseen)
    return (
        f"{n_inside} of the {n_unseen} rows the model had not seen lie inside their "
        f"{format_share(predictions.coverage)} interval ({format_share(predictions.share_inside)})."
    )


def _served(found: TradeOff, settings: str) -> str:
    """What the offer that serves the goal best promises, of every property of the goal."""
    offer = found.knee
    promised = ", ".join(
        f"{property_label(expected.property)} {format_quantity(expected.predicted, expected.property.unit)}"
        for expected in offer.expected
    )
    role = f", the knee of {len(found.offers)} offers" if offer.is_knee and len(found.offers) > 1 else ""
    missed = "" if found.is_kept else "No configuration surely keeps the limits; this one comes nearest. "
    return f"{missed}{settings} for '{found.goal}'{role}: predicted {promised}"


def _settings(choice: Choice, options: Sequence[Option]) -> str:
    changed = format_configuration(changed_options(choice), units_of(options))
    if not changed:
        return "Keep the default configuration"
    shown, n_more = changed[:_HEADLINE_SETTINGS], len(changed) - _HEADLINE_SETTINGS
    if n_more > 0:
        return f"Set {', '.join(shown)} and {n_more} more"
    return "Set " + (shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " and " + shown[-1])


def _better(unit: str) -> str:
    return "as fast as" if unit == "s" else "better than"
