"""Every process against closed forms, float64 golden values and Monte-Carlo marginals."""

import dataclasses

import improved_ddpm
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from covering import covering

from scoresde import sdes
from scoresde.registry import UsageError

CONTINUOUS = [name for name in sdes.SDES if not name.startswith("discrete_")]

# float64 values of (beta, alpha, sigma, g^2) of VP and sub-VP and (sigma, g) of VE(0.01, 50).
GOLDEN = np.array(
    [
        # t, alpha, VP sigma, sub-VP sigma, VP g^2, sub-VP g^2, VE sigma, VE g
        [
            1e-5,
            0.9999995,
            0.0010004971,
            1.0009945e-6,
            0.100199,
            2.005972e-7,
            0.010000852,
            0.04127625,
        ],
        [
            1e-3,
            0.99994503,
            0.010485416,
            1.0994396e-4,
            0.1199,
            2.6363111e-5,
            0.010085536,
            0.041625764,
        ],
        [1e-2, 0.999003, 0.044643155, 0.0019930113, 0.299, 0.0011906331, 0.010889043, 0.044942057],
        [0.1, 0.9467218, 0.32205254, 0.10371784, 2.09, 0.41105761, 0.023436729, 0.096729791],
        [0.5, 0.28118288, 0.9596542, 0.92093619, 10.05, 9.9871766, 0.70710678, 2.9184231],
        [1.0, 0.0065715865, 0.99997841, 0.99995681, 20.0, 20.0, 50.0, 206.36367],
    ]
)


def test_golden_values_to_float32_precision():
    t = jnp.asarray(GOLDEN[:, 0], jnp.float32)
    vp, subvp, ve = sdes.VP(), sdes.SubVP(), sdes.VE()
    columns = [
        vp.alpha(t),
        vp.sigma(t),
        subvp.sigma(t),
        vp.diffusion(t) ** 2,
        subvp.diffusion(t) ** 2,
        ve.sigma(t),
        ve.diffusion(t),
    ]
    assert all(column.dtype == jnp.float32 for column in columns)
    for index, column in enumerate(columns, start=1):
        np.testing.assert_allclose(column, GOLDEN[:, index], rtol=1e-5)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_drift_and_diffusion_follow_from_alpha_and_sigma(name):
    """f and g^2 against the defining formulas, differentiated numerically in float64."""
    sde = sdes.SDES[name]()
    fraction = np.linspace(0.02, 0.98, 25)
    t = sde.t_min + (sde.t_max - sde.t_min) * fraction
    step = 1e-6 * t

    with jax.enable_x64(True):

        def derivative(function):
            return (np.asarray(function(t + step)) - np.asarray(function(t - step))) / (2 * step)

        f = derivative(lambda t: jnp.log(sde.alpha(t)))
        g_squared = derivative(lambda t: sde.sigma(t) ** 2) - 2 * f * np.asarray(sde.sigma(t)) ** 2
        np.testing.assert_allclose(sde.drift_rate(t), f, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(sde.diffusion_squared(t), g_squared, rtol=1e-6)
        np.testing.assert_allclose(sde.alpha_dot(t), derivative(sde.alpha), rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(sde.sigma_dot(t), derivative(sde.sigma), rtol=1e-6)
        np.testing.assert_allclose(
            sde.log_snr(t), 2 * np.log(sde.alpha(t) / sde.sigma(t)), rtol=1e-9, atol=1e-9
        )
        # The overridden forms are the derived ones.
        np.testing.assert_allclose(
            sde.diffusion_squared(t), sdes.SDE.diffusion_squared(sde, t), rtol=1e-9
        )


@pytest.mark.parametrize("name", list(sdes.SDES))
def test_log_snr_round_trip(name):
    sde = sdes.SDES[name]()
    t = jnp.exp(jnp.linspace(jnp.log(sde.t_min + 1e-5), jnp.log(0.99 * sde.t_max), 50))
    # To the rounding of t, and of log_snr, which moves t by dt / dlog_snr times as much.
    log_snr, slope = sde.log_snr(t), jax.vmap(jax.grad(sde.log_snr))(t)
    rounding = jnp.finfo(jnp.float32).eps * (t + jnp.abs(log_snr / slope))
    assert (jnp.abs(sde.time_of_log_snr(log_snr) - t) <= 2 * rounding).all()
    assert (jnp.diff(sde.log_snr(t)) < 0).all()


@pytest.mark.parametrize("name", CONTINUOUS)
def test_bisection_inverts_log_snr_for_a_process_that_brings_no_inverse(name):
    sde = sdes.SDES[name]()
    t = jnp.linspace(0.01, 0.9, 20) * sde.t_max
    np.testing.assert_allclose(sdes.SDE.time_of_log_snr(sde, sde.log_snr(t)), t, rtol=1e-4)


@pytest.mark.parametrize("name", covering(["vp", "subvp", "ve", "edm"], ["subvp", "ve"]))
def test_simulated_forward_sde_has_the_marginal(name, key):
    """Euler-Maruyama on dx = f x dt + g dw, from a point, against alpha and sigma."""
    sde = sdes.SDES[name]()
    start, stop, steps, paths = sde.t_min, 0.3 * sde.t_max, 2000, 4096
    times = jnp.linspace(start, stop, steps + 1)
    x = jnp.full((paths,), 0.8) * sde.alpha(start)
    x = x + sde.sigma(start) * jax.random.normal(key, (paths,))

    def step(x, inputs):
        t, s, number = inputs
        noise = jax.random.normal(jax.random.fold_in(key, number), x.shape)
        t, dt = 0.5 * (t + s), s - t
        return x + sde.drift(x, t) * dt + sde.diffusion(t) * jnp.sqrt(dt) * noise, None

    x, _ = jax.lax.scan(step, x, (times[:-1], times[1:], jnp.arange(1, steps + 1)))
    mean, std = sde.marginal(jnp.array(0.8), jnp.array(stop))
    assert abs(x.mean() - mean) < 5 * std / np.sqrt(paths)
    assert abs(x.std() / std - 1) < 5 / np.sqrt(2 * paths)


def test_transition_gives_the_published_tables():
    """DDPM's a^2 = 1 - beta_i and b^2 = beta_i; SMLD's b^2 = sigma_i^2 - sigma_{i-1}^2."""
    steps = 1000
    beta = np.linspace(0.1 / steps, 20 / steps, steps)
    with jax.enable_x64(True):
        ddpm = sdes.DiscreteVP(num_scales=steps)
        t64 = np.arange(steps) / (steps - 1)
        np.testing.assert_allclose(ddpm.alpha(t64) ** 2, np.cumprod(1 - beta), rtol=1e-9)
        a, b_squared = ddpm.transition(t64[:-1], t64[1:])
        np.testing.assert_allclose(a**2, 1 - beta[1:], rtol=1e-9)
        np.testing.assert_allclose(b_squared, beta[1:], rtol=1e-7)
        sigma = np.exp(np.linspace(np.log(0.01), np.log(50), steps))
        _, b_squared = sdes.VE().transition(t64[:-1], t64[1:])
        np.testing.assert_allclose(b_squared, sigma[1:] ** 2 - sigma[:-1] ** 2, rtol=1e-9)


@pytest.mark.parametrize("name", improved_ddpm.CHAINS)
def test_chains_and_their_sub_chains_are_those_of_improved_diffusion(name):
    """Its tables of the whole chain and, by the transitions alone, of the respaced one."""
    golden = improved_ddpm.Golden(name)
    sde, t = golden.sde, golden.times
    np.testing.assert_allclose(sde.betas, golden.arrays["betas_original"], rtol=1e-11)
    for x64, rtol in ((True, 1e-9), (False, 3e-6)):
        with jax.enable_x64(x64):
            alpha_bar = sde.alpha(t) ** 2
            np.testing.assert_allclose(alpha_bar, golden.arrays["table/alphas_cumprod"], rtol=rtol)
            a, b_squared = sde.transition(t[:-1], t[1:])
            np.testing.assert_allclose(b_squared, golden.arrays["table/betas"][1:], rtol=rtol)
            np.testing.assert_allclose(a**2, 1 - golden.arrays["table/betas"][1:], rtol=rtol)


@pytest.mark.parametrize(
    "sde, first, last",
    [
        (sdes.DiscreteVP(), 1e-4, 4.0358e-5),
        (sdes.DiscreteVP(num_scales=4000), 0.25e-4, None),
        (sdes.DiscreteVP(num_scales=21), 1e-4 * 1000 / 21, None),
        (sdes.DiscreteCosine(), 4.128e-5, 2.429e-9),
        (sdes.DiscreteCosine(num_scales=4000), 9.866e-6, 1.518e-10),
    ],
)
def test_a_chain_of_any_length_keeps_its_digits_in_float32(sde, first, last):
    """Also at its end, where next to nothing of the data is left, and in its small first steps."""
    assert last is None or abs(sde.alpha(1.0) ** 2 / last - 1) < 3e-4
    np.testing.assert_allclose(sde.sigma(0.0) ** 2, first, rtol=3e-4)
    t = np.arange(sde.num_scales) / (sde.num_scales - 1)
    _, b_squared = sde.transition(t[:-1], t[1:])
    np.testing.assert_allclose(b_squared, sde.betas[1:], rtol=2e-4)


def test_the_cosine_chain_clips_its_last_step_alone():
    for num in (10, 1000, 4000):
        betas = sdes.DiscreteCosine(num_scales=num).betas
        assert betas[-1] == 0.999 and (betas[:-1] < 0.999).all() and (np.diff(betas) >= 0).all()


@pytest.mark.parametrize("name", list(sdes.SDES))
def test_prior_density_matches_prior_samples(name, key):
    sde = sdes.SDES[name]()
    z = sde.prior_sample(key, (20000, 2))
    entropy = 2 * (0.5 * np.log(2 * np.pi * np.e) + np.log(sde.prior_std))
    assert abs(-sde.prior_log_prob(z).mean() - entropy) < 0.05
    assert abs(z.std() / sde.prior_std - 1) < 0.02


def test_the_prior_is_that_of_t_max():
    sde = sdes.VE(t_max=0.5)
    np.testing.assert_allclose(sde.prior_std, sde.sigma(0.5), rtol=1e-5)


def test_a_new_process_is_one_class_with_two_functions():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Circle(sdes.SDE):
        t_min: float = 1e-4
        t_max: float = 1.5

        def alpha(self, t):
            return jnp.cos(t)

        def sigma(self, t):
            return jnp.sin(t)

    sde = Circle()
    t = jnp.linspace(0.1, 1.4, 10)
    np.testing.assert_allclose(sde.drift_rate(t), -jnp.tan(t), rtol=1e-5)
    np.testing.assert_allclose(sde.diffusion_squared(t), 2 * jnp.tan(t), rtol=1e-5)
    np.testing.assert_allclose(sde.time_of_log_snr(sde.log_snr(t)), t, rtol=1e-4)
    assert jax.jit(lambda sde, t: sde.alpha(t))(sde, 0.5) == jnp.cos(0.5)


def test_a_learned_field_is_differentiable_data():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Learned(sdes.EDM):
        rate: jax.Array = dataclasses.field(metadata={"learned": True})

        def sigma(self, t):
            return self.rate * t

    gradient = jax.grad(lambda sde: sde.sigma(2.0))(Learned(rate=jnp.array(3.0)))
    assert gradient.rate == 2.0


@pytest.mark.parametrize(
    "make",
    [
        lambda: sdes.VP(beta_min=30.0),
        lambda: sdes.VE(sigma_min=0.0),
        lambda: sdes.VE(t_min=0.5, t_max=0.1),
        lambda: sdes.EDM(t_min=0.0),
        lambda: sdes.RectifiedFlow(t_max=2.0),
        lambda: sdes.Cosine(log_snr_max=-30.0),
        lambda: sdes.DiscreteVP(num_scales=1),
        lambda: sdes.DiscreteVP(num_scales=20),  # the last step would leave nothing
        lambda: sdes.DiscreteCosine(num_scales=1),
        lambda: sdes.DiscreteCosine(beta_largest=1.0),
        lambda: sdes.DiscreteCosine(offset=-0.1),
    ],
)
def test_impossible_processes_are_refused(make):
    with pytest.raises(UsageError):
        make()


@pytest.mark.parametrize("name", ["sr3_train", "palette_test"])
def test_linear_chains_of_sr3_and_palette_are_chains_of_ddpm(name):
    """Given the betas of the first and the last level, and gamma = alpha^2."""
    arrays = np.load(improved_ddpm.FOLDER / "sr3_palette_conditioning.npz")
    betas = arrays[f"schedule/{name}/betas"]
    ends = {"beta_min": len(betas) * betas[0], "beta_max": len(betas) * betas[-1]}
    sde = sdes.DiscreteVP(num_scales=len(betas), **ends)
    gammas = sde.alpha(jnp.linspace(0.0, 1.0, len(betas))) ** 2
    np.testing.assert_allclose(gammas, arrays[f"schedule/{name}/gammas"], rtol=1e-5, atol=1e-12)
