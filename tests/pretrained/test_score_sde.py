"""score_sde's networks and weights against numbers from the original code."""

import jax
import numpy as np
import pytest

from scoresde.pretrained import score_sde
from scoresde.registry import UsageError


@pytest.mark.parametrize("name", ["ncsnpp_ve_residual", "ddpmpp_vp", "ncsnpp_pyramid_skip"])
def test_a_pytorch_state_dict_gives_the_original_output(golden, relative_error, name):
    case = golden(name)
    config, arrays = case.config, case.arrays
    network = score_sde.network_of(config)
    params = score_sde.params_from_pytorch(case.state_dict, config)
    output = jax.jit(network.apply)(params, arrays["input"], arrays["labels"])
    assert relative_error(output, arrays["output"]) < 1e-5


def test_every_fault_of_a_state_dict_is_listed_at_once(golden):
    case = golden("ddpmpp_vp")
    state_dict = case.state_dict
    del state_dict["all_modules.2.bias"]
    state_dict["all_modules.3.Conv_0.weight"] = np.zeros((8, 8, 1, 1))
    state_dict["all_modules.17.extra"] = np.zeros(3)
    with pytest.raises(UsageError) as error:
        score_sde.params_from_pytorch(state_dict, case.config)
    message = str(error.value)
    assert "missing Conv_0/bias" in message
    assert "ResnetBlockBigGANpp_0/Conv_0/kernel has shape (1, 1, 8, 8), not (3, 3, 8, 8)" in message
    assert "unexpected Conv_1/extra" in message
    assert "\n" not in message
