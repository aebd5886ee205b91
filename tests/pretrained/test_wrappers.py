"""Weights are found in whatever people wrap them, or the choice is asked for."""

import numpy as np
import pytest

from scoresde.pretrained import averages, numpy_objects, score_sde
from scoresde.pretrained.stand_ins import StandIns
from scoresde.pretrained.wrappers import kind_of
from scoresde.registry import UsageError

SHAPES = {
    "sigmas": (5,),
    "all_modules.0.W": (4,),
    "all_modules.1.weight": (3, 8),
    "all_modules.1.bias": (3,),
    "all_modules.2.weight": (4, 3, 3, 3),
    "all_modules.2.bias": (4,),
    "all_modules.4.Conv_0.weight": (4, 4, 3, 3),
    "all_modules.4.NIN_0.W": (4, 4),
    "all_modules.10.GroupNorm_0.weight": (4,),
}
"""score_sde_pytorch's names and order: a buffer, frequencies that are not trained, weights."""

RAW = {name: np.full(shape, i, np.float32) for i, (name, shape) in enumerate(SHAPES.items())}
FIXED = ("sigmas", "all_modules.0.W")
EMA = {name: value if name in FIXED else value + 0.5 for name, value in RAW.items()}
TRAINED = {name: value for name, value in EMA.items() if name not in FIXED}
PARAMETERS = {name: value for name, value in EMA.items() if name != "sigmas"}
OTHER = {name: value + 0.25 for name, value in RAW.items()}


def prefixed(prefix, state_dict):
    return {f"{prefix}{name}": value for name, value in state_dict.items()}


def dotless(prefix, state_dict, inner=""):
    """As CompVis' LitEma names its buffers."""
    return {f"{prefix}{inner}{name.replace('.', '')}": v for name, v in state_dict.items()}


def choose(content, raw=False):
    return averages.choose(content, score_sde.NAMING, raw=raw)


def same(weights, expected):
    assert weights.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(weights[name], value, err_msg=name)


def stand_in(state):
    """An object of a class of the author's, as it is read."""
    found = StandIns().named("train.EMA")()
    found.state = state
    return found


def pickled_by_numpy(array):
    """An array as it is read from a pickle."""
    found = numpy_objects.Array()
    found.state = (1, array.shape, numpy_objects.Dtype("f4"), False, array.tobytes())
    return found


ALONE = {
    "a state dict": RAW,
    "compiled": prefixed("_orig_mod.", RAW),
    "compiled and parallel": prefixed("module._orig_mod.", RAW),
    "parallel twice": prefixed("module.module.", RAW),
    "compiled block by block": {
        name.replace("all_modules.4.", "all_modules.4._orig_mod."): v for name, v in RAW.items()
    },
    "sharded": prefixed("_fsdp_wrapped_module.", RAW),
    "state_dict": {"state_dict": RAW},
    "model_state_dict": {"model_state_dict": RAW, "optimizer_state_dict": {}, "epoch": 3},
    "net": {"net": prefixed("module.", RAW)},
    "model in a state_dict": {"state_dict": {"model": prefixed("module.", RAW)}},
    "Lightning": {"state_dict": prefixed("model.", RAW), "pytorch-lightning_version": "1.4"},
    "Lightning's net": {"state_dict": prefixed("net.", RAW) | {"loss.lpips.w": np.ones(2)}},
    "a named prefix": prefixed("model.diffusion_model.", RAW),
    "twice the same": {"state_dict": RAW, "model_state_dict": RAW},
    "copies": {"state_dict": RAW, "model_state_dict": {k: v.copy() for k, v in RAW.items()}},
    "list of parts": [RAW, {"state": {0: {"exp_avg": np.ones(3)}}}, 7],
    "sorted by name": {"state_dict": dict(sorted(RAW.items()))},
    "optimizer with names": {
        "state_dict": RAW,
        "optimizer": {"state": {name: {"exp_avg": v, "step": 3} for name, v in RAW.items()}},
        "exp_avg": RAW,
    },
    "arrays of NumPy's": {k: pickled_by_numpy(v) for k, v in RAW.items()},
    "averages of losses": {"state_dict": RAW, "avg_losses": [np.float32(1), np.float32(2)]},
}
"""One set of weights, which are taken as they are, with raw=True or without."""


@pytest.mark.parametrize("content", ALONE.values(), ids=ALONE)
@pytest.mark.parametrize("raw", [False, True])
def test_weights_alone_are_read_out_of_their_wrappers(content, raw):
    found = choose(content, raw)
    same(found.weights, RAW)
    assert found.averaged == (False if raw else None)


BOTH = {
    "score_sde_pytorch": {
        "model": prefixed("module.", RAW),
        "ema": {"decay": 0.999, "num_updates": 3, "shadow_params": list(TRAINED.values())},
        "optimizer": {"state": {0: {"exp_avg": np.ones(3)}}},
    },
    "a list of all parameters": {
        "model": RAW,
        "ema": {"shadow_params": list(PARAMETERS.values()), "collected_params": None},
    },
    "a list of the state dict": {"model": RAW, "ema": list(EMA.values())},
    "a list with a backup": {
        "model": RAW,
        "ema": {"shadow_params": list(TRAINED.values()), "collected_params": [*RAW.values()]},
    },
    "a list by its numbers": {"model": RAW, "ema": dict(enumerate(TRAINED.values()))},
    "a list at the top": {"state_dict": RAW, "ema_params": tuple(TRAINED.values())},
    "an object with a list": {
        "model": RAW,
        "ema": stand_in({"decay": 0.999, "shadow_params": list(TRAINED.values())}),
    },
    "an object with names": {"model": RAW, "ema": stand_in((None, {"shadow": TRAINED}))},
    "by name": {"model": prefixed("module.", RAW), "ema": EMA},
    "by name, what is trained": {"model": prefixed("module.", RAW), "ema": TRAINED},
    "by name, all parameters": {"model": RAW, "ema": prefixed("module.", PARAMETERS)},
    "EMAHelper": {"model": RAW, "ema": {"mu": 0.999, "shadow": TRAINED}},
    "model_ema": {"state_dict": RAW, "model_ema": EMA},
    "state_dict_ema": {"state_dict": RAW, "state_dict_ema": EMA, "arch": "ncsnpp"},
    "params_ema": {"params": RAW, "params_ema": EMA},
    "emaModel": {"model": RAW, "emaModel": EMA},
    "AveragedModel": {"model": RAW, "swa": {"n_averaged": 3, **prefixed("module.", EMA)}},
    "AveragedModel without a word": {
        "model": RAW,
        "second": {"n_averaged": 3, **prefixed("module.", EMA)},
    },
    "AveragedModel, compiled": {
        "model": RAW,
        "second": {"n_averaged": 3, **prefixed("module._orig_mod.", EMA)},
    },
    "AveragedModel in Lightning": {
        "state_dict": {
            **prefixed("net.", RAW),
            **prefixed("copy.module.", EMA),
            "copy.n_averaged": np.int64(3),
        }
    },
    "Lightning, LitEma": {
        "state_dict": {
            **prefixed("model.", RAW),
            **dotless("model_ema.", TRAINED),
            "model_ema.decay": np.float32(0.999),
            "model_ema.num_updates": np.int32(7),
        }
    },
    "Lightning, LitEma of a wrapped model": {
        "state_dict": {
            **prefixed("model.diffusion_model.", RAW),
            **dotless("model_ema.", TRAINED, "diffusion_model"),
            "model_ema.decay": np.float32(0.999),
        }
    },
    "Lightning, a copy": {
        "state_dict": {**prefixed("model.", RAW), **prefixed("ema_model.module.", EMA)}
    },
    "Lightning, WeightAveraging": {
        "state_dict": prefixed("net.", EMA),
        "current_model_state": prefixed("net.", RAW),
        "averaging_state": {"n_averaged": 3},
    },
    "Lightning, a callback": {
        "state_dict": prefixed("net.", RAW),
        "callbacks": {"EMACallback": {"ema_state_dict": prefixed("net.", EMA)}},
    },
    "ema-pytorch": {
        "ema": {
            **prefixed("online_model.", RAW),
            **prefixed("ema_model.", EMA),
            "initted": np.bool_(True),
            "step": np.int64(3),
        }
    },
    "ema-pytorch beside the model": {
        "model": RAW,
        "ema": {**prefixed("online_model.", RAW), **prefixed("ema_model.", EMA)},
    },
}
"""Weights as trained and their averages."""


@pytest.mark.parametrize("content", BOTH.values(), ids=BOTH)
@pytest.mark.parametrize("raw", [False, True])
def test_averages_are_told_from_the_weights_as_trained(content, raw):
    found = choose(content, raw)
    same(found.weights, RAW if raw else EMA)
    assert found.averaged is not raw


AMBIGUOUS = {
    "two networks": ({"generator": RAW, "teacher": OTHER}, "generator .*teacher"),
    "two averages": ({"ema_0.99": EMA, "ema_0.9999": OTHER, "model": RAW}, r"ema_0\.9999 \(9"),
    "a list of states": ([RAW, {}, 3, OTHER], r"0 \(9 arrays\), 3 \(9 arrays\)"),
    "Lightning": ({"state_dict": {**prefixed("a.", RAW), **prefixed("b.", OTHER)}}, "state_dict/a"),
}


@pytest.mark.parametrize("content, message", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_has_two_meanings_is_asked_for(content, message):
    with pytest.raises(UsageError, match=message) as error:
        choose(content)
    assert "that may be meant" in str(error.value) and "FILE#" in str(error.value)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


REFUSED = {
    "averages of one of two": (
        {"a": RAW, "b": OTHER, "ema": {"shadow_params": list(TRAINED.values())}},
        r"averages, ema/shadow_params, that may be of any of a \(9 arrays\), b",
    ),
    "the model alone": ({"model": RAW}, r"no ema\.shadow_params.*raw=True"),
    "averages of another model": (
        {"model": RAW, "ema": {"shadow_params": [np.zeros(3)]}},
        "1 moving averages .*raw=True",
    ),
    "averages in another order": (
        {"model": RAW, "ema": {"shadow_params": list(TRAINED.values())[::-1]}},
        "7 moving averages",
    ),
    "averages of a part": (
        {"model": RAW, "ema": dict(list(TRAINED.items())[:3])},
        "3 moving averages",
    ),
    "a list beside sorted names": (
        {"model": dict(sorted(RAW.items())), "ema": {"shadow_params": list(TRAINED.values())}},
        "7 moving averages",
    ),
    "averages alone without dots": (dotless("model_ema.", TRAINED), "7 moving .* without names"),
    "averages alone in a list": (
        {"decay": 0.999, "shadow_params": list(TRAINED.values())},
        "7 moving averages .shadow_params. without names",
    ),
    "another network": (
        {"state_dict": {f"time_embed.{i}.weight": np.ones(2) for i in range(300)}},
        r"no state dict .*all_modules.*time_embed\.0\.weight.* and 297 more",
    ),
    "nothing": ({"epoch": 3}, "no named arrays"),
    "an object": ({"all_modules.1.weight": {1, 2}}, "is no array, but of set"),
}


@pytest.mark.parametrize("content, message", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_refused_in_a_few_words(content, message):
    with pytest.raises(UsageError, match=message) as error:
        choose(content)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_averages_alone_are_averages():
    same(choose({"ema": EMA}).weights, EMA)
    same(choose({"n_averaged": 3, **prefixed("module.", EMA)}).weights, EMA)
    with pytest.raises(UsageError, match="no weights as trained"):
        choose({"ema": EMA}, raw=True)


@pytest.mark.parametrize(
    "content, step",
    [
        ({"step": 7}, 7),
        ({"global_step": np.int64(8)}, 8),
        ({"iteration": np.array([9])}, 9),
        ({"step": np.float64(10.0)}, 10),
        ({"step": float("nan")}, 0),
        ({"step": -1}, 0),
        ({"step": "seven"}, 0),
        ({"step": [[1, 2], [3]]}, 0),
        ({}, 0),
    ],
)
def test_the_step_is_a_number_or_not_known(content, step):
    found = choose({"state_dict": RAW, **content}).step
    assert found == step and isinstance(found, int)


def test_words_of_keys_say_what_is_below_them():
    assert kind_of(["ema", "online_model"]) == "trained"
    assert kind_of(["optimizer_states", "ema"]) == "averaged"
    assert kind_of(["ema_optimizer"]) == kind_of(["state", "exp_avg"]) == "other"
    assert kind_of(["schema", "demand", "cinema"]) == ""
