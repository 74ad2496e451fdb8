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

import numpy as np

from perfport.data.dataset import Dataset
from perfport.space.encoding import Encoder
from perfport.transfer.kernels import CombinedSource, OptionsOnly, Prior, Seen, source_weights
from perfport.transfer.members import ArdMember, FittedMember, GramMember, TargetRows
from perfport.transfer.mixed import MixedModel, loo_error_pct, mixed
from perfport.transfer.priors import load_priors
from perfport.transfer.source import SourceModel, cached_source
from perfport.transfer.verdict import Verdict, judged

__all__ = ["Auto", "Influence", "combined_source", "options_only", "target_only_error_pct"]

MIN_ROWS_ARD = 8  # fewer rows say nothing about single options
PRIOR_WEIGHTS = {"around_source": 0.45, "around_zero": 0.35, "ard": 0.15, "counts": 0.2, "without_sources": 0.35}


class Influence:
    """A GP around the sources whose covariance lets influential options and interactions change."""

    def fit(
        self, sources: Sequence[Dataset], target: Dataset, *, property: str, rng: np.random.Generator
    ) -> MixedModel:
        """Fit; see `TransferStrategy.fit`. Deterministic: `rng` is not used."""
        prior, seen = _prior_for(sources, target, property)
        rows = _target_rows(prior, seen, target, property)
        if isinstance(prior, OptionsOnly):
            return mixed(
                prior,
                rows,
                {"without_sources": _gram(rows, "without_sources")},
                PRIOR_WEIGHTS,
                property=target.properties[property],
            )
        return mixed(
            prior,
            rows,
            {"around_source": _around_source(rows, prior)},
            PRIOR_WEIGHTS,
            property=target.properties[property],
        )


class Auto:
    """A stacked mixture of members that believe the sources in different ways, with a verdict."""

    def fit(
        self, sources: Sequence[Dataset], target: Dataset, *, property: str, rng: np.random.Generator
    ) -> MixedModel:
        """Fit; see `TransferStrategy.fit`. Deterministic: `rng` is not used."""
        prior, seen = _prior_for(sources, target, property)
        rows = _target_rows(prior, seen, target, property)
        if isinstance(prior, OptionsOnly):
            model = mixed(
                prior, rows, _members_without_sources(rows), PRIOR_WEIGHTS, property=target.properties[property]
            )
            return model.with_verdict(Verdict("no help", model.shares(), loo_error_pct(model), loo_error_pct(model)))
        model = mixed(prior, rows, _members(rows, prior), PRIOR_WEIGHTS, property=target.properties[property])
        rival = _without_sources(target, property, prior.models[0].basis.encoder)
        sources_used = {f"source:{m.environment}": float(w) for m, w in zip(prior.models, prior.weights, strict=True)}
        return model.with_verdict(
            judged(loo_error_pct(model), loo_error_pct(rival), weights=model.shares() | sources_used)
        )


def target_only_error_pct(target: Dataset, property: str) -> float | None:
    """Return the leave-one-out error in percent that the target rows reach without sources; None from one row."""
    return loo_error_pct(_without_sources(target, property, Encoder(target.space, fitted_on=target.configurations)))


def combined_source(models: Sequence[SourceModel], target: Dataset | None, property: str) -> CombinedSource:
    """Return the sources as one, weighted by their agreement with the target rows (equally without any)."""
    q = len(models)
    if q == 1 or target is None or len(target) == 0:
        return CombinedSource(models, np.full(q, 1.0 / q))
    views = [model.view(target.configurations) for model in models]
    predictions = np.stack([view.f + view.r for view in views])
    sds = np.asarray([model.sd for model in models])
    return CombinedSource(models, source_weights(predictions, np.log(target.responses[property]), sds))


def options_only(target: Dataset, property: str, encoder: Encoder | None = None) -> OptionsOnly:
    """Return the prior without sources, located at the target rows."""
    encoder = encoder or Encoder(target.space, fitted_on=target.configurations)
    log_y = np.log(target.responses[property])
    # Members scale themselves; the unit only has to be of the right order.
    sd = float(log_y.std())
    X = encoder.transform(target.configurations)
    return OptionsOnly(encoder, X, mean=float(log_y.mean()), sd=sd if sd > 1e-6 else 1.0)


def _without_sources(target: Dataset, property: str, encoder: Encoder) -> MixedModel:
    prior = options_only(target, property, encoder)
    rows = _target_rows(prior, prior.see(target.configurations), target, property)
    return mixed(prior, rows, _members_without_sources(rows), PRIOR_WEIGHTS, property=target.properties[property])


def _prior_for(sources: Sequence[Dataset], target: Dataset, property: str) -> tuple[CombinedSource | OptionsOnly, Seen]:
    prior = (
        combined_source([cached_source(source, property=property) for source in sources], target, property)
        if sources
        else options_only(target, property)
    )
    return prior, prior.see(target.configurations)


def _target_rows(prior: Prior, seen: Seen, target: Dataset, property: str) -> TargetRows:
    z = (np.log(target.responses[property]) - prior.mean) / prior.sd
    noise = np.square(np.nan_to_num(target.log_se[property], nan=0.0) / prior.sd)
    return TargetRows.of(prior, seen, z, noise)


def _members(rows: TargetRows, prior: Prior) -> dict[str, FittedMember]:
    members: dict[str, FittedMember] = {
        "around_source": _around_source(rows, prior),
        "around_zero": _gram(rows, "around_zero"),
    }
    if len(rows.z) >= MIN_ROWS_ARD:
        members["ard"] = ArdMember.fitted(rows)
        if "count" in rows.names:
            members["counts"] = _gram(rows, "counts")
    return members


def _members_without_sources(rows: TargetRows) -> dict[str, FittedMember]:
    members: dict[str, FittedMember] = {"without_sources": _gram(rows, "without_sources")}
    if len(rows.z) >= MIN_ROWS_ARD:
        members["ard"] = ArdMember.fitted(rows)
        if "count" in rows.names:
            members["counts"] = _gram(rows, "counts")
    return members


def _around_source(rows: TargetRows, prior: Prior) -> GramMember:
    priors = load_priors()
    return GramMember.fitted(rows, priors["around_source"], around_source=True, unknown=prior.residual_variance)


def _gram(rows: TargetRows, member: str) -> GramMember:
    return GramMember.fitted(rows, load_priors()[member], around_source=False)
