"""The bound of a chain as a loss: improved-diffusion's numbers and gradients, in float64."""

import dataclasses

import improved_ddpm
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import codecs, losses, predictions, times

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


@pytest.mark.parametrize("name", improved_ddpm.CHAINS)
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
