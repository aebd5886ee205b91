"""Steps of improved-diffusion and guided-diffusion, whole chains and respaced ones, in float64."""

import improved_ddpm
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import guidance, samplers, sdes
from scoresde.registry import UsageError

CLIPPED = {"clip": guidance.ClipX0, "noclip": lambda denoiser: denoiser}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def classifier(x, t, condition):
    """Of this gradient."""
    return jnp.sum(x * condition["gradient"], axis=(1, 2, 3))


def after_steps(golden, cases, condition):
    """{case: (means, draws with the golden noise)} of the single images, each by its own step.

    Args:
        golden: the file.
        cases: {case: (sampler, denoiser, to)}, where `to` is the level after the step less that
            before it. From level 0 a step down is to the clean data.
        condition: arrays of the images.
    """

    def after(sampler, denoiser, x, t, s, rows, noise):
        mean, std = sampler.moments(x[None], t, s, denoiser.given(rows))
        return mean[0], (mean if std is None else mean + std * noise)[0]

    @jax.jit
    def of_all(x, noise, condition):
        rows = jax.tree.map(lambda value: value[:, None], condition)
        found = {}
        for case, (sampler, denoiser, to) in cases.items():
            t, last = jnp.asarray(golden.times[golden.level]), len(golden.times) - 1
            s = jnp.asarray(golden.times[np.clip(golden.level + to, 0, last)])
            moved = jax.vmap(lambda *one, c=(sampler, denoiser): after(*c, *one))
            to_data = jax.vmap(
                lambda x, t, *one, c=(sampler, denoiser): after(*c, x, t, None, *one)
            )
            first = jnp.asarray(golden.level + to < 0)[:, None, None, None]
            found[case] = tuple(
                jnp.where(first, clean, noisy)
                for clean, noisy in zip(to_data(x, t, rows, noise), moved(x, t, s, rows, noise))
            )
        return found

    return of_all(golden["f64/x_t"], golden["step_noise"], condition)


def assert_close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", improved_ddpm.CASES)
def test_ancestral_steps_and_ddims_are_the_published_ones(name):
    """DDIM's away from the data too, but for the last level, after which there is none."""
    golden, cases = improved_ddpm.Golden(name), {}
    for clip, wrap in CLIPPED.items():
        denoiser = wrap(golden.denoiser)
        for variance, published in improved_ddpm.VARIANCES.items():
            sampler = samplers.get("ancestral_sampling", variance=variance)
            cases[f"{published}/{clip}"] = sampler, denoiser, -1
        for eta in (0.0, 0.5):
            cases[f"ddim_sample/eta{eta}/{clip}"] = samplers.get("ddim", eta=eta), denoiser, -1
        cases[f"ddim_reverse_sample/{clip}"] = samplers.get("ddim"), denoiser, 1
    for case, (mean, draw) in after_steps(golden, cases, {"output": golden["output"]}).items():
        if case.startswith("ddim"):
            there = golden.level + 1 < len(golden.times) if "reverse" in case else slice(None)
            assert_close(draw[there], golden[f"f64/{case}"][there])
            continue
        assert_close(mean, golden[f"f64/p_mean_variance/{case}/mean"])
        if not case.endswith("noclip"):
            assert_close(draw, golden[f"f64/p_sample/{case}"])


@pytest.mark.parametrize(
    "file, sde, scale",
    [("linear_250", sdes.DiscreteVP(), 0.5), ("cosine_ddim25", sdes.DiscreteCosine(), 4.0)],
)
def test_a_classifier_moves_the_mean_as_guided_diffusions(file, sde, scale):
    """Its condition_mean, and draws with it, to the float32 of the means and gradients there.

    In the last step, where it takes the decoder's variance, it moves the clean data, too.
    """
    golden, cases = improved_ddpm.Golden(file, prefix="classifier_guidance_", sde=sde), {}
    for clip, wrap in CLIPPED.items():
        guided = guidance.ClassifierGuidance(wrap(golden.denoiser), classifier, scale)
        for variance, published in improved_ddpm.VARIANCES.items():
            sampler = samplers.get("ancestral_sampling", variance=variance, guided="mean")
            cases[f"scale{scale}/{published}/{clip}"] = sampler, guided, -1
    condition = {name: golden[name] for name in ("output", "gradient")}
    for case, (mean, draw) in after_steps(golden, cases, condition).items():
        there = slice(None) if "fixed_small" in case else golden.level > 0
        for name, got in (("condition_mean", mean), ("p_sample", draw)):
            expected = golden[f"f64/{name}/{case}"]
            np.testing.assert_allclose(got[there], expected[there], atol=3e-7)


def test_the_mean_is_guided_only_where_there_is_a_gradient_apart(key):
    denoiser = improved_ddpm.Golden("cosine_T1000_50").denoiser
    guided = guidance.ClassifierGuidance(denoiser, classifier, 2.0)
    sampler = samplers.get("ancestral_sampling", guided="mean")
    condition = {"output": jnp.ones((1, 2, 2, 2)), "gradient": jnp.ones((1, 2, 2, 1))}
    for wrong in (denoiser, guidance.ClipX0(guided)):
        with pytest.raises(UsageError, match="ClassifierGuidance as the outermost"):
            samplers.sample(key, sampler, wrong, (1, 2, 2, 1), steps=3, condition=condition)
    with pytest.raises(UsageError, match="'score' or 'mean', not 'noise'"):
        samplers.get("ancestral_sampling", guided="noise")


@pytest.mark.parametrize("variance", improved_ddpm.VARIANCES)
def test_the_mean_moves_by_variance_times_scale_times_gradient(variance):
    """To the last digits, and x0 does not."""
    golden = improved_ddpm.Golden("cosine_T1000_50")
    x, t, s = golden["f64/x_t"], 0.5, 0.4
    gradient = jnp.sin(7 * x)
    guided = guidance.ClassifierGuidance(golden.denoiser, classifier, 3.0)
    given = guided.given({"output": golden["output"], "gradient": gradient})
    moments = {
        name: samplers.get("ancestral_sampling", variance=variance, guided=name).moments
        for name in ("mean", "score")
    }
    mean, std = moments["mean"](x, t, s, given)
    plain, same = moments["score"](x, t, s, golden.denoiser.given({"output": golden["output"]}))
    np.testing.assert_array_equal(std, same)
    np.testing.assert_allclose(mean - plain, 3 * std**2 * gradient, rtol=1e-9, atol=1e-12)
    assert not np.allclose(moments["score"](x, t, s, given)[0], mean, atol=1e-4)


def test_guided_by_nothing_the_mean_is_the_models(key):
    """To the bit; and guided, each sample by its own gradient, whatever is beside it."""
    denoiser = improved_ddpm.Golden("cosine_T1000_50").denoiser
    gradient = jnp.arange(3.0)[:, None, None, None] * jnp.ones((3, 2, 2, 1))
    condition = {"output": 0.1 * jnp.ones((3, 2, 2, 2)), "gradient": gradient}

    def drawn(scale, guided, rows=slice(None)):
        some = {name: value[rows] for name, value in condition.items()}
        sampler = samplers.get("ancestral_sampling", guided=guided, denoise="none")
        with_scale = guidance.ClassifierGuidance(denoiser, classifier, scale)
        keys = jax.random.split(key, 3)[rows]
        shape = (len(keys), 2, 2, 1)
        return samplers.sample(keys, sampler, with_scale, shape, steps=3, condition=some).x

    np.testing.assert_array_equal(drawn(0.0, "mean"), drawn(0.0, "score"))
    together = drawn(2.0, "mean")
    assert len(np.unique(np.round(together, 9))) == 12
    alone = jnp.concatenate([drawn(2.0, "mean", slice(i, i + 1)) for i in range(3)])
    np.testing.assert_allclose(together, alone, rtol=1e-12)
