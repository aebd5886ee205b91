"""The bound of a chain as a loss: improved-diffusion's numbers and gradients, in float64."""

import dataclasses

import improved_ddpm
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import codecs, losses, predictions, sdes, times

CODEC = codecs.get("images", image_shape=(4, 4, 3), bins=256)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Given(times.Discrete):
    """The levels of a sub-chain, visited as they are told."""

    visited: tuple = ()
    drawn: tuple = ()

    @property
    def levels(self):
        return jnp.asarray(self.visited)

    def __call__(self, key, n):
        return self.levels[jnp.asarray(self.drawn)], jnp.ones(n)


def outputs(params, x, t, condition, *, train, rng):
    return params


def loss_at(golden, name, **options):
    """output -> the loss of each of the images of a golden file."""
    kind = predictions.Noise(learned_variance=options.get("variance", "learned") == "learned")
    levels = Given(sde=golden.sde, visited=tuple(golden.times), drawn=tuple(golden.level))
    loss = losses.OBJECTIVES[name](
        sde=golden.sde,
        prediction=kind,
        network=outputs,
        codec=CODEC,
        times=levels,
        decoder="tanh",
        **options,
    )
    fixed = golden["x0"], golden["noise"], jnp.asarray(golden.times[golden.level])
    return lambda output: loss.at(output, None, *fixed)


def with_gradient(loss):
    """output -> the losses, and the gradient of their sum."""

    def total(output):
        value = loss(output)
        return jnp.sum(value), value

    def both(output):
        (_, value), slope = jax.value_and_grad(total, has_aux=True)(output)
        return value, slope

    return both


@pytest.mark.parametrize("decoder", ["exact", "tanh"])
def test_every_level_has_a_finite_gradient_in_float32(decoder, key):
    """Whatever an untrained network says of mean and variance, and where next to no data is left.

    Of the terms of other levels, the decoder's among them, a sample has the gradient zero.
    """
    sde = sdes.DiscreteCosine(num_scales=400)
    loss = losses.ChainLoss(
        sde=sde,
        prediction=predictions.Noise(learned_variance=True),
        network=outputs,
        codec=CODEC,
        decoder=decoder,
    )
    t = loss.times.levels
    x0 = (
        jnp.round(127.5 * jnp.sin(jnp.arange(400 * 48.0)) + 127.5).reshape(400, 4, 4, 3) / 127.5 - 1
    )
    noise = jax.random.normal(key, x0.shape)
    wild = 10 * jax.random.normal(jax.random.fold_in(key, 1), (400, 4, 4, 6))
    value, slope = jax.jit(with_gradient(lambda output: loss.at(output, None, x0, noise, t)))(wild)
    assert jnp.isfinite(value).all() and jnp.isfinite(slope).all()
    assert (abs(slope[..., 3:]).max(axis=(1, 2, 3)) > 0).all()


@pytest.mark.parametrize("name", improved_ddpm.CASES)
def test_losses_and_their_gradients_are_the_published_ones(name):
    """The mean has no gradient of L_vlb in L_hybrid, and L_vlb is N times what the code calls vb.

    What it calls MSE has no lambda, which is one of 1 / N.
    """
    with jax.enable_x64(True):
        golden = improved_ddpm.Golden(name)
        num, output = len(golden.times), golden["output"]
        objectives = {
            "rescaled_mse": loss_at(golden, "hybrid"),
            "mse": loss_at(golden, "hybrid", weight=1 / num),
            "rescaled_kl": loss_at(golden, "vlb"),
        }
        fixed = {kind: loss_at(golden, "vlb", variance=kind) for kind in ("posterior", "forward")}

        @jax.jit
        def everything(output):
            learned = {name: with_gradient(loss)(output) for name, loss in objectives.items()}
            return learned, {kind: loss(output[..., :3]) for kind, loss in fixed.items()}

        learned, without = everything(output)
        learned["kl"] = jax.tree.map(lambda value: value / num, learned["rescaled_kl"])
        for published, (value, slope) in learned.items():
            where = f"f64/training_losses/{published}/learned_range"
            np.testing.assert_allclose(value, golden[f"{where}/loss"], rtol=1e-9)
            expected = golden[f"{where}/grad_output"]
            np.testing.assert_allclose(slope, expected, rtol=1e-9, atol=1e-9 * abs(expected).max())
        for kind, value in without.items():
            where = f"f64/training_losses/rescaled_kl/{improved_ddpm.VARIANCES[kind]}/loss"
            np.testing.assert_allclose(value, golden[where], rtol=1e-9)
