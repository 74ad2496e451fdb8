"""The flagship strategies: `influence`, one GP around the source, and `auto`, a mixture that is safe.

Both see the sources through the same prior (kernels.py). `influence` is the idea of the study by
itself: predict what the sources predict, and let influential options and interactions differ.
`auto` adds members that believe the sources less, and lets leave-one-out predictions of the target
rows decide how far each is believed; its verdict tells.

Source:
    Iqbal, Kotthoff, Jamshidi, "Transfer Learning for Performance Modeling of Deep Neural Network
    Systems", USENIX OpML 2019 (the idea of transferring influential options and interactions).
    Stacking: Yao, Vehtari, Simpson, Gelman, Bayesian Analysis 13(3), 2018.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray, Status
from perfport.space.encoding import Encoder
from perfport.transfer.kernels import CombinedSource, OptionsOnly, source_weights
from perfport.transfer.members import ArdMember, FittedMember, GramMember, PartsMember
from perfport.transfer.mixed import MixedModel, loo_errors_pct, mixed
from perfport.transfer.outliers import fit_suspecting
from perfport.transfer.priors import MemberPrior, load_priors
from perfport.transfer.rows import TargetRows
from perfport.transfer.source import SourceModel, cached_sources
from perfport.transfer.verdict import judged

__all__ = [
    "WITH_SOURCES",
    "Auto",
    "Influence",
    "combined_source",
    "fitted_members",
    "prior_of",
    "target_only_errors_pct",
    "target_rows",
]

MAX_NAMED = 3  # readings that hardly count; of more the number is told
MIN_ROWS_ARD = 8  # fewer rows say nothing about single options

# Weight of every member before any row is seen; those that are not fitted share theirs out.
WITH_SOURCES = {
    "around_source": 0.2,
    "around_zero": 0.45,
    "parts": 0.2,
    "scaled": 0.1,
    "ard_informed": 0.1,
    "ard_around_source": 0.2,
    "ard_alone": 0.15,
    "counts": 0.6,
}
WITHOUT_SOURCES = {"without_sources": 0.35, "ard_alone": 0.15, "counts": 0.2}


class Influence:
    """A GP around the sources whose covariance lets influential options and interactions change."""

    def fit(
        self, sources: Sequence[Dataset], target: Dataset, *, property: str, rng: np.random.Generator
    ) -> MixedModel:
        """Fit; see `TransferStrategy.fit`. Deterministic: `rng` is not used."""
        if not sources:
            return _on_its_own(target, property)
        prior = prior_of(sources, target, property)

        def fitted(rows: TargetRows) -> dict[str, FittedMember]:
            return {"around_source": _around_source(rows, prior, load_priors()["around_source"])}

        model = _mixture(prior, target, property, fitted, WITH_SOURCES)
        return _judged(model, _without_sources(target, property, prior.models[0].basis.encoder), target, property)


class Auto:
    """A stacked mixture of members that believe the sources in different ways, with a verdict."""

    def fit(
        self, sources: Sequence[Dataset], target: Dataset, *, property: str, rng: np.random.Generator
    ) -> MixedModel:
        """Fit; see `TransferStrategy.fit`. Deterministic: `rng` is not used."""
        if not sources:
            return _on_its_own(target, property)
        prior = prior_of(sources, target, property)
        mixture = _mixture(prior, target, property, lambda rows: fitted_members(rows, prior), WITH_SOURCES)
        alone = _without_sources(target, property, prior.models[0].basis.encoder)
        model = _judged(mixture, alone, target, property)
        if model.verdict.decision != "harmful":
            return model
        if len(target) < MIN_ROWS_ARD:  # too few rows to give up the sources for
            return model.with_verdict(replace(model.verdict, decision="no help"))
        return alone.with_verdict(
            replace(
                model.verdict,
                decision="harmful, not used",
                weights=alone.shares() | dict.fromkeys(_labels(prior), 0.0),
                estimated_error_pct=model.verdict.target_only_error_pct,
            )
        )


def target_only_errors_pct(target: Dataset, property: str) -> FloatArray:
    """Return the leave-one-out absolute percentage error of every measured row without sources, shape (n,)."""
    return loo_errors_pct(_without_sources(target, property))


def combined_source(models: Sequence[SourceModel], target: Dataset | None, property: str) -> CombinedSource:
    """Return the sources as one, weighted by their agreement with the target rows (equally without any)."""
    q = len(models)
    if q == 1 or target is None or len(target) == 0:
        return CombinedSource(models, np.full(q, 1.0 / q))
    predictions = np.stack([model.predict_known(target.configurations) for model in models])
    sds = np.asarray([model.sd for model in models])
    return CombinedSource(models, source_weights(predictions, np.log(target.responses[property]), sds))


def prior_of(sources: Sequence[Dataset], target: Dataset, property: str) -> CombinedSource:
    """Return what the (prepared) sources say before the responses of the target rows are modelled."""
    return combined_source(cached_sources(sources, property=property), target, property)


def target_rows(prior: CombinedSource | OptionsOnly, target: Dataset, property: str) -> TargetRows:
    """Return the (prepared) target rows as the members need them."""
    z = (np.log(target.responses[property]) - prior.mean) / prior.sd
    noise = np.square(target.log_se[property] / prior.sd)
    return TargetRows.of(prior, prior.see(target.configurations), z, noise, target.status == Status.OK.value)


def fitted_members(
    rows: TargetRows, prior: CombinedSource, priors: Mapping[str, MemberPrior] | None = None
) -> dict[str, FittedMember]:
    """Return every member that `auto` mixes, fitted to the target rows.

    Args:
        rows: The target rows.
        prior: What the sources say.
        priors: Member -> prior of its scales; those the package ships if not given.
    """
    priors = priors or load_priors()
    members: dict[str, FittedMember] = {
        "around_source": _around_source(rows, prior, priors["around_source"]),
        "around_zero": GramMember.fitted(rows, priors["around_zero"], around="zero"),
        "parts": PartsMember.fitted(rows, priors["parts"], prior.loadings),
        "scaled": _around_source(rows, prior, priors["scaled"]),
    }
    if len(rows.z) >= MIN_ROWS_ARD:
        members["ard_informed"] = ArdMember.fitted(rows, "input", relevance=prior.relevance)
        members["ard_around_source"] = ArdMember.fitted(rows, "mean", relevance=prior.relevance)
        members["ard_alone"] = ArdMember.fitted(rows, "none")
        if "count" in rows.names:
            members["counts"] = GramMember.fitted(rows, priors["counts"], around="zero")
    return members


def _without_sources(target: Dataset, property: str, encoder: Encoder | None = None) -> MixedModel:
    encoder = encoder or Encoder(target.space, fitted_on=target.configurations)
    log_y = np.log(target.responses[property])
    # Members scale themselves; the unit only has to be of the right order.
    sd = float(log_y.std())
    X = encoder.transform(target.configurations)
    prior = OptionsOnly(encoder, X, mean=float(log_y.mean()), sd=sd if sd > 1e-6 else 1.0)

    def fitted(rows: TargetRows) -> dict[str, FittedMember]:
        priors = load_priors()
        members: dict[str, FittedMember] = {
            "without_sources": GramMember.fitted(rows, priors["without_sources"], around="zero")
        }
        if len(rows.z) >= MIN_ROWS_ARD:
            members["ard_alone"] = ArdMember.fitted(rows, "none")
            if "count" in rows.names:
                members["counts"] = GramMember.fitted(rows, priors["counts"], around="zero")
        return members

    return _mixture(prior, target, property, fitted, WITHOUT_SOURCES)


def _mixture(
    prior: CombinedSource | OptionsOnly,
    target: Dataset,
    property: str,
    fitted: Callable[[TargetRows], dict[str, FittedMember]],
    prior_weights: Mapping[str, float],
) -> MixedModel:
    """Return the mixture of the members of the target rows."""

    def fit(rows: TargetRows) -> MixedModel:
        return mixed(prior, rows, fitted(rows), prior_weights, property=target.properties[property])

    return fit_suspecting(target_rows(prior, target, property), fit)


def _around_source(rows: TargetRows, prior: CombinedSource, scales: MemberPrior) -> GramMember:
    return GramMember.fitted(rows, scales, around="readings", unknown=prior.residual_variance)


def _judged(model: MixedModel, alone: MixedModel, target: Dataset, property: str) -> MixedModel:
    """Return the model with a verdict that compares it with that of the target rows alone."""
    weights = model.shares()
    if isinstance(model.prior, CombinedSource):
        weights |= dict(zip(_labels(model.prior), model.prior.weights.tolist(), strict=True))
    return model.with_verdict(
        judged(loo_errors_pct(model), loo_errors_pct(alone), weights=weights, notes=_disbelieved(model, target))
    )


def _on_its_own(target: Dataset, property: str) -> MixedModel:
    alone = _without_sources(target, property)
    return _judged(alone, alone, target, property)


def _disbelieved(model: MixedModel, target: Dataset) -> tuple[str, ...]:
    """Say which readings hardly count, the furthest off first."""
    factors = np.exp(np.abs(model.left_out_errors()) * model.prior.sd)
    suspects = sorted(np.flatnonzero(model.rows.suspicion), key=lambda row: -factors[row])
    notes = []
    for row in suspects[:MAX_NAMED]:
        cells = {name: target.configurations[name].iloc[row] for name in target.space.names}
        configuration = ", ".join(f"{name}={level}" for name, level in cells.items() if not pd.isna(level))
        reading = f"{target.response(model.property.name)[row]:.3g} {model.property.unit}".rstrip()
        notes.append(
            f"{target.environment.name}: the reading {reading} of {configuration} is off by a factor of "
            f"{factors[row]:.2g} from what the others let expect; it hardly counts, measure it again"
        )
    more = len(suspects) - len(notes)
    return (*notes, f"{more} more readings are off and hardly count") if more > 0 else tuple(notes)


def _labels(prior: CombinedSource) -> list[str]:
    """Return what the verdict calls each source; several environments may have one name."""
    seen: Counter[str] = Counter()
    labels = []
    for source in prior.models:
        seen[source.environment] += 1
        number = f" #{seen[source.environment]}" if seen[source.environment] > 1 else ""
        labels.append(f"source:{source.environment}{number}")
    return labels
