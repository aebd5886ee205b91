"""Guided draws with labels that differ from sample to sample, in batches and alone.

A program of its own, since the number of devices is settled when JAX starts:

    python guided_on_eight_devices.py     prints how far batches are from one by one, as JSON
"""

import json

import jax
import mixtures
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from scoresde import guidance, samplers, sdes
from scoresde.keys import sample_keys

BATCH = 8
SDE, DATA = sdes.VP(), mixtures.images()
DENOISER = DATA.denoiser(SDE)
GUIDED = {
    "cfg": guidance.ClassifierFreeGuidance(DENOISER, 3.0, (0.1, 20.0)),
    "autoguidance": guidance.Autoguidance(DENOISER, DATA.data.denoiser(SDE), 2.0),
    "classifier": guidance.ClassifierGuidance(DATA.data.denoiser(SDE), DATA.classifier(SDE), 2.0),
    "others": guidance.DynamicThresholding(
        guidance.ClipX0(guidance.Temperature(DENOISER, 0.8), -1.5, 1.5), 0.9
    ),
}


def draw(guided, keys, labels):
    """Four steps that draw noise."""
    shape = (len(labels), 1, 2, 1)
    sampler, condition = samplers.get("euler_maruyama"), {"label": labels}
    return samplers.sample(keys, sampler, guided, shape, steps=4, condition=condition).x


def differences(guided):
    """How far a batch on one device, and one over eight, is from its samples one by one."""
    given = sample_keys(jax.random.key(0), BATCH), np.arange(BATCH) % 2
    rows = [slice(i, i + 1) for i in range(BATCH)]
    alone = np.concatenate([draw(guided, given[0][row], given[1][row]) for row in rows])
    assert np.isfinite(alone).all() and len(np.unique(alone.round(3), axis=0)) == BATCH
    mesh = Mesh(jax.devices(), ("batch",))
    eight = draw(guided, *jax.device_put(given, NamedSharding(mesh, PartitionSpec("batch"))))
    assert len(eight.sharding.device_set) == len(jax.devices()) == 8
    batches = draw(guided, *given), eight
    return float(max(np.abs(np.asarray(x) - alone).max() for x in batches) / np.abs(alone).max())


if __name__ == "__main__":
    print(json.dumps({name: differences(guided) for name, guided in GUIDED.items()}))
