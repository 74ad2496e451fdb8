"""What a campaign will measure."""

import json
from typing import Any

import pytest

from perfport.measure.campaign.plan import tasks_of
from perfport.measure.campaign.spec import Campaign

SPACE = {
    "options": [
        {"name": "option_1", "type": "boolean", "default": False},
        {"name": "option_2", "type": "ordinal", "values": [1, 2, 4], "default": 2},
        {"name": "option_3", "type": "categorical", "values": ["a", "b", "c"]},
    ],
    "conditions": [{"option": "option_2", "when": "option_1"}, {"option": "option_3", "when": "not option_1"}],
}


@pytest.mark.parametrize(
    ("given", "measured"),
    [
        ({}, {"option_1": False, "option_2": None, "option_3": "a"}),
        ({"option_3": "b"}, {"option_1": False, "option_2": None, "option_3": "b"}),
        ({"option_1": True}, {"option_1": True, "option_2": 2, "option_3": None}),
        # As given, though the space forbids it: what is listed may be invalid.
        ({"option_1": True, "option_2": None}, {"option_1": True, "option_2": None, "option_3": None}),
        ({"option_2": 4}, {"option_1": False, "option_2": 4, "option_3": "a"}),
        ({"option_1": True, "option_2": 3}, {"option_1": True, "option_2": 3, "option_3": None}),
    ],
)
def test_what_a_listed_configuration_leaves_out_is_at_its_default(
    given: dict[str, Any], measured: dict[str, Any]
) -> None:
    campaign = Campaign.from_yaml(
        f"{{name: c, environments: [{{name: e, system: synthetic, settings: {{n_options: 3}}}}], "
        f"space: {json.dumps(SPACE)}, configurations: [{json.dumps(given)}], sentinel_every: 0}}"
    )
    tasks, _ = tasks_of(campaign, campaign.rigs())
    assert [task.configuration for task in tasks] == [measured]
