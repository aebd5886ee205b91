"""Draws with a condition and a constraint that differ from sample to sample, in batches and alone.

A program of its own, since the number of devices is settled when JAX starts:

    python eight_devices.py NAME ...    prints how far batches are from one by one, by name, as JSON
"""

import functools
import json
import operator
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from scoresde import samplers, sdes
from scoresde.denoiser import Denoiser
from scoresde.keys import normal, sample_keys
from scoresde.predictions import Noise

BATCH = 8
ADAPTIVE = ("gotta_go_fast", "probability_flow", "encode")
# The batch of eight devices is that of one: these, a kind of driver each, have it on one as well.
ON_ONE = ("pc", "ddim", "dpm_solver_pp_2m", "repaint", "gotta_go_fast")
OPTIONS = {
    "pc": {"corrector_steps": 2},
    "annealed_langevin": {"corrector_steps": 3},
    "edm": {"s_churn": 5.0},
    "gotta_go_fast": {"rtol": 0.3, "atol": 0.3},
    "probability_flow": {"rtol": 1e-3, "atol": 1e-3},
}


def network(params, x, noise_condition, condition):
    """Differs by the class and by an image of each sample."""
    return jnp.tanh(x - params[condition["label"]][:, None] - condition["images"]["low"])


def known_pixel(keys, x, t, condition):
    """The first pixel is known."""
    return x.at[:, 0].set(condition["images"]["low"][:, 0])


def noisy_pixel(keys, x, t, condition):
    """It is known with some noise."""
    return known_pixel(keys, x, t, condition) + 0.1 * normal(keys, x.shape, x.dtype)


DENOISER = Denoiser(sdes.VP(), Noise(), network, jnp.array([0.0, 1.0, -2.0]))
CONDITION = {
    "label": np.arange(BATCH) % 3,
    "images": {"low": np.linspace(-1, 1, BATCH * 3, dtype=np.float32).reshape(BATCH, 3)},
}


def methods():
    """name -> (keys, x, condition) -> an array [batch, ...] and how often the denoiser was called.

    What needs no random numbers is given none: they are what takes the time to compile.
    """

    def sample(sampler, options, keys, x, condition):
        # DDIM also draws from the prior, and its constraint is noisy.
        start = {"shape": x.shape} if isinstance(sampler, samplers.DDIM) else {"x_init": x}
        samples = samplers.sample(keys, sampler, DENOISER, **start, condition=condition, **options)
        return samples.x, samples.nfe

    def encode(keys, x, condition):
        # At 1e-3, rounding within its error estimates changes its steps, and the latent by 3e-5.
        latent, stats = samplers.encode(DENOISER, x, condition=condition, rtol=1e-4, atol=1e-4)
        return latent, stats.nfe

    found = {"encode": encode}
    for name in samplers.SAMPLERS:
        constraint = noisy_pixel if name == "ddim" else known_pixel
        options = {} if name in ADAPTIVE else {"steps": 4, "constraint": constraint}
        sampler = samplers.get(name, **OPTIONS.get(name, {}))
        found[name] = functools.partial(sample, sampler, options)
    return found


def differences(name, method, given, shard):
    """How far a batch, on one device and sharded, is from its samples one by one.

    The largest difference relative to the largest value.
    """
    rows = [slice(i, i + 1) for i in range(BATCH)]
    alone = [method(*jax.tree.map(operator.itemgetter(row), given)) for row in rows]
    expected, nfe = (np.concatenate(part) for part in zip(*alone))
    assert np.isfinite(expected).all() and len(np.unique(expected.round(3), axis=0)) == BATCH
    found = {"eight": method(*shard)}
    assert len(found["eight"][0].sharding.device_set) == len(jax.devices())
    if name in ON_ONE:
        # A few steps are run sooner than they are compiled once more; an adaptive solver has many.
        with jax.disable_jit(name not in ADAPTIVE):
            found["one"] = method(*given)
    assert all((count == nfe).all() for _, count in found.values())
    largest = np.abs(expected).max()
    return {
        where: float(np.abs(np.asarray(x) - expected).max() / largest)
        for where, (x, _) in found.items()
    }


def main():
    """Prints the differences."""
    mesh = Mesh(jax.devices(), ("batch",))
    keys = sample_keys(jax.random.key(0), BATCH)
    given = keys, normal(keys, (BATCH, 3)), CONDITION
    shard = jax.device_put(given, NamedSharding(mesh, PartitionSpec("batch")))
    found = {name: differences(name, methods()[name], given, shard) for name in sys.argv[1:]}
    print(json.dumps({"devices": len(jax.devices()), **found}))


if __name__ == "__main__":
    main()
