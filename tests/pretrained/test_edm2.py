"""EDM2's networks against the original ones: outputs, uncertainty, loss and gradients."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import losses, pretrained
from scoresde.registry import UsageError

CASES = ["edm2_uncond", "edm2_cond"]


@pytest.fixture(scope="module")
def loaded(golden):
    """`loaded(name)` is a model and its golden case; each is read once."""

    @functools.cache
    def load(name):
        case = golden(name)
        return pretrained.load_edm2(case.state_dict, case.config["network"]), case

    return load


def condition_of(case):
    one_hot = case.contents.get("class_onehot")
    return None if one_hot is None else {"label": one_hot}


@jax.jit
def denoise(denoiser, x, t, condition):
    return denoiser(x, t, condition).x0


@functools.partial(jax.jit, static_argnums=0)
def project(network, params):
    return network.project(params)


def test_conditional_denoisers_are_the_originals(loaded):
    model, case = loaded("edm2_cond")
    x, sigma, denoiser = case.images("input"), case.contents["sigma"], model.denoiser()
    labels = case.contents["class_onehot"]
    # A step of training starts from rows of unit size, which is not quite the same function.
    forced = dataclasses.replace(denoiser, params=project(model.network, model.params))
    for one, told, name, tolerance in (
        (denoiser, labels, "denoised", 1e-5),
        (denoiser, np.zeros_like(labels), "denoised_without_class", 1e-5),
        (forced, labels, "forced/denoised_in_training", 2e-6),
    ):
        x0 = denoise(one, x, sigma, {"label": told})
        np.testing.assert_allclose(x0, case.images(name), rtol=0, atol=tolerance, err_msg=name)
    difference = case.images("forced/denoised_in_training") - case.images("denoised")
    assert np.abs(difference).max() > 5e-5


@pytest.mark.parametrize("name", CASES)
def test_the_uncertainty_is_the_originals(loaded, name):
    model, case = loaded(name)
    u = jax.jit(model.network.log_variance)(model.params, case.contents["c_noise"])
    np.testing.assert_allclose(u, case.contents["logvar"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_forced_normalization_is_the_originals(loaded, name):
    model, case = loaded(name)
    projected = project(model.network, model.params)
    for module, axes in (("out_conv", (3, 2, 0, 1)), ("emb_noise", (1, 0))):
        for params, when in ((model.params, "before"), (projected, "after")):
            kernel = np.transpose(params[module]["kernel"], axes)
            expected = case.contents[f"forced/{module}_{when}"]
            np.testing.assert_allclose(kernel, expected, rtol=0, atol=1e-6)
    for fixed in ("emb_fourier", "out_gain"):
        jax.tree.map(np.testing.assert_array_equal, projected[fixed], model.params[fixed])


def test_denoiser_loss_and_gradients_are_the_originals(loaded):
    """The loss is w / exp(u) |D - x|^2 + u of each element, on average.

    Its clean images are others than those that the noisy input was made of.
    """
    model, case = loaded("edm2_uncond")
    x, x0, sigma = case.images("input"), case.images("loss/clean"), case.contents["sigma"]
    sde, prediction, network = model.sde, model.prediction, model.network
    loss = losses.UncertaintyLoss(sde=sde, prediction=prediction, network=network, weighting="edm")
    noise = (x - x0) / sigma[:, None, None, None]

    def mean(params):
        per_sample = loss.at(params, jax.random.key(0), x0, noise, sigma)
        denoised = dataclasses.replace(model, params=params).denoiser()(x, sigma).x0
        return jnp.mean(per_sample), (per_sample, denoised)

    gradient_of = jax.jit(jax.value_and_grad(mean, has_aux=True))
    (_, (per_sample, denoised)), gradient = gradient_of(model.params)
    np.testing.assert_allclose(denoised, case.images("denoised"), rtol=0, atol=1e-5)
    elements = case.images("loss/elementwise")
    np.testing.assert_allclose(per_sample, elements.mean(axis=(1, 2, 3)), rtol=2e-6)
    for found, name in (
        (gradient["out_conv"]["kernel"].transpose(3, 2, 0, 1), "out_conv"),
        (gradient["out_gain"], "out_gain"),
        (gradient["log_variance_head"]["linear"]["kernel"].T, "logvar_linear"),
    ):
        expected = case.contents[f"loss/gradient_{name}"]
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * scale, err_msg=name)
    (_, (_, denoised)), _ = gradient_of(project(network, model.params))
    expected = case.images("forced/denoised_in_training")
    np.testing.assert_allclose(denoised, expected, rtol=0, atol=2e-6)


def test_files_are_read_and_programs_are_not(loaded, tmp_path):
    model, case = loaded("edm2_uncond")
    np.savez(tmp_path / "weights.npz", **case.state_dict)
    again = pretrained.load_edm2(tmp_path / "weights.npz", case.config["network"])
    jax.tree.map(np.testing.assert_array_equal, again.params, model.params)
    (tmp_path / "edm2-img512-s.pkl").write_bytes(b"cos\nsystem\n.")
    with pytest.raises(UsageError, match=r"numpy\.savez"):
        pretrained.load_edm2(tmp_path / "edm2-img512-s.pkl", case.config["network"])
    with pytest.raises(UsageError, match="no --raw"):
        pretrained.load_params("edm2", tmp_path / "weights.npz", model.network, (8, 8, 4), raw=True)


def test_arguments_that_do_not_fit_are_refused(loaded):
    _, case = loaded("edm2_uncond")
    config = case.config["network"]
    for change, message in (
        ({"label_dim": 3}, "missing emb_label/kernel"),
        ({"model_channels": 16}, "has shape"),
        ({"channel_mult_emb": 2}, "channel_mult_emb is not known here"),
        ({"encoder": "skip"}, "has no option 'encoder'"),
    ):
        with pytest.raises(UsageError, match=message):
            pretrained.load_edm2(case.state_dict, config | change)
