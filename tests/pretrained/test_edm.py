"""EDM's networks: the denoisers that their weights define, against the original ones."""

import functools
import json
import pathlib
import pickle
import re
import struct
import subprocess
import sys

import jax
import numpy as np
import pytest

from scoresde import pretrained, sdes
from scoresde.networks import embeddings
from scoresde.pretrained import edm
from scoresde.registry import UsageError

CASES = [
    "edm_ddpmpp_edmprecond_cond",
    "edm_adm_edmprecond_cond",
    "edm_ncsnpp_veprecond",
    "edm_ddpmpp_vpprecond",
]


@pytest.fixture(scope="module")
def loaded(golden):
    """`loaded(name)` is a model and its golden case; each is read once."""

    @functools.cache
    def load(name):
        case = golden(name)
        return pretrained.load_edm(case.state_dict, case.config), case

    return load


def labels_of(case):
    """Integer classes, one more than there are for none; EDM's own are one-hot."""
    one_hot = case.contents.get("class_onehot")
    if one_hot is None:
        return None
    return np.where(one_hot.any(axis=1), one_hot.argmax(axis=1), one_hot.shape[1])


@jax.jit
def denoise(denoiser, x, t, labels):
    return denoiser(x, t, None if labels is None else {"label": labels}).x0


@pytest.mark.parametrize("name", CASES)
def test_denoisers_are_the_originals(loaded, relative_error, name):
    model, case = loaded(name)
    x, sigma = case.images("input"), case.contents["sigma"]
    x0, expected = denoise(model.denoiser(), x, sigma, labels_of(case)), case.images("denoised")
    for sample, reference in zip(x0, expected, strict=True):
        assert relative_error(sample, reference) < 1e-5
    # At the small sigma the input alone is close: what the network adds to it must match too.
    assert relative_error(x0[0] - x[0], expected[0] - x[0]) < 1e-4


def test_one_hot_labels_are_labels(loaded):
    """To the layer that the labels enter by."""
    model, case = loaded("edm_ddpmpp_edmprecond_cond")
    params = {"params": model.params["class_embedding"]}
    layer = embeddings.ClassEmbedding(10, params["params"]["Dense_0"]["kernel"].shape[1])
    one_hot, classes = (
        layer.apply(params, labels, 2, train=False)
        for labels in (case.contents["class_onehot"], labels_of(case))
    )
    np.testing.assert_allclose(one_hot, classes, rtol=1e-6)
    assert not np.allclose(*classes)


def test_the_network_of_a_model_is_told_labels_of_its_classes(loaded):
    model, case = loaded("edm_ddpmpp_edmprecond_cond")
    x, sigma, labels = case.images("input"), case.contents["sigma"], labels_of(case)
    output = jax.eval_shape(model.apply, model.params, x, sigma, labels)
    assert output.shape == x.shape
    with pytest.raises(UsageError, match=r"label must be 0 \.\. 9"):
        model.apply(model.params, x, sigma, labels + 11)


def test_a_denoiser_on_the_process_it_was_trained_on(loaded):
    """alpha x at the time of sigma / alpha is fed and read as x at sigma is."""
    model, case = loaded("edm_ddpmpp_vpprecond")
    vp, x, sigma = sdes.VP(), case.images("input"), case.contents["sigma"]
    t = vp.time_of_log_snr(-2 * np.log(sigma))
    scaled = np.asarray(vp.alpha(t))[:, None, None, None] * x
    assert model.denoiser(vp).sde is vp
    seen = []
    for sde, *arguments in ((model.sde, x, sigma), (vp, scaled, t)):
        fed = model.prediction.inputs(sde, *arguments)
        seen.append((*fed, model.prediction.read(sde, *arguments, 3 * x).x0))
    for ours, expected in zip(*seen):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def test_iddpms_preconditioning_is_its_table():
    """Karras et al. 2022, table 1: the network knows 1000 levels by number, the least noise 0."""
    sde, prediction = sdes.EDM(), edm.prediction_of({"precond": "iDDPMPrecond"})

    def alpha_bar(j):
        return np.sin(np.pi / 2 * j / 1000 / 1.008) ** 2

    u = np.zeros(1001)
    for j in range(1000, 0, -1):
        u[j - 1] = np.sqrt((u[j] ** 2 + 1) / max(alpha_bar(j - 1) / alpha_bar(j), 1e-3) - 1)
    sigma = np.float32([u[990], u[20], u[999], 1e-3])
    x, output = (np.full((4, 1, 1, 1), value, np.float32) for value in (2.0, 3.0))
    fed, level = prediction.inputs(sde, x, sigma)
    np.testing.assert_array_equal(level, [9, 979, 0, -1])
    scale = sigma[:, None, None, None]
    np.testing.assert_allclose(fed, x / np.sqrt(1 + scale**2), rtol=1e-5)
    x0 = prediction.read(sde, x, sigma, output).x0
    np.testing.assert_allclose(x0, x - scale * output, rtol=1e-5)


@pytest.mark.parametrize("name", ["edm_ddpmpp_vpprecond", "edm_adm_edmprecond_cond"])
def test_variances_that_iddpm_adds_to_any_network_are_left_out(golden, name):
    case = golden(name)
    arrays = case.state_dict | {"u": np.zeros(1001)}
    expected = pretrained.load_edm(arrays, case.config).params
    for name, value in arrays.items():
        if "aux_conv" in name or "out_conv" in name:
            arrays[name] = np.concatenate([value, np.ones_like(value)])
    params = pretrained.load_edm(arrays, case.config | {"precond": "iDDPMPrecond"}).params
    jax.tree.map(np.testing.assert_array_equal, params, expected)


def test_the_preconditioning_is_known_by_the_name_and_arguments_that_edm_writes(golden):
    case = golden("edm_ddpmpp_vpprecond")
    kwargs = {name: value for name, value in case.config.items() if name != "model_type"}
    assert edm.network_of(kwargs) == edm.network_of(case.config)
    del kwargs["precond"]
    kwargs |= {"class_name": "training.networks.VPPrecond", "epsilon_t": 1e-5}
    assert edm.network_of(kwargs) == edm.network_of(case.config)
    kwargs |= {"beta_d": 15.0, "beta_min": 0.2, "M": 500}
    time_input = edm.prediction_of(kwargs).time_input
    t = np.float32([0.1, 0.7])  # where these options have the sigma
    sigma = np.sqrt(np.expm1(0.5 * 15.0 * t**2 + 0.2 * t))
    np.testing.assert_allclose(time_input(sdes.EDM(), sigma), 499 * t, rtol=1e-4)
    kwargs = {"class_name": "training.networks.iDDPMPrecond", "M": 200, "C_1": 0.01, "C_2": 0.02}
    levels = edm.prediction_of(kwargs).time_input(sdes.EDM(), np.float32([1e4]))
    np.testing.assert_array_equal(levels, [199])


def write_safetensors(path, arrays):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in sorted(arrays.items()):
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": offsets}
        data += array.astype("<f4").tobytes()
    header = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


def test_files_hold_what_the_state_dict_holds(golden, tmp_path):
    case = golden("edm_ddpmpp_edmprecond_cond")
    expected = pretrained.load_edm(case.state_dict, case.config).params
    np.savez(tmp_path / "weights.npz", **case.state_dict)
    write_safetensors(tmp_path / "weights.safetensors", case.state_dict)
    for name in ("weights.npz", "weights.safetensors"):
        params = pretrained.load_edm(tmp_path / name, case.config).params
        jax.tree.map(np.testing.assert_array_equal, params, expected)


def test_the_documented_export_loads(golden, tmp_path):
    """The script of docs/pretrained.md, on a stand-in for a network of EDM's environment."""
    case = golden("edm_ddpmpp_edmprecond_cond")
    docs = pathlib.Path(__file__).parent.parent.parent / "docs/pretrained.md"
    (script,) = re.findall(r"```python\n(import json\nimport pickle.*?)```", docs.read_text(), re.S)
    (tmp_path / "export.py").write_text(script)
    (tmp_path / "stand_in.py").write_text(
        "class Value:\n"
        "    def __init__(self, array):\n        self.array = array\n"
        "    def cpu(self):\n        return self\n"
        "    def numpy(self):\n        return self.array\n\n"
        "class EDMPrecond:\n"
        "    def state_dict(self):\n"
        "        return {name: Value(array) for name, array in self.arrays.items()}\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        import stand_in
    finally:
        sys.path.remove(str(tmp_path))
    network = stand_in.EDMPrecond()
    network.arrays = case.state_dict
    network.init_kwargs = {name: value for name, value in case.config.items() if name != "precond"}
    (tmp_path / "edm.pkl").write_bytes(pickle.dumps({"ema": network}))
    arguments = [sys.executable, "export.py", "edm.pkl", "weights"]
    subprocess.run(arguments, cwd=tmp_path, check=True)
    kwargs = json.loads((tmp_path / "weights.json").read_text())
    assert kwargs == case.config | {"precond": "EDMPrecond"}
    params = pretrained.load_edm(tmp_path / "weights.npz", kwargs).params
    expected = pretrained.load_edm(case.state_dict, case.config).params
    jax.tree.map(np.testing.assert_array_equal, params, expected)


def test_pickles_are_refused_with_the_way_to_export_them(golden, tmp_path):
    (tmp_path / "edm.pkl").write_bytes(b"cos\nsystem\n.")
    with pytest.raises(UsageError, match=r"numpy\.savez") as error:
        pretrained.load_edm(tmp_path / "edm.pkl", golden("edm_ncsnpp_veprecond").config)
    assert "\n" not in str(error.value)


def test_unreadable_files_are_refused(golden, tmp_path):
    config = golden("edm_ncsnpp_veprecond").config
    (tmp_path / "weights.npz").write_bytes(b"PK nothing")
    (tmp_path / "weights.safetensors").write_bytes(b"\xff" * 20)
    for name, message in (
        ("weights.npz", "is damaged"),
        ("weights.safetensors", "is damaged"),
        ("absent.npz", "No file"),
    ):
        with pytest.raises(UsageError, match=message):
            pretrained.load_edm(tmp_path / name, config)


def test_arguments_that_do_not_fit_are_refused(golden):
    case = golden("edm_ddpmpp_edmprecond_cond")
    for change, message in (
        ({"label_dim": 9}, "class_embedding/Dense_0/kernel has shape"),
        ({"num_blocks": 2}, "missing"),
        ({"model_type": "UViT"}, "Unknown EDM model_type 'UViT'"),
        ({"encoder": "skip"}, "has no option 'encoder'"),
    ):
        with pytest.raises(UsageError, match=message):
            pretrained.load_edm(case.state_dict, case.config | change)


def test_an_unknown_preconditioning_has_a_network_but_no_denoiser(golden):
    case = golden("edm_ddpmpp_edmprecond_cond")
    model = pretrained.load_edm(case.state_dict, case.config | {"precond": "FlowPrecond"})
    with pytest.raises(UsageError, match="not known here"):
        model.denoiser()
