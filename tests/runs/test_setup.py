"""What training takes, made of a config."""

import ml_collections
import pytest
import tiny_split
from tiny_model import BARE

from scoresde import build, training
from scoresde.runs.setup import set_up
from scoresde.training.packing import Packed


class Follow(training.EMA):
    """An average of one's own, which may look at whole arrays."""


OWN = {"own": {"name": f"{__name__}:Follow", "rate": 0.9}}
POWER = {"short": {"name": "power", "length": 0.1}}


@pytest.mark.parametrize(
    "changes, alone",
    [
        ({}, True),
        ({"optimizer": {"name": "sgd", "momentum": 0.9}}, True),
        ({"optimizer": {"name": "muon"}}, False),
        ({"optimizer": {"name": "lamb"}}, False),
        ({"optimizer": {"name": "optax:adamw"}}, False),
        ({"training": BARE["training"] | {"averages": OWN}}, False),
        ({"training": BARE["training"] | {"averages": POWER}}, True),
    ],
)
def test_it_is_known_whether_each_number_is_updated_by_itself(changes, alone):
    assert build(ml_collections.ConfigDict(BARE | changes)).elementwise == alone


@pytest.mark.parametrize("name, is_packed", [("adam", True), ("muon", False)])
def test_the_state_is_packed_where_that_is_the_same(name, is_packed):
    sections = tiny_split.get_config() | {"optimizer": {"name": name}}
    setup = set_up(ml_collections.ConfigDict(sections))
    assert isinstance(setup.state.params, Packed) == is_packed
    assert isinstance(training.unpacked(setup.state).params, dict)
    assert setup.parameters == 5 * 16 + 16 * 4 + 4
