import json
import re
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from tests.unit.advise.models import TIME, Planted

from perfport.advise.deployment.card import ModelCard, model_card
from perfport.data.dataset import Dataset
from perfport.data.environment import Environment
from perfport.errors import UsageError
from perfport.space.options import Option
from perfport.space.space import Space
from perfport.transfer.api import transfer
from perfport.transfer.transferred import TransferredModel

SPACE = Space(
    [
        Option(name="threads", type="ordinal", values=(1, 2, 4, 8)),
        Option(name="mode", type="categorical", values=("a|b", "c")),
        Option(name="arena", type="boolean"),
    ]
)
LAW = Planted(SPACE, {("threads",): -0.4, ("mode",): 0.2})
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def measured(name: str, n: int, seed: int) -> Dataset:
    rng = np.random.default_rng(seed)
    return LAW.measured(SPACE.sample(n, rng), 0.02, rng, name)


def fitted(n_target: int = 6, *, with_source: bool = True) -> tuple[TransferredModel, Dataset]:
    target = measured("board <1>", 16, 1)
    sources = [measured("laptop_", 12, 2)] if with_source else []
    model = transfer(sources=sources, target=target.take(range(n_target)), property=TIME.name)
    return model, target.take(range(n_target, 16))


@pytest.fixture(scope="module")
def card() -> ModelCard:
    model, rest = fitted()
    return model_card(model, held_out=rest, created=NOW)


def test_a_card_says_what_the_model_rests_on(card: ModelCard) -> None:
    assert (card.target.n_rows, card.target.n_usable) == (6, 6)
    assert [source.name for source in card.sources] == ["laptop_"]
    assert card.created == "2026-01-02T03:04:05+00:00"
    assert card.target.cost_s is None, "nothing is known about the cost of these rows"
    assert card.is_transferred


def test_a_card_says_how_wrong_the_model_is(card: ModelCard) -> None:
    assert card.held_out is not None and card.held_out.n_rows == 10
    assert card.held_out.mape_pct < 20
    assert card.interval_pct is not None and card.interval_pct > 0
    assert "error on 10 rows it had not seen" in card.to_markdown()


def test_a_card_says_where_the_model_ends() -> None:
    target = measured("board", 16, 1)
    few = np.flatnonzero(target.configurations["threads"].isin([2, 4]))[:5]
    card = model_card(transfer(sources=[], target=target.take(few), property=TIME.name), created=NOW)
    text = " ".join(card.limits)
    assert "threads (2 of 4 levels)" in text
    assert "extrapolates beyond the measured range of threads" in text
    assert "nothing was transferred" in text
    assert "states no facts about its hardware" in text


def test_equal_models_have_equal_fingerprints() -> None:
    model, _ = fitted()
    again, _ = fitted()
    other, _ = fitted(7)
    assert model_card(model).fingerprint == model_card(again).fingerprint != model_card(other).fingerprint


def test_a_card_survives_json(card: ModelCard) -> None:
    stored = json.loads(card.to_json())
    assert stored["target"]["name"] == "board <1>"
    assert stored["verdict"]["decision"] == card.verdict.decision
    assert stored["verdict"]["gain"] == card.verdict.gain


def test_names_cannot_become_markup(card: ModelCard) -> None:
    text = card.to_markdown()
    assert "board \\<1\\>" in text and "laptop\\_" in text and "inference_time_s" in text
    assert "a\\|b" in text
    assert "<1>" not in card._repr_html_()


def test_every_row_of_a_table_has_as_many_cells_as_its_head(card: ModelCard) -> None:
    lines = card.to_markdown().splitlines()
    for number, line in enumerate(lines):
        if line.startswith("|---"):
            width = len(re.findall(r"(?<!\\)\|", line))
            after = lines[number - 1 :]
            block = after[: next((i for i, text in enumerate(after) if not text.startswith("|")), len(after))]
            assert {len(re.findall(r"(?<!\\)\|", text)) for text in block} == {width}


def test_failed_rows_are_counted_apart() -> None:
    target = measured("board", 10, 3)
    y = target.response(TIME.name).copy()
    y[0] = 0.0
    frame = target.configurations.assign(inference_time_s=y)
    broken = Dataset.from_frame(frame, properties=[TIME], space=SPACE, environment=Environment("board"))
    broken = replace(broken, cost_s=np.full(10, 90.0))
    card = model_card(transfer(sources=[], target=broken, property=TIME.name))
    assert (card.target.n_rows, card.target.n_usable, card.target.cost_s) == (10, 9, 900.0)
    assert "9 of 10" in card.to_markdown() and "15 min" in card.to_markdown()
    assert any("dropped" in limit for limit in card.limits)


def test_a_single_row_has_no_interval_and_says_so() -> None:
    card = model_card(transfer(sources=[], target=measured("board", 1, 4), property=TIME.name, strategy="target_only"))
    assert card.interval_pct is None
    assert "not known" in card.to_markdown()
    json.loads(card.to_json())


def test_rows_the_model_was_fitted_on_are_no_test() -> None:
    model, _ = fitted()
    assert model.recipe is not None
    with pytest.raises(UsageError, match="shares configurations"):
        model_card(model, held_out=model.recipe.target)


def test_a_model_without_recipe_has_no_card() -> None:
    model, _ = fitted()
    with pytest.raises(UsageError, match="does not say what it was made from"):
        model_card(replace(model, recipe=None))
