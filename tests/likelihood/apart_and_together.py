"""Likelihoods with a condition that differs from sample to sample, in batches and one by one.

A program of its own, since the number of devices is settled when JAX starts:

    python apart_and_together.py     prints, as JSON, how far batches are from one by one, by method
"""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from scoresde import likelihood, sdes
from scoresde.denoiser import Denoiser
from scoresde.keys import sample_keys
from scoresde.likelihood.trace import TRACES, Trace
from scoresde.predictions import Noise

BATCH, DIMS = 8, 3


@dataclasses.dataclass(frozen=True)
class EveryTrace(Trace):
    """All estimators side by side, so that one program tries them: their estimates in a row."""

    traces: tuple[Trace, ...] = tuple(likelihood.trace.get(name, 2) for name in TRACES)

    def draw(self, key, shape, dtype):
        return jnp.concatenate([trace.draw(key, shape, dtype) for trace in self.traces])

    def estimates(self, product, vectors):
        counts = [len(trace.draw(jax.random.key(0), (DIMS,), float)) for trace in self.traces]
        parts = jnp.split(vectors, np.cumsum(counts)[:-1])
        return jnp.concatenate([t.estimates(product, v) for t, v in zip(self.traces, parts)])


def network(params, x, noise_condition, condition):
    """The noise and a variance; both differ by the class and by an image of each sample."""
    pulled = x - params[condition["label"]][:, None] - condition["images"]["low"]
    return jnp.concatenate([jnp.tanh(pulled), jnp.sin(pulled)], axis=-1)


DENOISER = Denoiser(
    sdes.VP(t_min=1e-3), Noise(learned_variance=True), network, jnp.array([0.0, 1.0, -2.0])
)
CONDITION = {
    "label": np.arange(BATCH) % 3,
    "images": {"low": np.linspace(-1, 1, BATCH * DIMS, dtype=np.float32).reshape(BATCH, DIMS)},
}
X = np.random.default_rng(0).normal(size=(BATCH, DIMS)).astype(np.float32)
X[2] *= 8  # far out, where the solver needs steps of its own
IMAGES = np.random.default_rng(1).integers(0, 5, (BATCH, DIMS))

EXACT = {"correction": "decoder", "rtol": 5e-4, "atol": 5e-4}
FEW = {"samples": 3, "repeats": 2}
METHODS = {
    "log_prob": likelihood.ExactLikelihood(trace=EveryTrace(), **EXACT),
    "score_flow": likelihood.ScoreFlowBound(**FEW),
    "score_flow, ssm": likelihood.ScoreFlowBound(form="ssm", **FEW),
    "vdm": likelihood.VDMBound(**FEW),
    "ddpm": likelihood.DDPMBound(steps=6, variance="learned", **FEW),
}


def relative_error(value, expected):
    value, expected = (np.asarray(array, np.float64) for array in (value, expected))
    return float(np.abs(value - expected).max() / (np.abs(expected).max() or 1.0))


def differences(of, shard):
    """The largest difference of a batch, on one device and sharded, from its samples one by one."""
    options = {"bins": 5} if of.of_levels else {}
    keys, data = sample_keys(jax.random.key(0), BATCH), IMAGES if of.of_levels else X

    def evaluate(keys, data, condition):
        return of(keys, DENOISER, data, condition, **options)

    everything = keys, data, CONDITION
    rows = [slice(i, i + 1) for i in range(BATCH)]
    alone = [evaluate(*jax.tree.map(lambda v, row=row: v[row], everything)) for row in rows]
    alone = jax.tree.map(lambda *parts: np.concatenate(parts), *alone)
    assert np.isfinite(alone.nats).all() and len(np.unique(alone.nats.round(3))) == BATCH
    found = {}
    for where, arguments in {"one": everything, "eight": shard(everything)}.items():
        result = evaluate(*arguments)
        assert where == "one" or len(result.nats.sharding.device_set) == len(jax.devices())
        assert (result.nfe == alone.nfe).all()
        errors = jax.tree.map(relative_error, result, alone)
        found[where] = max(jax.tree.leaves(errors))
    return found, len(set(alone.nfe.tolist()))


def main():
    """Prints the differences."""
    sharding = NamedSharding(Mesh(jax.devices(), ("batch",)), PartitionSpec("batch"))

    def shard(tree):
        return jax.device_put(tree, sharding)

    found = {name: differences(of, shard) for name, of in METHODS.items()}
    assert found["log_prob"][1] > 1  # each sample took steps of its own
    found = {name: by_place for name, (by_place, _) in found.items()}
    print(json.dumps({"devices": len(jax.devices()), **found}))


if __name__ == "__main__":
    main()
