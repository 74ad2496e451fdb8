"""How models and verdicts look in a notebook: small, and whatever a name holds stays text."""

import numpy as np
import pandas as pd

from perfport.data.dataset import Dataset
from perfport.data.environment import Environment
from perfport.data.measurement import Property
from perfport.model.influence import fit_influence_model
from perfport.space.options import Option
from perfport.space.space import Space
from perfport.transfer.api import transfer
from perfport.transfer.verdict import Verdict

HOSTILE = "<img src=x>"
TIME = Property("inference_time_s", "s")
SPACE = Space(
    [
        Option(name="threads", type="ordinal", values=(1, 2, 4)),
        Option(name="mode", type="categorical", values=(HOSTILE, "b")),
    ]
)


def rows() -> Dataset:
    frame = pd.concat(SPACE.enumerate(), ignore_index=True)
    time_s = 0.02 / frame["threads"].to_numpy(np.float64) * np.where(frame["mode"] == "b", 1.5, 1.0)
    return Dataset(SPACE, Environment(HOSTILE), {TIME.name: TIME}, frame, {TIME.name: time_s})


def test_a_verdict_shows_errors_weights_and_notes() -> None:
    html = Verdict("helped", {"source:<b>": 0.8, "member:zero": 0.001}, 5.8, 17.4, ("a <i>note</i>",))._repr_html_()
    for said in ("<b>helped</b>", "5.8 %", "17.4 %", "source:&lt;b&gt;", "0.80", "a &lt;i&gt;note"):
        assert said in html
    assert "member:zero" not in html
    assert Verdict("no help")._repr_html_() == "<p><b>no help</b></p>"


def test_a_model_shows_what_it_was_made_from_and_its_verdict() -> None:
    model = transfer(sources=[], target=rows(), property=TIME.name, strategy="target_only")
    html = model._repr_html_()
    assert "Model of inference_time_s" in html and "6 target rows and no source" in html
    assert model.verdict.decision in html
    assert HOSTILE not in html


def test_an_influence_model_shows_its_formula_and_terms() -> None:
    html = fit_influence_model(rows(), TIME.name, scale="log")._repr_html_()
    assert "inference_time_s = exp(" in html and "threads" in html
    assert HOSTILE not in html
