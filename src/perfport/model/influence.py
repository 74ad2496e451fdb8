"""The performance-influence model: a sum of terms a person can read and check.

    inference_time_s = 0.21 + 0.84/core_freq + 0.05 * [mode == 'parallel'] * threads

Each option contributes by its level, its logarithm, its reciprocal or its levels one by one; options
interact by products. Which terms stand in the sum is decided by stepwise selection, or all of them do
and a ridge keeps them small. On the scale of the response influences add up ("+38 ms"); on the
logarithmic scale they multiply ("1.4x"), which is the better assumption when responses span decades.

Example:
    >>> import numpy as np, pandas as pd
    >>> frame = pd.DataFrame({"clock": [1.0, 2.0, 4.0, 8.0] * 2, "fast": [False] * 4 + [True] * 4})
    >>> frame["time_s"] = 0.2 + 0.8 / frame["clock"] + 0.1 * frame["fast"]
    >>> model = fit_influence_model(Dataset.from_frame(frame, properties=["time_s"]), "time_s")
    >>> model.formula()
    'time_s = 0.2 + 0.8/clock + 0.1 * fast'

Source:
    Siegmund, Grebhahn, Apel, Kästner, "Performance-Influence Models for Highly Configurable Systems",
    ESEC/FSE 2015. The selection differs: candidates of all orders are judged together (theirs grows
    them one by one), by an information criterion instead of an error threshold.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

import numpy as np
import pandas as pd

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray, Property
from perfport.errors import UsageError
from perfport.model.base import Term
from perfport.model.rows import usable_rows
from perfport.model.stepwise import Criterion, Direction, Heredity, least_squares, select_columns
from perfport.model.terms import FORMS, BasisFunction, Factor, Form, basis_text, basis_values, main_factors, products
from perfport.model.threads import one_thread

__all__ = ["PerformanceInfluenceModel", "ResponseScale", "Selection", "fit_influence_model"]

ResponseScale = Literal["linear", "log"]
Selection = Literal["stepwise", "forward", "ridge"]

# Beyond this many products only the most influential options are crossed: a choice among more
# candidates than that from a few hundred rows finds chance, and the matrix no longer fits a cache.
_MAX_PRODUCTS = 2000


@dataclass(frozen=True, eq=False)
class PerformanceInfluenceModel:
    """An additive model of one property in one environment; made by `fit_influence_model`.

    Attributes:
        property: What is predicted.
        scale: "linear" if the terms add up to the response, "log" if to its natural logarithm.
        intercept: What remains when every term is zero, on that scale.
        functions: The basis functions, most influential first.
        coefficients: Theirs, shape (number of functions,).
        influences: Root mean square of each term around its mean over the fitted rows, same shape.
        limits: Least and greatest sum of terms that is believed; infinite on the linear scale.
        notes: Rows dropped, candidates left out.
    """

    property: Property
    scale: ResponseScale
    intercept: float
    functions: tuple[BasisFunction, ...]
    coefficients: FloatArray
    influences: FloatArray
    limits: tuple[float, float] = (-np.inf, np.inf)
    notes: tuple[str, ...] = ()

    def predict(self, configurations: pd.DataFrame) -> FloatArray:
        """Return the predicted response, shape (m,), in the unit of the property.

        On the linear scale the formula holds everywhere, for a + b/clock is how a device behaves, and
        nothing keeps a prediction positive far from the measured rows. On the log scale a reciprocal
        would be raised to a power: there it stops growing below the least measured level, and the sum may
        leave the range seen by half as much as that range is wide, no further.

        Raises:
            SpaceError: If the configurations lack an option the model uses.
        """
        total = self.intercept + basis_values(self.functions, configurations) @ self.coefficients
        return np.asarray(np.exp(np.clip(total, *self.limits)) if self.scale == "log" else total)

    def terms(self) -> tuple[Term, ...]:
        """Return the terms, most influential first."""
        return tuple(
            Term(tuple(factor.option for factor in function), basis_text(function), float(b), float(influence))
            for function, b, influence in zip(self.functions, self.coefficients, self.influences, strict=True)
        )

    def formula(self, *, digits: int = 3) -> str:
        """Return the model as one readable line.

        Args:
            digits: Significant digits of every coefficient.
        """
        text = f"{self.intercept:.{digits}g}"
        for term in self.terms():
            sign, size = ("-", -term.coefficient) if term.coefficient < 0 else ("+", term.coefficient)
            shown = f"{size:.{digits}g}"
            text += (
                f" {sign} {shown}{term.expression[1:]}"
                if term.expression.startswith("1/")
                else (f" {sign} {shown} * {term.expression}")
            )
        return f"{self.property.name} = {text if self.scale == 'linear' else f'exp({text})'}"

    def __str__(self) -> str:
        return self.formula()

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(term.expression)}</td><td>{term.coefficient:.3g}</td><td>{term.influence:.3g}</td></tr>"
            for term in self.terms()
        )
        head = "<tr><th>term</th><th>coefficient</th><th>influence</th></tr>"
        return f"<p><code>{escape(self.formula())}</code></p><table>{head}{rows}</table>"


def fit_influence_model(
    dataset: Dataset,
    property: str,
    *,
    scale: ResponseScale = "linear",
    selection: Selection = "stepwise",
    criterion: Criterion = "ebic",
    max_order: int = 2,
    max_terms: int | None = None,
    heredity: Literal["none", "weak", "strong"] = "none",
    forms: Sequence[Form] = FORMS,
) -> PerformanceInfluenceModel:
    """Fit a readable additive model.

    Args:
        dataset: Measured rows; those whose response is not positive are dropped, with a note.
        property: Name of the response.
        scale: Whether terms add up to the response ("linear") or to its logarithm ("log").
        selection: "stepwise" adds, drops and swaps terms; "forward" only adds; "ridge" keeps every
            candidate and shrinks all coefficients, the strength chosen by generalised cross-validation.
        criterion: What a term must earn; see `perfport.model.stepwise.select_columns`.
        max_order: Most options in one term: 1 for main effects only, 2 for pairs. From 3 on, a term
            of one order more is tried only where it extends a selected term by an option.
        max_terms: Most terms to select; by default half the rows.
        heredity: Whether an interaction needs main effects of all ("strong"), one ("weak") or none of
            its options beside it.
        forms: Which forms a numeric option may take: "level", "log" or "reciprocal", at least one.

    Raises:
        UsageError: If the dataset has no such property, or a setting is not known.
        NotEnoughDataError: If no row has a positive response.
    """
    if max_order < 1:
        raise UsageError(f"max_order is {max_order}: it must be 1 (main effects) or more", max_order=max_order)
    _check_name("scale", scale, ("linear", "log"))
    _check_name("selection", selection, ("stepwise", "forward", "ridge"))
    _check_name("heredity", heredity, ("none", "weak", "strong"))
    if not forms:
        raise UsageError(f"forms is empty; give one or more of {', '.join(FORMS)}")
    for form in forms:
        _check_name("form", form, FORMS)
    rows, notes = usable_rows(dataset, property)
    y = rows.response(property)
    target = np.log(y) if scale == "log" else y
    # By name, so that the order of the options in the space decides nothing.
    options = sorted(dataset.space.options, key=lambda option: option.name)
    main: list[BasisFunction] = [
        (factor,)
        for option in options
        for factor in main_factors(option, rows.configurations[option.name], forms, is_floored=scale == "log")
    ]
    functions = main
    if max_order > 1:
        crossed, note = _crossed(main, rows.configurations, target)
        functions, notes = main + crossed, notes + note
    with one_thread():
        if selection == "ridge":
            functions, X = _distinct(functions, rows.configurations)
            intercept, b = _ridge(X, target)
        else:
            chooser = _Chooser(rows.configurations, target, criterion, selection, max_terms, heredity)
            functions = chooser.choose(functions)
            for order in range(3, max_order + 1):
                functions = chooser.choose([*main, *functions, *_extended(functions, main, order)])
            X = basis_values(functions, rows.configurations)
            intercept, b = least_squares(X, target)
    influences = np.abs(b) * X.std(axis=0)
    rank = np.argsort(-influences, kind="stable")
    low, high = float(target.min()), float(target.max())
    reach = (high - low) / 2
    return PerformanceInfluenceModel(
        property=rows.properties[property],
        scale=scale,
        intercept=intercept,
        functions=tuple(functions[i] for i in rank),
        coefficients=b[rank],
        influences=influences[rank],
        limits=(low - reach, high + reach) if scale == "log" else (-np.inf, np.inf),
        notes=tuple(notes),
    )


@dataclass(frozen=True, slots=True)
class _Chooser:
    configurations: pd.DataFrame
    target: FloatArray
    criterion: Criterion
    direction: Direction
    max_terms: int | None
    heredity: str

    def choose(self, candidates: Sequence[BasisFunction]) -> list[BasisFunction]:
        functions, X = _distinct(candidates, self.configurations)
        rule = None
        if self.heredity != "none":
            options = sorted({factor.option for function in functions for factor in function})
            incidence = np.array([[any(f.option == o for f in g) for o in options] for g in functions], dtype=bool)
            rule = Heredity(incidence.reshape(len(functions), len(options)), _kind(self.heredity))
        columns = select_columns(
            X,
            self.target,
            criterion=self.criterion,
            direction=self.direction,
            max_columns=self.max_terms,
            heredity=rule,
        )
        return [functions[i] for i in columns]


def _kind(heredity: str) -> Literal["weak", "strong"]:
    return "strong" if heredity == "strong" else "weak"


def _distinct(
    candidates: Sequence[BasisFunction], configurations: pd.DataFrame
) -> tuple[list[BasisFunction], FloatArray]:
    """Drop candidates that are constant or, up to scale and offset, equal to an earlier one."""
    functions = list(dict.fromkeys(candidates))
    X = basis_values(functions, configurations)
    centred = X - X.mean(axis=0)
    length = np.linalg.norm(centred, axis=0)
    keep: dict[bytes, int] = {}
    for i in np.flatnonzero(length > 1e-9 * np.sqrt(len(X)) * np.abs(X).max(axis=0, initial=0.0)):
        unit = centred[:, i] / length[i]
        unit = np.round(unit * np.sign(unit[np.argmax(np.abs(unit) > 1e-9)]), 9) + 0.0  # no negative zeros
        keep.setdefault(unit.tobytes(), int(i))
    columns = list(keep.values())
    return [functions[i] for i in columns], X[:, columns]


def _crossed(
    main: Sequence[BasisFunction], configurations: pd.DataFrame, target: FloatArray
) -> tuple[list[BasisFunction], list[str]]:
    """Return the pairs of main effects; of too many options, those that explain most by themselves."""
    by_option: Mapping[str, list[Factor]] = defaultdict(list)
    for (factor,) in main:
        by_option[factor.option].append(factor)
    pairs = products([factor for (factor,) in main], 2)
    if len(pairs) <= _MAX_PRODUCTS:
        return pairs, []
    share = {option: _explained(factors, configurations, target) for option, factors in by_option.items()}
    kept: set[str] = set()
    for option in sorted(by_option, key=lambda name: -share[name]):
        more = products([factor for (factor,) in main if factor.option in kept | {option}], 2)
        if len(more) > _MAX_PRODUCTS:
            break
        kept, pairs = kept | {option}, more
    return pairs, [f"interactions were sought among the {len(kept)} most influential of {len(by_option)} options"]


def _explained(factors: Sequence[Factor], configurations: pd.DataFrame, target: FloatArray) -> float:
    X = basis_values([(factor,) for factor in factors], configurations)
    intercept, b = least_squares(X, target)
    return 1.0 - float(np.mean((target - intercept - X @ b) ** 2) / max(float(np.var(target)), 1e-300))


def _extended(selected: Sequence[BasisFunction], main: Sequence[BasisFunction], order: int) -> list[BasisFunction]:
    """Return selected terms of `order - 1` options times a main effect of another option."""
    place = {factor: at for at, (factor,) in enumerate(main)}
    extended = {
        frozenset((*function, factor)): tuple(sorted((*function, factor), key=place.__getitem__))
        for function in selected
        if len(function) == order - 1
        for (factor,) in main
        if factor.option not in {known.option for known in function}
    }
    return list(extended.values())


def _ridge(X: FloatArray, y: FloatArray) -> tuple[float, FloatArray]:
    """Ridge on standardised columns, its strength by generalised cross-validation through one decomposition."""
    mean, scale = X.mean(axis=0), X.std(axis=0)
    U, s, Vt = np.linalg.svd((X - mean) / scale, full_matrices=False)
    along = U.T @ (y - y.mean())
    rest = float((y - y.mean()) @ (y - y.mean()) - along @ along)
    best: tuple[float, FloatArray] = (np.inf, np.zeros(X.shape[1]))
    for strength in np.logspace(-4, 4, 17) * len(y):
        shrink = s**2 / (s**2 + strength)
        rss = max(rest, 0.0) + float(np.sum(((1 - shrink) * along) ** 2))
        gcv = rss / max(len(y) - 1 - float(shrink.sum()), 1e-9) ** 2
        if gcv < best[0]:
            best = (gcv, Vt.T @ (s / (s**2 + strength) * along))
    b = best[1] / scale
    return float(y.mean() - mean @ b), np.asarray(b)


def _check_name(what: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise UsageError(f"unknown {what} '{name}': known are {', '.join(known)}", **{what: name})
