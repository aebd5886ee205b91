"""What a run is too short for is said before it starts."""

import pathlib

import pytest

from scoresde.experiment import build, load_config, too_short, training_differences
from scoresde.registry import UsageError

CONFIGS = pathlib.Path(__file__).parent.parent.parent / "configs"


def config(name, *items):
    return load_config(str(CONFIGS / f"{name}.py"), [f"--config.{item}" for item in items])


@pytest.mark.parametrize("name", ["vp/digits", "ve/digits", "subvp/digits", "vdm/digits"])
def test_the_bundled_configs_work_at_a_tenth_of_their_length(name):
    steps = config(name).training.num_steps // 10
    assert not too_short(config(name, f"training.num_steps={steps}"))


def test_the_emoji_work_at_a_tenth_of_their_length():
    assert not too_short(config("vp/emoji32", "training.num_steps=10000"))


def test_an_average_that_still_holds_its_start_is_named():
    (remark,) = too_short(config("vp/digits", "training.ema_warmup=none", "training.num_steps=500"))
    assert "8% of the average 'ema'" in remark and "ema_warmup=inverse" in remark


def test_a_warm_up_longer_than_the_run_is_named():
    published = "vp/cifar10_ddpmpp_continuous"
    remarks = too_short(config(published, "training.num_steps=1000"))
    assert "config.optimizer.warmup is 5000" in remarks[0]
    assert not too_short(config(published))


@pytest.mark.parametrize("where", ["optimizer", "dequantizer.optimizer"])
def test_a_cosine_schedule_without_room_names_its_key(where):
    section = where.removesuffix("optimizer")
    steps = f"{section or 'training.'}num_steps=100"
    with pytest.raises(UsageError, match=rf"config\.{where}\.warmup=100, leaves nothing"):
        items = f"{where}.schedule=cosine", f"{where}.warmup=100", steps
        build(config("vp/digits", *items))


def test_a_run_whose_schedule_ends_cannot_be_extended_and_the_reason_is_given():
    here, there = config("vp/digits"), config("vp/digits", "training.num_steps=9999")
    (difference,) = training_differences(here, there)
    assert "only a constant one can be extended" in difference
    here, there = (
        config("vp/digits", "optimizer.schedule=constant", f"training.num_steps={n}")
        for n in (10, 20)
    )
    assert not training_differences(here, there)
