"""Networks and checkpoints of score_sde and score_sde_pytorch against the original outputs."""

import jax
import ml_collections
import numpy as np
import pytest
from covering import covering

from scoresde import pretrained, sdes
from scoresde.denoiser import Denoiser
from scoresde.predictions import Index, Noise, ScaledTime, Score, Sigma
from scoresde.pretrained import score_sde
from scoresde.registry import UsageError

PYTORCH = ["ncsnpp_ve_residual", "ddpmpp_vp", "ncsnpp_pyramid_skip", "ddpm_vp"]
JAX = [
    "jax_ncsnpp_pyramid_residual",
    "jax_ncsnpp_plain_blocks",
    "jax_ddpm_ve",
    "jax_ncsn",
    "jax_ncsnv2_128",
]


@pytest.mark.parametrize("name", covering(PYTORCH + JAX, (*PYTORCH, *JAX[-2:])))
def test_outputs_are_the_originals(golden, relative_error, apply, name):
    case = golden(name)
    network = score_sde.network_of(case.config)
    shape = score_sde.image_shape_of(case.config)
    if name in JAX:
        params = score_sde.params_from_jax(case.tree, network, shape)
    else:
        params = score_sde.params_from_pytorch(case.state_dict, network, shape)
    output = apply(network, params, case.images("input"), case.contents["labels"])
    assert relative_error(output, case.images("output")) < 1e-5


@pytest.fixture(scope="module")
def torch_model(golden):
    case = golden("torch_checkpoint_ve")
    return pretrained.load_score_sde_pytorch(case.file(".pth"), case.config)


def test_a_checkpoint_with_numbers_of_numpy_gives_the_same_weights(golden, torch_model):
    """The reference's warm-up leaves an np.float64 in the optimizer."""
    case = golden("torch_checkpoint_ve")
    path = case.file("_warmup.pth")
    for raw, expected in ((False, torch_model), (True, None)):
        model = pretrained.load_score_sde_pytorch(path, case.config, raw=raw)
        if expected is None:
            expected = pretrained.load_score_sde_pytorch(case.file(".pth"), case.config, raw=raw)
        jax.tree.map(np.testing.assert_array_equal, model.params, expected.params)
    assert score_sde.read_pytorch(path).step == score_sde.read_pytorch(case.file(".pth")).step > 0


def test_a_pytorch_checkpoint_gives_its_moving_average(golden, relative_error, apply, torch_model):
    case = golden("torch_checkpoint_ve")
    x, sigma = case.images("input"), case.contents["labels"]
    output = apply(torch_model.network, torch_model.params, x, sigma)
    assert jax.eval_shape(torch_model.apply, torch_model.params, x, sigma).shape == output.shape
    assert relative_error(output, case.images("ema_output")) < 1e-5

    raw = pretrained.load_score_sde_pytorch(case.file(".pth"), case.config, raw=True)
    assert relative_error(apply(raw.network, raw.params, x, sigma), output) > 0.1
    # What is not trained has no average: both have the same frequencies.
    frequencies = (m.params["GaussianFourierProjection_0"]["W"] for m in (raw, torch_model))
    np.testing.assert_array_equal(*frequencies)


def test_a_jax_checkpoint_gives_its_moving_average(golden, relative_error, apply):
    case = golden("flax_checkpoint_ve")
    path, config = case.file(".msgpack"), ml_collections.ConfigDict(case.config)
    model = pretrained.load_score_sde(path, config)
    x, sigma = case.images("input"), case.contents["labels"]
    output = apply(model.network, model.params, x, sigma)
    assert relative_error(output, case.images("ema_output")) < 1e-5
    raw = pretrained.load_score_sde(path, config, raw=True)
    assert relative_error(apply(raw.network, raw.params, x, sigma), output) > 0.1


def test_a_parameter_tree_alone_or_of_another_training_state_is_read(golden, tmp_path):
    from flax import serialization

    tree, path = golden("jax_ddpm_ve").tree, tmp_path / "file"
    for state, raw, averaged in (
        (tree, False, None),
        ({"params": tree}, False, None),
        ({"params": tree}, True, False),
        ({"step": np.int64(3), "params": tree, "params_ema": {}, "opt_state": {}}, True, False),
        ({"step": 3, "params": {}, "params_ema": {"params": tree}}, False, True),
    ):
        path.write_bytes(serialization.msgpack_serialize(state))
        found = score_sde.read_jax(path, raw)
        jax.tree.map(np.testing.assert_array_equal, found.weights, tree)
        assert found.averaged is averaged and found.step == state.get("step", 0)
    path.write_bytes(serialization.msgpack_serialize({"step": 3, "params": tree}))
    with pytest.raises(UsageError, match=r"holds no params_ema.*it holds params, step"):
        score_sde.read_jax(path)


def test_the_denoiser_is_of_the_network_on_the_process(torch_model):
    """What it computes: test_golden_likelihood.py."""
    sde = sdes.VE(sigma_min=0.01, sigma_max=50.0)
    expected = Denoiser(sde, Score(time_input=Sigma()), torch_model.network, torch_model.params)
    assert torch_model.denoiser(sde) == expected
    with pytest.raises(UsageError, match="Which process"):
        torch_model.denoiser()


@pytest.mark.parametrize(
    "model, training, expected",
    [
        ({"scale_by_sigma": True}, {"continuous": True}, Score(time_input=Sigma())),
        (
            {"scale_by_sigma": True, "num_scales": 50},
            {"continuous": False},
            Score(time_input=Index(num_scales=50, descending=True)),
        ),
        ({"scale_by_sigma": False}, {"continuous": True}, Noise(time_input=ScaledTime())),
        ({}, {"continuous": False}, Noise(time_input=Index(num_scales=1000))),
        ({}, {"continuous": False, "sde": "subvpsde"}, Noise(time_input=ScaledTime())),
        ({}, {"continuous": True, "sde": "vesde"}, Score(time_input=Sigma())),
        ({}, {}, Noise(time_input=ScaledTime())),
        (
            {"name": "ncsn", "num_scales": 10},
            {"continuous": False},
            Score(time_input=Index(num_scales=10, descending=True)),
        ),
        (  # whatever the configuration says, it looks its sigma up
            {"name": "ncsnv2_64", "num_scales": 232},
            {"continuous": True},
            Score(time_input=Index(num_scales=232, descending=True)),
        ),
    ],
)
def test_what_a_network_predicts_follows_from_its_process(model, training, expected):
    config = {"model": {"name": "ncsnpp", **model}, "training": training}
    prediction = score_sde.prediction_of(config)
    assert type(prediction) is type(expected) and prediction == expected


def test_configurations_are_read_as_the_originals_read_them(golden):
    """Option names in any case, and keys that mean something else here."""
    config = golden("ncsnpp_pyramid_skip").config
    expected = score_sde.network_of(config)
    config["model"] |= {"resblock_type": "BigGAN", "progressive": "Output_Skip", "num_classes": 10}
    config["model"] |= {"nonlinearity": "Swish", "dtype": "half"}
    assert score_sde.network_of(config) == expected
    config["model"] |= {"name": "ncsn", "num_scales": 1000}
    assert score_sde.network_of(config).module.num_scales == 10


def test_tensors_of_pytorch_are_weights(golden):
    class Tensor:
        """Refuses to be an array where a tensor on a device, or of a parameter, does."""

        def __init__(self, array):
            self.array, self.shape = array, array.shape

        def detach(self):
            return self

        def cpu(self):
            return self

        def float(self):
            return self.array.astype(np.float32)

        def __array__(self, *_, **__):
            raise TypeError("convert it first")

    case = golden("ddpmpp_vp")
    tensors = {name: Tensor(value) for name, value in case.state_dict.items()}
    params = pretrained.load_score_sde_pytorch(tensors, case.config).params
    expected = pretrained.load_score_sde_pytorch(case.state_dict, case.config).params
    jax.tree.map(np.testing.assert_array_equal, params, expected)


def test_faults_of_a_state_dict_are_listed_at_once(golden):
    case = golden("ddpmpp_vp")
    state_dict = case.state_dict
    del state_dict["all_modules.2.bias"]
    state_dict["all_modules.3.Conv_0.weight"] = np.zeros((8, 8, 1, 1))
    state_dict["all_modules.17.extra"] = np.zeros(3)
    with pytest.raises(UsageError) as error:
        pretrained.load_score_sde_pytorch(state_dict, case.config)
    message = str(error.value)
    assert "missing Conv_0/bias" in message
    assert "ResnetBlockBigGANpp_0/Conv_0/kernel has shape (1, 1, 8, 8), not (3, 3, 8, 8)" in message
    assert "unexpected Conv_1/extra" in message
    assert "\n" not in message


def test_hundreds_of_faults_are_counted(golden):
    """A list of all would be 15 kB for a published network."""
    case = golden("ncsnpp_ve_residual")
    config = case.config
    config["model"] |= {"nf": 64, "num_res_blocks": 4}
    with pytest.raises(
        UsageError, match=r"and \d+ more missing; .*; and \d+ more of another"
    ) as error:
        pretrained.load_score_sde_pytorch(case.state_dict, config)
    assert len(str(error.value)) < 3000 and "\n" not in str(error.value)


def test_a_configuration_that_does_not_fit_is_refused(golden):
    case = golden("ddpmpp_vp")
    config = case.config
    config["model"]["num_res_blocks"] = 2
    with pytest.raises(UsageError, match="do not fit the configuration"):
        pretrained.load_score_sde_pytorch(case.state_dict, config)
    with pytest.raises(UsageError, match="has no data\\.image_size"):
        pretrained.load_score_sde_pytorch(case.state_dict, {**case.config, "data": {"centered": 1}})
    config["model"]["name"] = "wideresnet"
    with pytest.raises(UsageError, match="Unknown network 'wideresnet'"):
        pretrained.load_score_sde_pytorch(case.state_dict, config)


def test_averages_that_do_not_match_the_model_are_refused(golden):
    case = golden("ddpmpp_vp")
    checkpoint = {"model": case.state_dict, "ema": {"shadow_params": [np.zeros(3)]}}
    with pytest.raises(UsageError, match="1 moving averages"):
        pretrained.load_score_sde_pytorch(checkpoint, case.config)
    with pytest.raises(UsageError, match=r"no ema\.shadow_params.*raw=True"):
        pretrained.load_score_sde_pytorch({"model": case.state_dict}, case.config)


def test_files_that_are_no_checkpoints_are_refused(golden, tmp_path):
    case = golden("flax_checkpoint_ve")
    whole = case.file(".msgpack").read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "other").write_bytes(b"\x81\xa4step\x01")
    with pytest.raises(UsageError, match="No file"):
        pretrained.load_score_sde(tmp_path / "absent", case.config)
    with pytest.raises(UsageError, match="not a whole Flax msgpack file"):
        pretrained.load_score_sde(tmp_path / "half", case.config)
    with pytest.raises(UsageError, match=r"holds no params_ema.*it holds step"):
        pretrained.load_score_sde(tmp_path / "other", case.config)


def test_large_arrays_come_in_chunks(tmp_path):
    import msgpack

    from scoresde.pretrained import flax_file

    def pack(array):
        content = msgpack.packb((array.shape, array.dtype.name, array.tobytes()))
        return msgpack.ExtType(1, content)

    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    chunks = {"0": pack(array.ravel()[:5]), "1": pack(array.ravel()[5:])}
    tree = {"w": {flax_file.CHUNKED: True, "shape": {"0": 3, "1": 4}, "chunks": chunks}}
    (tmp_path / "file").write_bytes(msgpack.packb(tree))
    np.testing.assert_array_equal(flax_file.read(tmp_path / "file")["w"], array)
