"""Readable basis functions: what an additive model may be made of.

A *factor* turns the levels of one option into a number a person can check (`core_freq`,
`log(core_freq)`, `1/core_freq`, `[mode == 'parallel']`); a *basis function* is a product of factors of
different options. An inactive option gives 0, so whatever it would contribute is absent.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, assert_never

import numpy as np
import pandas as pd

from perfport.data.measurement import FloatArray
from perfport.errors import SpaceError
from perfport.space.options import Level, Option

__all__ = ["FORMS", "BasisFunction", "Factor", "Form", "basis_text", "basis_values", "main_factors", "products"]

Form = Literal["level", "log", "reciprocal", "is", "inactive"]
FORMS: tuple[Form, ...] = ("level", "log", "reciprocal")

# An option with more unordered levels than this identifies rows instead of describing them.
_MAX_LEVELS = 40
# Below this ratio of largest to smallest level, x, log x and 1/x are the same line for all practical purposes.
_MIN_RANGE = 1.2


@dataclass(frozen=True, slots=True)
class Factor:
    """One option as a number.

    Attributes:
        option: Its name.
        form: "level": the level itself (0 or 1 for a boolean option); "log": its natural logarithm;
            "reciprocal": one over it; "is": 1 where the option has the level `level`, else 0;
            "inactive": 1 where the option is inactive, else 0.
        level: For the form "is".
        least: For the form "reciprocal": smaller levels count as this one.
    """

    option: str
    form: Form
    level: Level | None = None
    least: float = 0.0

    def values(self, configurations: pd.DataFrame) -> FloatArray:
        """Return the factor of every configuration, shape (n,), finite.

        A level for which the form is not defined (the logarithm of 0, met only in levels the model has
        never seen) counts as inactive.

        Raises:
            SpaceError: If the configurations lack the option.
        """
        if self.option not in configurations.columns:
            raise SpaceError(
                f"the configurations have no option '{self.option}', which the model uses; "
                f"they have {', '.join(map(str, configurations.columns))}",
                option=self.option,
            )
        cells = configurations[self.option]
        if self.form == "inactive":
            return np.asarray(cells.isna(), dtype=np.float64)
        if self.form == "is":
            # Through objects: a text column with missing cells compares to a missing value, not to False.
            return np.fromiter((level == self.level for level in cells.astype(object)), np.float64, len(cells))
        x = np.asarray(pd.to_numeric(cells, errors="coerce"), dtype=np.float64)
        if self.form == "level":
            return np.nan_to_num(x, nan=0.0)
        inside = np.where(x > 0, x, 1.0)
        if self.form == "log":
            return np.where(x > 0, np.log(inside), 0.0)
        if self.form == "reciprocal":
            return np.where(x > 0, 1.0 / np.maximum(inside, self.least), 0.0)
        assert_never(self.form)

    @property
    def text(self) -> str:
        """What stands above the fraction bar, or below it for a reciprocal."""
        name = self.option if self.option.isidentifier() else f"`{self.option}`"
        if self.form == "is":
            return f"[{name} == {self.level!r}]"
        return {"log": f"log({name})", "inactive": f"[{name} inactive]"}.get(self.form, name)


BasisFunction = tuple[Factor, ...]


def basis_values(functions: Iterable[BasisFunction], configurations: pd.DataFrame) -> FloatArray:
    """Return one column a basis function, shape (n, number of functions); each factor is computed once."""
    known: dict[Factor, FloatArray] = {}
    columns = []
    for function in functions:
        column = np.ones(len(configurations))
        for factor in function:
            if factor not in known:
                known[factor] = factor.values(configurations)
            column = column * known[factor]
        columns.append(column)
    return np.column_stack(columns) if columns else np.empty((len(configurations), 0))


def basis_text(function: BasisFunction) -> str:
    """Return the function as an expression of options.

    Example:
        >>> basis_text((Factor("threads", "level"), Factor("clock", "reciprocal")))
        'threads/clock'
    """
    above = " * ".join(f.text for f in function if f.form != "reciprocal") or "1"
    below = [f.text for f in function if f.form == "reciprocal"]
    if not below:
        return above
    return f"{above}/{below[0]}" if len(below) == 1 else f"{above}/({' * '.join(below)})"


def main_factors(
    option: Option, cells: pd.Series, forms: Sequence[Form] = FORMS, *, is_floored: bool = False
) -> list[Factor]:
    """Return the factors of one option that can be told apart in the measured rows.

    A numeric option with two levels gets one factor, for every form is the same line through two
    points; with more levels it gets the logarithm and the reciprocal too where it is positive and its
    range is wide enough to tell. An unordered option gets one factor a level but the default one,
    against which the others are read.

    Args:
        option: The option.
        cells: Its levels in the measured rows, missing where inactive.
        forms: Which forms a numeric option may take.
        is_floored: Whether a reciprocal stops growing below the least measured level.
    """
    active = cells.dropna()
    factors = [Factor(option.name, "inactive")] if 0 < len(active) < len(cells) else []
    levels = [level.item() if isinstance(level, np.generic) else level for level in active.unique()]
    if len(levels) < 2:
        return factors
    if not all(isinstance(level, bool | int | float) for level in levels) or option.type == "categorical":
        if len(levels) > _MAX_LEVELS:
            return factors
        reference = option.default_level if option.default_level in levels else min(levels, key=str)
        return factors + [Factor(option.name, "is", level) for level in sorted(levels, key=str) if level != reference]
    low, high = min(levels), max(levels)
    is_curved = len(levels) > 2 and low > 0 and high / low >= _MIN_RANGE
    usable = [form for form in forms if form == "level" or is_curved]
    if not usable:
        usable = ["level"] if len(levels) == 2 or low <= 0 else [forms[0]]
    least = float(low) if is_floored else 0.0
    return factors + [Factor(option.name, form, least=least if form == "reciprocal" else 0.0) for form in usable]


def products(factors: Sequence[Factor], order: int) -> list[BasisFunction]:
    """Return every product of `order` factors of different options."""
    return [
        function for function in combinations(factors, order) if len({factor.option for factor in function}) == order
    ]
