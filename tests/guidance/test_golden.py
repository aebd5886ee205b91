"""The numbers of closed forms and of the published code, in float64."""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest
from covering import covering

from scoresde import guidance, predictions, samplers, sdes
from scoresde.denoiser import Denoiser

GOLDEN = pathlib.Path(__file__).parent.parent / "data" / "golden"
SCALES = (0.0, 0.5, 1.0, 1.5, 3.0, 7.5)
PROCESSES = {"vp": sdes.VP(), "ve": sdes.VE()}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def numbers(prediction, sde, t):
    """Score, noise and x0."""
    score = -prediction.noise / sde.sigma(t)[:, None]
    return {"score": score, "noise": prediction.noise, "x0": prediction.x0}


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("case", mixtures.CASES)
@pytest.mark.parametrize("method", ["cfg", "classifier"])
def test_a_mixture_of_two_classes_is_guided_as_its_closed_form_says(method, case, process):
    """By the conditional model, and by the exact classifier of the unconditional one."""
    golden, data, sde = (
        np.load(GOLDEN / f"cfg_{case}.npz"),
        mixtures.of_case(case),
        PROCESSES[process],
    )
    points = golden[f"{process}/x"]
    x = jnp.asarray(points.reshape(-1, 1))
    t = jnp.repeat(jnp.asarray(golden[f"{process}/t"]), points.shape[1])
    if method == "cfg":
        guide = jax.jit(lambda scale, x, t, label: guided(scale)(x, t, {"label": label}))

        def guided(scale):
            return guidance.ClassifierFreeGuidance(data.denoiser(sde), scale)
    else:
        plain, classifier = data.data.denoiser(sde), data.classifier(sde)
        guide = jax.jit(
            lambda scale, x, t, label: guidance.ClassifierGuidance(plain, classifier, scale)(
                x, t, {"label": label}
            )
        )
    for label in (0, 1):
        for row, scale in enumerate(SCALES):
            got = numbers(guide(scale, x, t, jnp.full(len(x), label)), sde, t)
            for name, value in got.items():
                expected = golden[f"{process}/class{label}/guided_{name}"][row].reshape(-1, 1)
                size = np.abs(expected).max()
                np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12 * size)


WAYS = [
    (case, *way)
    for case in mixtures.CASES
    for way in (("sde", "ancestral_sampling"), ("ode", "ddim"))
]


@pytest.mark.parametrize("case, way, sampler", covering(WAYS, (WAYS[3],)))
def test_guided_samples_have_the_simulated_moments_which_are_not_the_tilted_laws(
    case, way, sampler
):
    golden, num = np.load(GOLDEN / f"cfg_{case}.npz"), 4000
    denoiser = mixtures.of_case(case).denoiser(PROCESSES["vp"])
    label = {"label": np.repeat([0, 1], num)}
    # Both scales are one program, and both classes one batch.
    for scale in (1.0, 3.0):
        guided = guidance.ClassifierFreeGuidance(denoiser, jnp.asarray(scale))
        drawn = samplers.sample(
            jax.random.key(0), samplers.get(sampler), guided, (2 * num, 1), steps=300,
            condition=label,
        ).x  # fmt: skip
        for name, x in zip(("class0", "class1"), np.split(np.asarray(drawn), 2)):
            where = f"samples/{name}/scale{scale}"
            for what, got in (("mean", x.mean()), ("variance", x.var())):
                values = x if what == "mean" else (x - x.mean()) ** 2
                error = np.hypot(values.std() / num**0.5, golden[f"{where}/{way}_{what}_se"])
                gap = abs(got - golden[f"{where}/{way}_{what}"])
                assert gap < 4 * error + 0.015, (name, scale, what)  # 0.015 for the steps
                if scale == 3 and case == "overlapping":
                    assert abs(got - golden[f"{where}/tilted_{what}"]) > 0.04


@pytest.mark.parametrize("case", ["case0", "case1"])
@pytest.mark.parametrize("share", [0.9, 0.95, 0.995, 1.0])
def test_dynamic_thresholding_is_imagens(share, case):
    golden = np.load(GOLDEN / "dynamic_thresholding.npz")
    denoiser = mixtures.images().denoiser(sdes.VP())
    method = guidance.DynamicThresholding(denoiser, share)
    got = method.thresholded(jnp.asarray(golden[f"{case}/x0_nhwc"]))
    np.testing.assert_allclose(got, golden[f"{case}/p{share}/result"], rtol=1e-12, atol=1e-12)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chain(sdes.SDE):
    """A chain with these levels of alpha^2, level i at t = i."""

    levels: tuple = ()
    t_min: float = 0.0
    t_max: float = 1.0

    def alpha(self, t):
        return jnp.sqrt(jnp.asarray(self.levels)[jnp.asarray(t, int)])

    def sigma(self, t):
        return jnp.sqrt(1 - jnp.asarray(self.levels)[jnp.asarray(t, int)])


def channels_last(value):
    return jnp.asarray(np.moveaxis(value, -3, -1))


@pytest.mark.parametrize("clip", ["clip", "noclip"])
@pytest.mark.parametrize(
    "file, scale", [("linear_250", 0.5), ("cosine_ddim25", 1.0), ("cosine_ddim25", 4.0)]
)
def test_classifier_guidance_around_the_clipping_is_guided_diffusions(file, scale, clip):
    """Its condition_score, and DDIM with it: the noise is of the clipped x0, the guided x0 free."""
    golden = np.load(GOLDEN / f"classifier_guidance_{file}.npz")
    levels = np.cumprod(1 - golden["betas_original"])[golden["timestep_map"]]
    sde, index = Chain(levels=tuple(levels), t_max=len(levels) - 1.0), golden["t"]
    output, gradient = (channels_last(golden[f"{name}_nchw"]) for name in ("output", "gradient"))
    x, noise = (channels_last(golden[f"{name}_nchw"]) for name in ("f64/x_t", "step_noise"))

    def classifier(x, t, condition):
        return jnp.sum(x * condition["gradient"], axis=(1, 2, 3))

    denoiser = Denoiser(
        sde,
        predictions.Noise(learned_variance=True),
        lambda params, x, t, condition: condition["output"],
        None,
    )
    if clip == "clip":
        denoiser = guidance.ClipX0(denoiser)
    guided = guidance.ClassifierGuidance(denoiser, classifier, scale)

    def expected(name):
        where = f"f64/{name}/scale{scale}/learned_range/{clip}"
        return channels_last(golden[where if name != "condition_score" else f"{where}/pred_xstart"])

    for row, level in enumerate(index):
        one = slice(row, row + 1)
        condition = {"output": output[one], "gradient": gradient[one]}
        t = jnp.full(1, float(level))
        got = guided(x[one], t, condition).x0
        np.testing.assert_allclose(got, expected("condition_score")[one], rtol=1e-9, atol=1e-9)
        for eta in (0.0, 0.5):
            s = float(level) - 1 if level else None
            sampler = samplers.get("ddim", eta=eta)
            mean, std = sampler.moments(x[one], float(level), s, guided.given(condition))
            got = mean if std is None else mean + std * noise[one]
            at = expected(f"ddim_sample/eta{eta}")[one]
            np.testing.assert_allclose(got, at, rtol=1e-9, atol=1e-9)
