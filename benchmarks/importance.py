"""How near do importances come to the planted truth? `perfport.advise.influences.explain` beside Optuna's fANOVA.

A synthetic system of 8 options with 3 interactions is measured in some configurations with 5 % noise. The share of
the variance of log time that each option carries by itself is known from all configurations. Optuna
estimates it by a random forest (its default evaluator), which reports options but no pairs and normalises them to sum
to 1; perfport by its target-only model. Both are held against the truth, normalised likewise.

    python benchmarks/importance.py --seeds 10
"""

import argparse

import numpy as np
import optuna
import pandas as pd
from scipy.stats import spearmanr

import perfport
from perfport.advise.influences.explain import explain
from perfport.data.dataset import Dataset
from perfport.data.environment import Environment
from perfport.data.measurement import FloatArray, Property
from perfport.measure.systems.synthetic import SyntheticSystem
from perfport.seeding import rng_for
from perfport.space.options import Level, Option

TIME = Property("inference_time_s", "s")
NOISE = 0.05
ROWS = (30, 100, 300)


def true_shares(system: SyntheticSystem) -> FloatArray:
    """Return the share of each option's main effect, by means over all configurations, summing to 1."""
    every = pd.concat(system.space().enumerate(), ignore_index=True)
    y = pd.Series(np.log(system.truth(every)))
    shares = np.array([float(np.var(y.groupby(every[name]).transform("mean"))) for name in every])
    return np.asarray(shares / shares.sum())


def perfport_shares(rows: Dataset) -> FloatArray:
    """Return the shares of a model of the rows."""
    explanation = explain(perfport.transfer(sources=[], target=rows, property=TIME.name), rows.space)
    shares = np.array([explanation.share(name) for name in rows.space.names])
    return np.asarray(shares / shares.sum())


def optuna_shares(rows: Dataset, seed: int) -> FloatArray:
    """Return Optuna's fANOVA importances of the same rows."""
    study = optuna.create_study()
    space = rows.space
    for levels, time_s in zip(space.configurations(rows.configurations), rows.response(TIME.name), strict=True):
        value = float(np.log(time_s))
        positions = {option.name: _position(option, levels[option.name]) for option in space.options}
        distributions = {option.name: _distribution(option) for option in space.options}
        study.add_trial(optuna.trial.create_trial(params=positions, distributions=distributions, value=value))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return np.array([found[name] for name in space.names])


def _distribution(option: Option) -> optuna.distributions.BaseDistribution:
    levels = option.levels or ()
    if option.type == "categorical":
        return optuna.distributions.CategoricalDistribution(levels)
    return optuna.distributions.IntDistribution(0, len(levels) - 1)


def _position(option: Option, level: Level | None) -> Level | None:
    """Return what Optuna is told: equal steps for ordered levels, as they were planted."""
    return level if option.type == "categorical" else (option.levels or ()).index(level)


def main() -> None:
    """Print mean absolute error and rank correlation of the shares of the options."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seeds", type=int, default=10)
    given = arguments.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print(f"{given.seeds} planted systems of 8 options, {NOISE:.0%} noise: error of a share, rank correlation")
    for n_rows in ROWS:
        found: dict[str, list[tuple[float, float]]] = {"perfport": [], "optuna": []}
        for seed in range(given.seeds):
            system = SyntheticSystem(n_options=8, n_interactions=3, seed=seed)
            rng = rng_for(seed, "benchmark", "importance", n_rows)
            some = system.space().sample(n_rows, rng)
            time_s = system.truth(some) * np.exp(NOISE * rng.standard_normal(n_rows))
            rows = Dataset(system.space(), Environment("planted"), {TIME.name: TIME}, some, {TIME.name: time_s})
            truth = true_shares(system)
            for name, shares in (("perfport", perfport_shares(rows)), ("optuna", optuna_shares(rows, seed))):
                found[name].append((float(np.abs(shares - truth).mean()), float(spearmanr(shares, truth).statistic)))
        for name, each in found.items():
            error, rank = np.mean(each, axis=0)
            print(f"  {n_rows:3d} rows  {name:8s}  {error:.4f}  {rank:.2f}", flush=True)


if __name__ == "__main__":
    main()
