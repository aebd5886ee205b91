"""EDM's networks: the denoisers that their weights define, against the original ones."""

import json
import struct

import jax
import numpy as np
import pytest

from scoresde import pretrained, sdes
from scoresde.registry import UsageError

CASES = {
    "edm_ddpmpp_edmprecond_cond": sdes.EDM(),
    "edm_adm_edmprecond_cond": sdes.EDM(),
    "edm_ncsnpp_veprecond": sdes.EDM(),
    "edm_ddpmpp_vpprecond": sdes.VP(),
}


@pytest.mark.parametrize("name", CASES)
def test_denoisers_are_the_originals(golden, relative_error, name):
    case, sde = golden(name), CASES[name]
    model = pretrained.load_edm(case.state_dict, case.config)
    sigma = case.contents["sigma"]
    t = sde.time_of_log_snr(-2 * np.log(sigma))
    labels = None
    if "class_onehot" in case.contents:  # all zeros mean no class
        one_hot = case.contents["class_onehot"]
        labels = np.where(one_hot.any(axis=1), one_hot.argmax(axis=1), one_hot.shape[1])
    alpha = np.asarray(sde.alpha(t))[:, None, None, None]
    x = case.images("input")
    x0 = jax.jit(lambda denoiser: denoiser(alpha * x, t, labels).x0)(model.denoiser(sde))
    expected = case.images("denoised")
    for sample, reference in zip(x0, expected, strict=True):
        assert relative_error(sample, reference) < 1e-5
    # At the small sigma the input alone is close: what the network adds to it must match too.
    added, reference = x0[0] - x[0], expected[0] - x[0]
    assert relative_error(added, reference) < 1e-4


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
    model = pretrained.load_edm(case.state_dict, case.config | {"precond": "iDDPMPrecond"})
    with pytest.raises(UsageError, match="not known here"):
        model.denoiser(sdes.VP())
