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

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from perfport.data.dataset import Dataset
from perfport.data.measurement import Status
from perfport.space.encoding import Encoder
from perfport.transfer.kernels import CombinedSource, OptionsOnly, source_weights
from perfport.transfer.members import ArdMember, FittedMember, GramMember, TargetRows
from perfport.transfer.mixed import MixedModel, loo_error_pct, mixed
from perfport.transfer.priors import load_priors
from perfport.transfer.source import SourceModel, cached_source
from perfport.transfer.verdict import judged

__all__ = ["Auto", "Influence", "combined_source", "prior_of", "target_only_error_pct", "target_rows"]

MIN_ROWS_ARD = 8  # fewer rows say nothing about single options

# Weight of every member before any row is seen; those that are not fitted share theirs out.
WITH_SOURCES = {
    "around_source": 0.45,
    "around_zero": 0.35,
    "scaled": 0.1,
    "ard": 0.15,
    "ard_informed": 0.1,
    "ard_around_source": 0.2,
    "ard_alone": 0.05,
    "counts": 0.2,
}
WITHOUT_SOURCES = {"without_sources": 0.35, "ard_alone": 0.15, "counts": 0.2}


class Influence:
    """A GP around the sources whose covariance lets influential options and interactions change."""

    def fit(
        self, sources: Sequence[Dataset], target: Dataset, *, property: str, rng: np.random.Generator
    ) -> MixedModel:
        """Fit; see `TransferStrategy.fit`. Deterministic: `rng` is not used."""
        if not sources:
            return _judged(_without_sources(target, property), target, property)
        prior = prior_of(sources, target, property)
        rows = target_rows(prior, target, property)
        members = {"around_source": _around_source(rows, prior)}
        return _judged(
            mixed(prior, rows, members, WITH_SOURCES, property=target.properties[property]), target, property
        )


class Auto:
    """A stacked mixture of members that believe the sources in different ways, with a verdict."""

    def fit(
        self, sources: Sequence[Dataset], target: Dataset, *, property: str, rng: np.random.Generator
    ) -> MixedModel:
        """Fit; see `TransferStrategy.fit`. Deterministic: `rng` is not used."""
        if not sources:
            return _judged(_without_sources(target, property), target, property)
        prior = prior_of(sources, target, property)
        rows = target_rows(prior, target, property)
        model = _judged(
            mixed(prior, rows, _members(rows, prior), WITH_SOURCES, property=target.properties[property]),
            target,
            property,
        )
        if model.verdict.decision != "harmful":
            return model
        if len(target) < MIN_ROWS_ARD:  # too few rows to give up the sources for
            return model.with_verdict(replace(model.verdict, decision="no help"))
        alone = _without_sources(target, property, prior.models[0].basis.encoder)
        return alone.with_verdict(
            replace(
                model.verdict,
                decision="harmful, not used",
                weights=alone.shares() | {f"source:{source.environment}": 0.0 for source in prior.models},
                estimated_error_pct=model.verdict.target_only_error_pct,
            )
        )


def target_only_error_pct(target: Dataset, property: str, encoder: Encoder | None = None) -> float | None:
    """Return the leave-one-out error in percent that the target rows reach without sources; None from one row.

    Args:
        target: The measured rows.
        property: Name of the response.
        encoder: Of the options; fitted on the target rows if not given.
    """
    return loo_error_pct(_without_sources(target, property, encoder))


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
    return combined_source([cached_source(source, property=property) for source in sources], target, property)


def target_rows(prior: CombinedSource | OptionsOnly, target: Dataset, property: str) -> TargetRows:
    """Return the (prepared) target rows as the members need them."""
    z = (np.log(target.responses[property]) - prior.mean) / prior.sd
    noise = np.square(np.nan_to_num(target.log_se[property], nan=0.0) / prior.sd)
    return TargetRows.of(prior, prior.see(target.configurations), z, noise, target.status == Status.OK.value)


def _members(rows: TargetRows, prior: CombinedSource) -> dict[str, FittedMember]:
    members: dict[str, FittedMember] = {
        "around_source": _around_source(rows, prior),
        "around_zero": _gram(rows, "around_zero"),
        "scaled": _around_source(rows, prior, "scaled"),
    }
    if len(rows.z) >= MIN_ROWS_ARD:
        members["ard"] = ArdMember.fitted(rows, "input")
        members["ard_informed"] = ArdMember.fitted(rows, "input", relevance=prior.relevance)
        members["ard_around_source"] = ArdMember.fitted(rows, "mean", relevance=prior.relevance)
        members["ard_alone"] = ArdMember.fitted(rows, "none")
        if "count" in rows.names:
            members["counts"] = _gram(rows, "counts")
    return members


def _without_sources(target: Dataset, property: str, encoder: Encoder | None = None) -> MixedModel:
    encoder = encoder or Encoder(target.space, fitted_on=target.configurations)
    log_y = np.log(target.responses[property])
    # Members scale themselves; the unit only has to be of the right order.
    sd = float(log_y.std())
    X = encoder.transform(target.configurations)
    prior = OptionsOnly(encoder, X, mean=float(log_y.mean()), sd=sd if sd > 1e-6 else 1.0)
    rows = target_rows(prior, target, property)
    members: dict[str, FittedMember] = {"without_sources": _gram(rows, "without_sources")}
    if len(rows.z) >= MIN_ROWS_ARD:
        members["ard_alone"] = ArdMember.fitted(rows, "none")
        if "count" in rows.names:
            members["counts"] = _gram(rows, "counts")
    return mixed(prior, rows, members, WITHOUT_SOURCES, property=target.properties[property])


def _around_source(rows: TargetRows, prior: CombinedSource, member: str = "around_source") -> GramMember:
    return GramMember.fitted(rows, load_priors()[member], around_source=True, unknown=prior.residual_variance)


def _gram(rows: TargetRows, member: str) -> GramMember:
    return GramMember.fitted(rows, load_priors()[member], around_source=False)


def _judged(model: MixedModel, target: Dataset, property: str) -> MixedModel:
    """Return the model with a verdict that compares it with the target rows alone."""
    error = loo_error_pct(model)
    if not isinstance(model.prior, CombinedSource):
        return model.with_verdict(judged(error, error, weights=model.shares()))
    sources = {
        f"source:{source.environment}": float(weight)
        for source, weight in zip(model.prior.models, model.prior.weights, strict=True)
    }
    alone = target_only_error_pct(target, property, model.prior.models[0].basis.encoder)
    return model.with_verdict(judged(error, alone, weights=model.shares() | sources))
