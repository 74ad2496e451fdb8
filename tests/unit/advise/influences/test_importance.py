"""Shares against planted truth and against another program's."""

import numpy as np
import pandas as pd
import pytest
from tests.unit.advise.models import TIME, Planted, mixed_space

from perfport.advise.influences.explain import explain
from perfport.transfer.api import transfer

SPACE = mixed_space(6)
LAW = Planted(SPACE, {("o0",): 0.4, ("o1",): -0.3, ("o2",): 0.25, ("o4",): 0.1, ("o0", "o1"): 0.2})
N_ROWS = 150


def true_share(name: str) -> float:
    every = pd.concat(SPACE.enumerate(), ignore_index=True)
    y = pd.Series(np.log(LAW.predict(every)))
    return float(np.var(y.groupby(every[name]).transform("mean")) / np.var(y))


@pytest.mark.slow
def test_importances_are_the_planted_ones_and_agree_with_another_program() -> None:
    optuna = pytest.importorskip("optuna", reason="a development dependency")
    rng = np.random.default_rng(0)
    told = LAW.measured(SPACE.sample(N_ROWS, rng), 0.05, rng, "planted")
    explanation = explain(transfer(sources=[], target=told, property=TIME.name), SPACE)
    truth = np.array([true_share(name) for name in SPACE.names])
    ours = np.array([explanation.share(name) for name in SPACE.names])
    assert ours == pytest.approx(truth, abs=0.02)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    distributions = {
        option.name: optuna.distributions.CategoricalDistribution(option.levels) for option in SPACE.options
    }
    for levels, time_s in zip(SPACE.configurations(told.configurations), told.response(TIME.name), strict=True):
        value = float(np.log(time_s))
        study.add_trial(optuna.trial.create_trial(params=levels, distributions=distributions, value=value))
    found = optuna.importance.FanovaImportanceEvaluator(seed=0).evaluate(study)
    theirs = np.array([found[name] for name in SPACE.names])
    # Its forest is fitted to the rows, and it leaves pairs out, so only the sums to 1 can be compared.
    assert ours / ours.sum() == pytest.approx(theirs / theirs.sum(), abs=0.12)
    assert np.argsort(-ours)[:2].tolist() == np.argsort(-theirs)[:2].tolist() == np.argsort(-truth)[:2].tolist()
