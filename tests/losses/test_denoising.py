"""Losses against the formulas of the papers, written out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import losses, predictions, sdes, times
from scoresde.registry import UsageError


def linear_network(params, x, noise_condition, condition, *, train, rng):
    return params * x * jnp.cos(jnp.reshape(noise_condition, (-1, 1, 1, 1)))


X0 = jax.random.normal(jax.random.key(3), (6, 4, 4, 1))


def loss_and_draws(sde, prediction, **options):
    """The per-sample loss, with the t and noise that the loss draws from its key."""
    loss = losses.DenoisingScoreMatching(
        sde=sde,
        prediction=prediction,
        network=linear_network,
        times=options.pop("times", times.Uniform(sde=sde)),
        **options,
    )
    key = jax.random.key(7)
    values, t = loss.per_sample(0.7, key, X0)
    time_key, noise_key, _ = jax.random.split(key, 3)
    noise = jax.random.normal(noise_key, X0.shape)
    assert (t == loss.times(time_key, len(X0))[0]).all()
    return values, t, noise


def column(t):
    return jnp.reshape(t, (-1, 1, 1, 1))


def score_of(sde, prediction, x, t):
    inputs, noise_condition = prediction.inputs(sde, x, t)
    output = linear_network(0.7, inputs, noise_condition, None, train=True, rng=None)
    return -prediction.read(sde, x, t, output).noise / column(sde.sigma(t))


@pytest.mark.parametrize("name", list(predictions.PREDICTIONS))
@pytest.mark.parametrize("sde", [sdes.VP(), sdes.SubVP(), sdes.VE()])
def test_score_sde_losses(name, sde):
    """||s std + z||^2, and g^2 ||s + z / std||^2 with likelihood weighting (facts: score_sde)."""
    prediction = predictions.get(name)
    for weighting, by_hand in (
        ("noise", lambda s, z, t: (s * column(sde.sigma(t)) + z) ** 2),
        (
            "likelihood",
            lambda s, z, t: column(sde.diffusion_squared(t)) * (s + z / column(sde.sigma(t))) ** 2,
        ),
    ):
        values, t, z = loss_and_draws(sde, prediction, weighting=losses.WEIGHTINGS[weighting]())
        score = score_of(sde, prediction, sde.perturb(X0, z, t), t)
        expected = by_hand(score, z, t).mean(axis=(1, 2, 3))
        np.testing.assert_allclose(values, expected, rtol=2e-3)


def test_half_sum_is_half_the_sum():
    sde, prediction = sdes.VE(), predictions.Score()
    mean, _, _ = loss_and_draws(sde, prediction)
    half_sum, _, _ = loss_and_draws(sde, prediction, reduction="half_sum")
    np.testing.assert_allclose(half_sum, 8 * mean, rtol=1e-5)


def test_discrete_ddpm_and_smld_losses():
    steps = 50
    beta = np.linspace(0.1 / steps, 20 / steps, steps)
    alpha_bar = np.cumprod(1 - beta)
    sde = sdes.DiscreteVP(num_scales=steps)
    prediction = predictions.Noise(time_input=predictions.Index(num_scales=steps))
    discrete = times.Discrete(sde=sde, num_scales=steps)
    values, t, z = loss_and_draws(sde, prediction, times=discrete)
    label = np.round(np.asarray(t) * (steps - 1)).astype(int)
    x = column(np.sqrt(alpha_bar[label])) * X0 + column(np.sqrt(1 - alpha_bar[label])) * z
    output = linear_network(0.7, x, jnp.asarray(label, jnp.float32), None, train=True, rng=None)
    np.testing.assert_allclose(values, ((output - z) ** 2).mean(axis=(1, 2, 3)), rtol=1e-3)

    sde = sdes.VE(t_min=0.0)
    sigmas = np.exp(np.linspace(np.log(50), np.log(0.01), steps))  # descending, by label
    prediction = predictions.Score(time_input=predictions.Index(num_scales=steps, descending=True))
    discrete = times.Discrete(sde=sde, num_scales=steps)
    values, t, z = loss_and_draws(sde, prediction, times=discrete)
    label = np.round((1 - np.asarray(t)) * (steps - 1)).astype(int)
    sigma = column(sigmas[label])
    x = X0 + sigma * z
    score = linear_network(0.7, x, jnp.asarray(label, jnp.float32), None, train=True, rng=None)
    expected = (sigma**2 * (score + z / sigma) ** 2).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(values, expected, rtol=2e-3)


def test_edm_loss():
    """lambda(sigma) ||D(x; sigma) - y||^2, lambda = (s^2 + s_data^2) / (s s_data)^2."""
    sde, prediction = sdes.EDM(), predictions.EDM()
    values, t, z = loss_and_draws(
        sde,
        prediction,
        weighting=losses.EDMWeighting(),
        times=times.LogNormal(sde=sde),
    )
    x = X0 + column(t) * z
    inputs, noise_condition = prediction.inputs(sde, x, t)
    output = linear_network(0.7, inputs, noise_condition, None, train=True, rng=None)
    denoised = prediction.read(sde, x, t, output).x0
    weight = (t**2 + 0.25) / (0.5 * t) ** 2
    expected = weight * ((denoised - X0) ** 2).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(values, expected, rtol=2e-3)


def test_the_minimizer_is_the_analytic_denoiser(gaussian, key):
    """No perturbation of the exact network lowers the loss; every one raises it."""
    sde = sdes.VP()
    truth = gaussian.denoiser(sde)
    x0 = gaussian.sample(key, 20_000)

    def network(shift, x, noise_condition, condition, *, train, rng):
        return truth(x, noise_condition / 999).noise + shift * jnp.tanh(x)

    loss = losses.DenoisingScoreMatching(
        sde=sde,
        prediction=predictions.Noise(),
        network=network,
        times=times.Stratified(sde=sde),
    )
    value, slope = jax.value_and_grad(loss)(0.0, key, x0)
    assert abs(slope) < 0.01
    assert loss(0.1, key, x0) > value and loss(-0.1, key, x0) > value


def test_what_an_augmentation_did_is_told_in_training_and_nowhere_else(key):
    """The augmented images are the data of the loss, with a part of the key of their own."""
    heard = []

    def network(params, x, noise_condition, condition, *, train, rng):
        heard.append(condition)
        return params * x

    sde, options = sdes.VP(), {"prediction": predictions.Noise(), "network": network}
    augmentation = {"name": "geometric", "probability": 0.5}
    loss = losses.DenoisingScoreMatching(sde=sde, augmentation=augmentation, **options)
    plain = losses.DenoisingScoreMatching(sde=sde, **options)
    condition = {"label": jnp.arange(6)}
    value = loss(0.7, key, X0, condition)
    augment_key, loss_key = jax.random.split(key)
    images, labels = loss.augmentation(augment_key, X0)
    assert np.abs(images - X0).max() > 0.1 and np.abs(labels[:, 1:]).max() > 0
    assert heard[0].keys() == {"label", "augment_labels"}
    np.testing.assert_array_equal(heard[0]["augment_labels"], labels)
    np.testing.assert_allclose(value, plain(0.7, loss_key, images, condition), rtol=1e-5)
    assert loss(0.7, key, X0, condition, train=False) == plain(0.7, key, X0, condition)
    assert heard[-1].keys() == heard[-2].keys() == {"label"}
    with pytest.raises(UsageError, match="leave out unknown_only"):
        losses.DenoisingScoreMatching(
            sde=sde, augmentation=augmentation, unknown_only=True, **options
        )


def test_an_objective_encodes_its_own_images(key):
    """With a part of the key, so that the noise of the codec is not that of the process."""

    class Codec:
        bins, level_range = 4, (-1.0, 1.0)

        def encode(self, key, images):
            return images / 4 + jax.random.uniform(key, images.shape)

    sde, images = sdes.VP(), jnp.arange(16).reshape(1, 4, 4, 1) % 4
    options = {"sde": sde, "prediction": predictions.V(), "network": linear_network}
    options |= {"times": times.Uniform(sde=sde), "weighting": losses.LikelihoodWeighting()}
    of_images = losses.DenoisingScoreMatching(codec=Codec(), **options)(0.7, key, images)
    data_key, loss_key = jax.random.split(key)
    x = Codec().encode(data_key, images)
    assert of_images == losses.DenoisingScoreMatching(**options)(0.7, loss_key, x)


def test_an_unknown_reduction_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match=r"Unknown loss reduction 'sum'.*half_sum, mean"):
        loss_and_draws(sdes.VP(), predictions.Noise(), reduction="sum")


def test_parts_are_chosen_by_their_names_sections_or_as_they_are():
    common = {"sde": sdes.VP(), "prediction": predictions.Noise(), "network": None}
    named = losses.DenoisingScoreMatching(**common, weighting="likelihood", times="stratified")
    assert named.weighting == losses.LikelihoodWeighting()
    assert named.times == times.Stratified(sde=sdes.VP())
    section = {"name": "uniform", "t_max": 0.5}
    sections = losses.DenoisingScoreMatching(**common, times=section)
    assert sections.times == times.Uniform(sde=sdes.VP(), t_max=0.5)
    with pytest.raises(UsageError, match="Unknown weighting 'likelyhood'"):
        losses.DenoisingScoreMatching(**common, weighting="likelyhood")


@pytest.mark.parametrize(
    "part, value",
    [
        ("weighting", lambda sde, t: t[:, None]),
        ("reduction", lambda square: square.mean(axis=1, keepdims=True)),
        ("times", lambda key, n: (jnp.full(n, 0.5), jnp.ones((n, 1)))),
    ],
)
def test_a_part_that_would_broadcast_to_another_loss_is_refused(part, value, key):
    def network(params, x, noise_condition, condition, *, train, rng):
        return 0.5 * x

    loss = losses.DenoisingScoreMatching(
        sde=sdes.VP(), prediction=predictions.Noise(), network=network, **{part: value}
    )
    with pytest.raises(UsageError, match=f"The {part} of a loss must give a number a sample"):
        loss(None, key, jnp.ones((4, 3)))
    with pytest.raises(UsageError, match="'label'"):
        loss(None, key, jnp.ones((4, 3)), {"label": jnp.zeros(1, int)})
