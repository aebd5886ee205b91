"""Weights in wrappers as files have them: PyTorch's own, TorchScript's, EDM's names."""

import pathlib

import numpy as np
import pytest

from scoresde import pretrained
from scoresde.pretrained import averages, edm, score_sde, torch_file
from scoresde.registry import UsageError
from tests.pretrained import opcodes as op

FILES = pathlib.Path(__file__).parent.parent / "data" / "torch_files"


def choose(content, naming=score_sde.NAMING):
    return averages.choose(content, naming, raw=False)


def prefixed(prefix, state_dict):
    return {f"{prefix}{name}": value for name, value in state_dict.items()}


def same(weights, expected):
    assert weights.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(weights[name], value, err_msg=name)


def test_one_of_several_sets_is_named_after_the_path(tmp_path):
    def state_dict(key):
        return op.dictionary(
            **{name: op.tensor(key, "FloatStorage", 0, (2,), (1,)) for name in ("all_modules.3.b",)}
        )

    arrays = {"x": np.float32([1, 2]), "y": np.float32([3, 4])}
    opcodes = op.dictionary(generator=state_dict("x"), teacher=state_dict("y"))
    path = op.zip_file(tmp_path / "file.pth", opcodes, **arrays)
    with pytest.raises(UsageError, match="'FILE#generator'"):
        score_sde.read_pytorch(path)
    for part, key in (("generator", "x"), ("teacher", "y")):
        found = score_sde.read_pytorch(f"{path}#{part}").weights
        np.testing.assert_array_equal(found["all_modules.3.b"], arrays[key])
    with pytest.raises(UsageError, match="has no weights 'discriminator', but generator"):
        score_sde.read_pytorch(f"{path}#discriminator")
    renamed = path.rename(tmp_path / "a#b.pth")  # a file's own name may have a mark
    with pytest.raises(UsageError, match="'FILE#generator'"):
        score_sde.read_pytorch(renamed)
    assert score_sde.read_pytorch(f"{renamed}#teacher").weights


def test_other_objects_than_weights_are_refused(golden, tmp_path):
    config = golden("torch_checkpoint_ve").config
    inert = op.name("torch.nn", "Module") + b")R"
    for content, message in (
        (inert, "is no state dict"),
        (op.dictionary(model=inert), "is no state dict"),
        (op.dictionary(**{"all_modules.0.W": inert}), r"W is no array, but of torch\.nn\.Module"),
    ):
        with pytest.raises(UsageError, match=message):
            pretrained.load_score_sde_pytorch(op.zip_file(tmp_path / "file.pth", content), config)


@pytest.mark.parametrize("suffix", ["zip", "old"])
def test_the_wrappers_of_pytorch_itself(suffix):
    """Data-parallel, compiled, averaged and whole networks, as PyTorch saves them."""
    content = torch_file.read(FILES / f"wrapped_{suffix}.pth")
    expected = choose(content["plain"]).weights
    assert len(expected) == 5
    for key in ("parallel", "compiled", "averaged", "whole", "whole_parallel"):
        same(choose(content[key]).weights, expected)
    part = content["ordered"]  # parameters alone
    same(choose(part).weights, {name: expected[name] for name in part})
    found = choose({"model": content["plain"], "ema": content["parameters"]})
    same(found.weights, expected)


def test_a_program_of_torchscript_holds_its_state_dict():
    found = choose(torch_file.read(FILES / "script.pt")).weights
    assert {name: value.shape for name, value in found.items() if "all" in name} == {
        "all_modules.0.weight": (2, 3),
        "all_modules.0.bias": (2,),
        "all_modules.1.weight": (2, 1, 3, 3),
        "all_modules.1.bias": (2,),
    }


def test_edms_networks_are_found_by_their_names(golden):
    weights = golden("edm_ncsnpp_veprecond").state_dict
    buffers = ("freqs", "resample_filter")
    trained = {name: v + 1 for name, v in weights.items() if not name.endswith(buffers)}
    expected = {name.removeprefix("model."): value for name, value in (weights | trained).items()}
    for content in (
        weights | trained,
        {"net": weights, "ema": weights | trained},
        {"net": prefixed("module.", weights), "ema": trained},
        {"net": weights, "ema": {"shadow_params": list(trained.values())}},
        {"state_dict": {**prefixed("net.", weights), **prefixed("net_ema.", weights | trained)}},
    ):
        found = choose(content, naming=edm.NAMING).weights
        same({name: found[name] for name in expected}, expected)


def test_a_wrapped_checkpoint_is_the_networks(golden):
    case = golden("ddpm_vp")
    expected = pretrained.load_score_sde_pytorch(case.state_dict, case.config).params
    wrapped = {"state_dict": prefixed("model._orig_mod.", case.state_dict), "global_step": 3}
    found = pretrained.load_score_sde_pytorch(wrapped, case.config).params
    same(found["Conv_0"], expected["Conv_0"])
    assert found.keys() == expected.keys()
