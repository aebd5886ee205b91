"""Posterior guidance: golden numbers, batches, consistency, and what is refused."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from covering import covering

from scoresde import analytic, guidance, observations, predictions, samplers, sdes
from scoresde.denoiser import Denoiser
from scoresde.registry import UsageError

GOLDEN = pathlib.Path(__file__).parent.parent / "data" / "guidance"
PROCESSES = {"vp": sdes.VP(), "ve": sdes.VE(sigma_min=0.01, sigma_max=50.0)}
METHODS = {
    "dps": (guidance.DPS, {}),
    "pigdm": (guidance.PiGDM, {}),
    "tmpd": (guidance.TMPD, {}),
    "tmpd_diagonal": (guidance.TMPD, {"covariance": "diagonal"}),
}
CASES = ["gaussian_a", "gaussian_b", "mixture_a", "mixture_b", "mixture_noiseless"]
IMAGES = np.random.default_rng(0).normal(size=(3, 4, 4, 1))
MASK = np.random.default_rng(1).uniform(size=(3, 4, 4, 1)) > 0.5


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def squash(params, x, noise_condition, condition):
    return jnp.tanh(x * params) + 0.1 * x**2


def network(sde=PROCESSES["vp"]):
    return Denoiser(sde, predictions.Noise(), squash, jnp.asarray(0.7))


def case(name, process):
    """The golden numbers, the exact denoiser, the observation, and x, t, condition."""
    golden = np.load(GOLDEN / f"posterior_{name}.npz")
    weights, means, covariances = (
        golden[f"prior_{what}"] for what in ("weights", "means", "covariances")
    )
    denoiser = analytic.GaussianMixture(weights, means, covariances).denoiser(PROCESSES[process])
    noise = np.sqrt(np.diag(golden["R"]))
    observation = observations.Matrix(matrix=golden["A"], noise=noise)
    points = golden[f"{process}/x"]
    t = jnp.asarray(np.repeat(golden[f"{process}/t"], points.shape[1]))
    y = np.broadcast_to(golden["y"], (len(t), golden["y"].size))
    return golden, denoiser, observation, jnp.asarray(points.reshape(-1, 2)), t, {"observation": y}


@jax.jit
def added(guided, x, t, condition):
    """What guidance adds to the score."""
    return guided.score(x, t, condition) - guided.denoiser.score(x, t, condition)


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("name", CASES)
def test_each_method_has_the_golden_gradients(name, process):
    golden, denoiser, observation, x, t, condition = case(name, process)
    for method, (kind, options) in METHODS.items():
        if method == "dps" and name == "mixture_noiseless":
            continue
        got = added(kind(denoiser, observation, **options), x, t, condition)
        expected = golden[f"{process}/guidance_{method}"].reshape(-1, 2)
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9, err_msg=method)
    published = guidance.DPS(denoiser, observation, norm="published", steps=500, scale=0.3)
    sde = denoiser.sde
    per_step = sde.diffusion_squared(t) * (sde.t_max - sde.t_min) / 500
    got = added(published, x, t, condition) * per_step[:, None]
    expected = -0.3 * golden[f"{process}/grad_norm_residual"].reshape(-1, 2)
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("process", PROCESSES)
def test_tmpd_is_the_exact_gradient_of_gaussian_data(process):
    golden, denoiser, observation, x, t, condition = case("gaussian_b", process)
    got = added(guidance.TMPD(denoiser, observation), x, t, condition)
    expected = golden[f"{process}/guidance_exact"].reshape(-1, 2)
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


def test_pigdm_is_the_exact_gradient_of_unit_gaussian_data():
    denoiser = analytic.gaussian(np.array([0.3, -1.0, 2.0]), np.eye(3)).denoiser(sdes.VP())
    rng = np.random.default_rng(5)
    observation = observations.Matrix(matrix=rng.normal(size=(2, 3)), noise=0.2)
    x, condition = jnp.asarray(rng.normal(size=(6, 3))), {"observation": rng.normal(size=(6, 2))}
    t = jnp.linspace(1e-4, 1.0, 6)
    one, other = (
        added(kind(denoiser, observation), x, t, condition)
        for kind in (guidance.PiGDM, guidance.TMPD)
    )
    np.testing.assert_allclose(one, other, rtol=1e-9)


OBSERVED = {
    "inpainting": observations.Inpainting(noise=0.1),
    "super_resolution": observations.SuperResolution(noise=0.1),
    "phase_retrieval": observations.PhaseRetrieval(noise=0.1),
}


@pytest.mark.parametrize("name", OBSERVED)
@pytest.mark.parametrize("method", METHODS)
def test_a_batch_is_its_samples_one_by_one(method, name):
    kind, options = METHODS[method]
    guided = kind(network(), OBSERVED[name], **options)
    condition = {"mask": MASK}
    y = 0.5 + OBSERVED[name].forward(jnp.asarray(IMAGES), condition)
    condition["observation"] = y * jnp.arange(1.0, 4)[:, None, None, None]
    x, t = jnp.asarray(IMAGES), jnp.array([0.9, 0.5, 0.1])
    call = jax.jit(lambda guided, x, t, condition: guided(x, t, condition))
    together = call(guided, x, t, condition)
    for i in range(3):
        rows = jax.tree.map(lambda v, i=i: v[i : i + 1], (x, t, condition))
        alone = call(guided, *rows)
        np.testing.assert_allclose(together.x0[i], alone.x0[0], rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(together.noise[i], alone.noise[0], rtol=1e-10, atol=1e-10)
    again = guided.sde.perturb(together.x0, together.noise, t)
    np.testing.assert_allclose(again, x, rtol=1e-9, atol=1e-9)


def test_no_digit_of_the_noise_is_lost_where_there_is_little():
    _, denoiser, observation, *_ = case("gaussian_a", "vp")
    t, x, condition = jnp.array([1e-5]), jnp.array([[1.1, 0.2]]), {"observation": np.array([[1.2]])}
    exact = guidance.TMPD(denoiser, observation)(x, t, condition)
    single = jax.tree.map(jnp.float32, (denoiser, observation, x, t, condition))
    rough = guidance.TMPD(*single[:2])(*single[2:])
    np.testing.assert_allclose(rough.x0, exact.x0, rtol=1e-6)
    np.testing.assert_allclose(rough.noise, exact.noise, rtol=2e-4)


def test_a_scale_of_zero_changes_nothing_and_guidance_composes():
    observation = observations.Inpainting(noise=0.1)
    condition = {"mask": MASK, "observation": IMAGES}
    x, t = jnp.asarray(IMAGES), 0.4
    plain = network()(x, t)
    off = guidance.TMPD(guidance.PiGDM(network(), observation, 0.0), observation, 0.0)
    for got, expected in zip(off(x, t, condition)[:2], plain[:2]):
        np.testing.assert_array_equal(got, expected)
    once = added(guidance.DPS(network(), observation, 0.3), x, t, condition)
    halves = guidance.DPS(network(), observation, 0.1), guidance.DPS(network(), observation, 0.2)
    np.testing.assert_allclose(sum(added(h, x, t, condition) for h in halves), once, atol=1e-9)


def test_guidance_is_differentiated_in_both_modes():
    observation = observations.Inpainting(noise=0.1)
    condition = {"mask": MASK, "observation": IMAGES}

    def total(x, scale):
        guided = guidance.TMPD(network(), observation, scale)
        return (guided(x, 0.4, condition).x0 ** 2).sum()

    x = jnp.asarray(IMAGES)
    gradient, by_scale = jax.grad(total, argnums=(0, 1))(x, 1.0)
    direction = jnp.ones_like(x)
    _, forward = jax.jvp(lambda x: total(x, 1.0), (x,), (direction,))
    step = 1e-5
    between = (total(x + step * direction, 1.0) - total(x - step * direction, 1.0)) / (2 * step)
    np.testing.assert_allclose([forward, gradient.sum()], between, rtol=1e-6)
    assert jnp.isfinite(by_scale)


@pytest.mark.parametrize(
    "sde",
    covering(
        [sdes.VP(), sdes.VE(), sdes.RectifiedFlow(), sdes.EDM()], [sdes.VE(), sdes.RectifiedFlow()]
    ),
    ids=repr,
)
@pytest.mark.parametrize("kind", [guidance.PiGDM, guidance.TMPD])
def test_observed_pixels_are_met_with_every_process(kind, sde, key):
    data = analytic.gaussian(np.zeros(3), np.eye(3) + 0.3)
    observation = observations.Matrix(matrix=np.eye(3)[:1])
    drawn = samplers.sample(
        key, samplers.get("ddim"), kind(data.denoiser(sde), observation), (4, 3), steps=40,
        condition={"observation": np.arange(4.0)[:, None]},
    )  # fmt: skip
    np.testing.assert_allclose(drawn.x[:, 0], np.arange(4.0), atol=0.02)


def test_an_adaptive_solver_hands_each_sample_its_own_observation(key):
    data = analytic.gaussian(np.zeros(3), np.eye(3) + 0.3)
    guided = guidance.TMPD(data.denoiser(sdes.VP()), observations.Matrix(matrix=np.eye(3)[:1]))
    drawn = samplers.sample(
        key, samplers.get("probability_flow"), guided, (3, 3),
        condition={"observation": np.arange(3.0)[:, None]},
    )  # fmt: skip
    np.testing.assert_allclose(drawn.x[:, 0], np.arange(3.0), atol=0.02)


INPAINTING = observations.Inpainting(noise=0.1)


@pytest.mark.parametrize(
    "condition, message",
    [
        (None, "reads 'observation' of the condition, which holds nothing"),
        ({"observation": IMAGES}, "reads 'mask' of the condition, which holds 'observation'"),
        ({"observation": IMAGES, "mask": MASK[:, :2]}, r"'mask' is of shape \(3, 2, 4, 1\)"),
        ({"observation": IMAGES[:, :2], "mask": MASK}, r"'observation' is of shape \(3, 2, 4, 1\)"),
    ],
)
def test_a_condition_that_does_not_fit_is_a_line_before_anything_runs(condition, message, key):
    guided = guidance.PiGDM(network(), INPAINTING)
    with pytest.raises(UsageError, match=message) as error:
        samplers.sample(
            key, samplers.get("ddim"), guided, IMAGES.shape, steps=3, condition=condition
        )
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: guidance.DPS(network(), observations.Inpainting()), "which is 0.0: give it some"),
        (lambda: guidance.DPS(network(), INPAINTING, norm="plain"), "Unknown norm of DPS"),
        (lambda: guidance.DPS(network(), INPAINTING, "much"), "scale must be a number"),
        (lambda: guidance.PiGDM(network(), INPAINTING, float("nan")), "scale must be a number"),
        (lambda: guidance.PiGDM(network(), "inpainting"), "needs an observation"),
        (lambda: guidance.TMPD(network(), INPAINTING, iterations=0), "at least 1"),
        (lambda: guidance.TMPD(network(), INPAINTING, tolerance=2.0), "between 0 and 1"),
        (lambda: guidance.TMPD(network(), INPAINTING, covariance="low"), "covariance of TMPD"),
    ],
)
def test_what_cannot_guide_is_a_line(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_noise_of_another_shape_is_a_line():
    observation = observations.Matrix(matrix=np.eye(2), noise=np.ones(3))
    denoiser = analytic.gaussian(np.zeros(2), np.eye(2)).denoiser(sdes.VP())
    with pytest.raises(UsageError, match=r"its shape is \(3,\)"):
        guidance.PiGDM(denoiser, observation)(
            jnp.zeros((1, 2)), 0.5, {"observation": np.zeros((1, 2))}
        )


@pytest.mark.parametrize("method", ["dps", "pigdm", "tmpd"])
def test_samples_of_half_the_bits_are_guided_as_whole_ones(method):
    denoiser = analytic.gaussian([0.0, 0.5], [[1.0, 0.3], [0.3, 0.6]]).denoiser(sdes.VP())
    observation = observations.get("matrix", matrix=np.array([[1.0, 0.0]]), noise=0.5)
    guided = guidance.get(method, denoiser, observation=observation)
    x, y = jnp.array([[0.5, -1.0], [2.0, 0.25]]), {"observation": jnp.ones((2, 1))}
    half, whole = guided(x.astype(jnp.bfloat16), 0.5, y), guided(x, 0.5, y)
    np.testing.assert_allclose(half.x0.astype(float), whole.x0, rtol=0.05, atol=0.05)
