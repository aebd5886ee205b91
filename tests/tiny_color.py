"""Runs on 8x8 color images whose exact score is known, and compiles in no time.

A pixel of an image of class k is N(MEAN + k SHIFT, STD^2), and COMMON of the variance is shared by
all pixels and channels, so that what is known of some of them tells of the others.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from scoresde import data, sdes, training
from scoresde.experiment import build
from scoresde.runs import save_config

SHAPE = (8, 8, 3)
MEAN, STD, COMMON, SHIFT = -0.1, 0.25, 0.9, 0.4
SDE = sdes.VP()


def source():
    """`tiny_color:source` of config.data.source, with two classes."""
    rng, labels = np.random.default_rng(0), np.arange(16) % 2
    own, shared = rng.normal(size=(16, *SHAPE)), rng.normal(size=(16, 1, 1, 1))
    pixels = np.sqrt(1 - COMMON) * own + np.sqrt(COMMON) * shared
    pixels = MEAN + SHIFT * labels[:, None, None, None] + STD * pixels
    images = np.clip(np.floor(128 * (pixels + 1)), 0, 255).astype(np.uint8)
    return data.Source(
        name="tiny color",
        splits={"train": data.Split(images, labels)},
        bins=256,
        label_names=("dark", "bright"),
    )


@dataclasses.dataclass(frozen=True)
class Classless:
    """`tiny_color:Classless`: the noise in VP of the images of class 0, given 999 t."""

    num_classes = 0
    condition_names = frozenset()

    def init(self, key, image_shape):
        return {"mean": jnp.full(image_shape, MEAN)}

    def __call__(self, params, x, noise_condition, condition=None, *, train=False, rng=None):
        t = noise_condition[:, None, None, None] / 999
        alpha, variance = SDE.alpha(t), SDE.sigma(t) ** 2
        mean = params["mean"]
        if self.num_classes:
            mean = mean + SHIFT * condition["label"][:, None, None, None]
        offset = x - alpha * mean
        # The covariance is own I + shared 1 1^T.
        own = alpha**2 * STD**2 * (1 - COMMON) + variance
        shared = alpha**2 * STD**2 * COMMON
        total = jnp.sum(offset, axis=(1, 2, 3), keepdims=True)
        size = np.prod(SHAPE)
        return jnp.sqrt(variance) * (offset - shared * total / (own + size * shared)) / own


@dataclasses.dataclass(frozen=True)
class OfClasses(Classless):
    """`tiny_color:OfClasses`: told the class of each image."""

    num_classes = 2
    condition_names = frozenset({"label"})


def make_run(workdir, network="Classless", mean=MEAN):
    """A work directory with this model at step 0; any other mean is a worse one."""
    config = {
        "data": {"source": "tiny_color:source", "image_shape": SHAPE, "dequantize": True},
        "sde": "vp",
        "prediction": "noise",
        "network": f"tiny_color:{network}",
        "training": {"batch_size": 8, "num_steps": 1},
        "sampler": {"name": "ancestral_sampling", "steps": 30, "grid": "log_snr", "t_min": 1e-3},
    }
    config["data"]["labels"] = network == "OfClasses"
    experiment = build(config)
    params = {"mean": jnp.full(SHAPE, mean)}
    save_config(workdir, config)
    with training.Checkpoints(workdir / "checkpoints") as checkpoints:
        key, averages = jax.random.key(1), experiment.averages
        state = training.create_state(key, params, experiment.optimizer, averages)
        checkpoints.save(0, state)
    return workdir
