"""Values of a config set on the command line."""

import ml_collections
import pytest

from scoresde.experiment import load_config, overrides
from scoresde.registry import UsageError


@pytest.fixture
def config():
    return ml_collections.ConfigDict(
        {
            "seed": 42,
            "sde": {"name": "vp", "beta_max": 20.0},
            "network": {"name": "ncsnpp", "ch_mult": (1, 2), "fir": False},
            "loss": {"weighting": "noise"},
            "likelihood": {"log_prob_rtol": ml_collections.config_dict.placeholder(float)},
            "sampler": {"name": "pc", "steps": 999, "grid": "uniform", "snr": 0.16},
        }
    )


@pytest.mark.parametrize(
    ("item", "section", "expected"),
    [
        ("seed=7", None, 7),
        ("seed=1e3", None, 1000),
        ("sde.beta_max=10", "sde", {"name": "vp", "beta_max": 10.0}),
        ("network.ch_mult=(1,)", "network", {"name": "ncsnpp", "ch_mult": (1,), "fir": False}),
        ("network.fir=true", "network", {"name": "ncsnpp", "ch_mult": (1, 2), "fir": True}),
        ("likelihood.log_prob_rtol=1e-3", "likelihood", {"log_prob_rtol": 1e-3}),
        ("likelihood.log_prob_rtol=None", "likelihood", {"log_prob_rtol": None}),
        ("likelihood.trace=exact", "likelihood", {"log_prob_rtol": None, "trace": "exact"}),
        ("loss.weighting=edm", "loss", {"weighting": "edm"}),
        ("loss.weighting.sigma_data=1", "loss", {"weighting": {"name": "noise", "sigma_data": 1}}),
        ("optimizer.eps=1e-7", "optimizer", {"eps": 1e-7}),
        ("optimizer.schedule.name=linear", "optimizer", {"schedule": {"name": "linear"}}),
        (
            "sampler.grid=(1.0, 0.5)",
            "sampler",
            {"name": "pc", "steps": 999, "grid": (1.0, 0.5), "snr": 0.16},
        ),
    ],
)
def test_values_take_the_type_of_what_they_replace(config, item, section, expected):
    before = config.to_dict()
    changed = overrides.apply(config, [f"--config.{item}"])
    assert config.to_dict() == before  # the config itself stays as it is
    found = changed.seed if section is None else changed[section].to_dict()
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize("item", ["sampler.name=heun", "sampler=heun"])
def test_another_component_has_its_own_defaults(config, item):
    changed = overrides.apply(config, [f"--config.{item}", "--config.sampler.denoise=none"])
    assert changed.sampler.to_dict() == {
        "name": "heun",
        "steps": 999,
        "denoise": "none",
    }


def test_sections_within_another_component_are_what_was_given(config):
    """They were dropped, without a word; and of what was its predecessor's, nothing stays."""
    config.sampler.predictor = {"name": "ancestral", "variance": "forward"}
    items = ["sampler.name=pc2", "sampler.predictor.order=3", "optimizer.schedule.name=steps"]
    items += ["optimizer.schedule.scales.300=0.1", "optimizer.schedule.scales.600=0.5"]
    changed = overrides.apply(config, [f"--config.{item}" for item in items])
    assert changed.sampler.to_dict() == {"name": "pc2", "steps": 999, "predictor": {"order": 3}}
    scales = {"300": 0.1, "600": 0.5}
    assert changed.optimizer.schedule.to_dict() == {"name": "steps", "scales": scales}


def test_the_same_component_keeps_its_options(config):
    assert overrides.apply(config, ["--config.sampler.name=pc"]).sampler.snr == 0.16


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("seed=a", "expected int, as 42 is"),
        ("seed=1.5", "expected int"),
        ("seed.x=1", "has no keys"),
        ("sde=1", "a section, of .*beta_max"),
        ("network.fir=maybe", "expected bool"),
        ("network.ch_mult=1", "expected tuple"),
        ("likelihood.log_prob_rtol=a", "log_prob_rtol"),
    ],
)
def test_values_of_another_type_are_refused(config, item, message):
    with pytest.raises(UsageError, match=message):
        overrides.apply(config, [f"--config.{item}"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def get_config(:\n", "SyntaxError.*line 1"),
        ("def get_config():\n    return 1 / 0\n", "line 2: ZeroDivisionError"),
        ("import not_there\n", "line 1: ModuleNotFoundError"),
        ("config = 1\n", "has no function get_config"),
        ("def get_config():\n    return None\n", "must return an ml_collections.ConfigDict"),
    ],
)
def test_a_config_file_that_fails_is_one_line(tmp_path, text, message):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as failure:
        load_config(str(path), [])
    assert "mine.py" in str(failure.value) and "\n" not in str(failure.value)


def test_a_config_file_takes_an_argument(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import ml_collections\n\n"
        "def get_config(seed):\n    return ml_collections.ConfigDict({'seed': int(seed)})\n"
    )
    assert load_config(f"{path}:3", []).seed == 3
    with pytest.raises(UsageError, match="TypeError"):
        load_config(str(path), [])
