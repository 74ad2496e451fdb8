"""Rules of a regression check: "p90 slowdown > 10%", alone or joined by "and" and "or".

A clause is a statistic over the configurations, a quantity, a comparison and a limit:

- statistic: `p0` to `p100`, `median`, `mean`, `max` (or `worst`), `min`, or `best` (the best configuration of
  the one against the best configuration of the other); `median` if left out;
- quantity: `slowdown` (how much worse, whichever direction the property is better in), `speedup` (how much
  better), `increase`, `decrease`, or `failures` (configurations that used to run and no longer do; takes no
  statistic);
- limit: a percentage (`10%`) or a factor (`1.1x`); of failures a number or a percentage.

"and" binds tighter than "or". Nothing of a rule is ever executed.
"""

import re
from dataclasses import dataclass
from typing import Literal

from perfport.errors import UsageError

__all__ = ["Clause", "Quantity", "Rule", "parse_rule"]

Quantity = Literal["slowdown", "speedup", "increase", "decrease", "failures"]
Comparator = Literal[">", ">=", "<", "<="]

_MAX_LENGTH = 500
_CLAUSE = re.compile(
    r"""\s*(?:(?P<statistic>p\d{1,3}|median|mean|max|worst|min|best)\s+)?
        (?P<quantity>slowdown|speedup|increase|decrease|failures)\s*
        (?P<comparator>>=|<=|>|<)\s*
        (?P<number>\d{1,9}(?:\.\d{1,9})?)\s*(?P<unit>%|x)?\s*""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_ALLOWED = (
    "a rule is 'STATISTIC QUANTITY > LIMIT', joined by and/or; statistics: p0 ... p100, median, mean, max, min, best; "
    "quantities: slowdown, speedup, increase, decrease, failures; limits: 10% or 1.1x"
)


@dataclass(frozen=True, slots=True)
class Clause:
    """One comparison.

    Attributes:
        statistic: "p90", "median", "mean", "max", "min" or "best"; "" for failures.
        quantity: What is compared.
        comparator: How.
        limit_pct: In percent of the baseline; of failures in percent of the configurations, or their number.
        is_count: Whether the limit is a number of failures.
    """

    statistic: str
    quantity: Quantity
    comparator: Comparator
    limit_pct: float
    is_count: bool = False

    def __str__(self) -> str:
        subject = f"{self.statistic} {self.quantity}".strip()
        return f"{subject} {self.comparator} {self.limit_pct:g}{'' if self.is_count else '%'}"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: it holds where every clause of one of its alternatives holds.

    Attributes:
        text: As given.
        alternatives: Clauses joined by "and", alternatives joined by "or".
    """

    text: str
    alternatives: tuple[tuple[Clause, ...], ...]

    @property
    def clauses(self) -> tuple[Clause, ...]:
        """All clauses, in order."""
        return tuple(clause for clauses in self.alternatives for clause in clauses)


def parse_rule(text: str) -> Rule:
    """Read a rule.

    Raises:
        UsageError: If the text is no rule; says where, and what is allowed.

    Example:
        >>> [str(clause) for clause in parse_rule("p90 slowdown > 10% or failures > 0").clauses]
        ['p90 slowdown > 10%', 'failures > 0']
    """
    if len(text) > _MAX_LENGTH:
        raise UsageError(f"a rule of {len(text)} characters: at most {_MAX_LENGTH} are read", rule=text)
    alternatives = re.split(r"\bor\b", text, flags=re.IGNORECASE)
    return Rule(
        text,
        tuple(
            tuple(_clause(part, text) for part in re.split(r"\band\b", alternative, flags=re.IGNORECASE))
            for alternative in alternatives
        ),
    )


def _clause(part: str, rule: str) -> Clause:
    match = _CLAUSE.fullmatch(part)
    if match is None:
        raise UsageError(f"cannot read '{part.strip()}' in the rule '{rule}': {_ALLOWED}", rule=rule)
    statistic, unit = (match["statistic"] or "").lower(), (match["unit"] or "").lower()
    quantity: Quantity = match["quantity"].lower()  # type: ignore[assignment]  # the pattern allows no other
    comparator: Comparator = match["comparator"]  # type: ignore[assignment]  # likewise
    number = float(match["number"])
    if quantity == "failures":
        if statistic or unit == "x":
            raise UsageError(f"cannot read '{part.strip()}': failures take no statistic and no factor", rule=rule)
        return Clause("", quantity, comparator, number, is_count=unit == "")
    if statistic.startswith("p") and float(statistic[1:]) > 100:
        raise UsageError(f"cannot read '{part.strip()}': percentiles run from p0 to p100", rule=rule)
    if not unit:
        raise UsageError(f"cannot read '{part.strip()}': a limit needs a unit, {number:g}% or {number:g}x", rule=rule)
    statistic = {"": "median", "worst": "max"}.get(statistic, statistic)
    return Clause(statistic, quantity, comparator, number if unit == "%" else 100.0 * (number - 1.0))
