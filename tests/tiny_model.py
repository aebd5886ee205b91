"""A data set and its exact score, which compiles in no time, for configs of the command line.

Images are 2x2 pixels of four levels: pixels N(0.1, 0.2^2), rounded down to bins half a unit wide.
Next to the bins the density is narrow, so that dequantization matters.
"""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from scoresde import data, training
from scoresde.experiment import build, load_config
from scoresde.runs import save_config

SHAPE = (2, 2, 1)
MEAN, STD = 0.1, 0.2

BARE = {
    "data": {"source": "tiny_model:source", "image_shape": SHAPE},
    "sde": "vp",
    "prediction": "noise",
    "network": "tiny_model:Network",
    "training": {"batch_size": 8, "num_steps": 2, "sample_every": 2},
}
"""A config that has what it must have, and nothing else."""


def source():
    """`tiny_model:source` of config.data.source."""
    pixels = np.random.default_rng(0).normal(MEAN, STD, (256, *SHAPE))
    images = np.clip(np.floor(2 * (pixels + 1)), 0, 3).astype(np.uint8)
    splits = {"train": data.Split(images[:128]), "test": data.Split(images[128:])}
    return data.Source(name="tiny", splits=splits, bins=4)


@dataclasses.dataclass(frozen=True)
class Network:
    """`tiny_model:Network`: the noise in VP of those pixels, given 999 t.

    Each is mixed a little with its neighbor, or the probes would have no error.
    """

    def init(self, key, image_shape):
        return {"mean": jnp.full(image_shape, MEAN)}

    def __call__(self, params, x, noise_condition, condition=None, *, train=False, rng=None):
        t = noise_condition[:, None, None, None] / 999
        integral = 0.1 * t + 0.5 * (20 - 0.1) * t**2
        alpha, variance = jnp.exp(-0.5 * integral), -jnp.expm1(-integral)
        offset = x - alpha * params["mean"]
        offset += 0.02 * jnp.tanh(jnp.roll(offset, 1, axis=2) + jnp.roll(offset, 1, axis=1))
        return jnp.sqrt(variance) * offset / (STD**2 * alpha**2 + variance)


@dataclasses.dataclass(frozen=True)
class Halved(Network):
    """`tiny_model:Halved`: the same, whose steps start from half of the parameters."""

    def project(self, params):
        return jax.tree.map(lambda leaf: 0.5 * leaf, params)


@dataclasses.dataclass(frozen=True)
class LearnedVariance:
    """`tiny_model:LearnedVariance`: noise and a variance's share of linear functions of x, each."""

    def init(self, key, image_shape):
        return {"slope": jnp.zeros((2, *image_shape)), "share": jnp.zeros(())}

    def __call__(self, params, x, noise_condition, condition=None, *, train=False, rng=None):
        noise, share = (x * slope for slope in params["slope"])
        return jnp.concatenate([noise, share + params["share"]], axis=-1)


LEARNED = {
    **BARE,
    "sde": {"name": "discrete_cosine", "num_scales": 6},
    "prediction": {
        "name": "noise",
        "learned_variance": True,
        "time_input": {"name": "index", "num_scales": 6},
    },
    "network": "tiny_model:LearnedVariance",
    "loss": {"objective": "hybrid", "times": {"name": "loss_second_moment", "history": 2}},
    "optimizer": {"learning_rate": 0.05, "warmup": 0},
    "training": {"batch_size": 16, "num_steps": 8, "sample_every": 0, "log_every": 1},
    "sampler": {"name": "ancestral_sampling", "variance": "learned"},
}
"""A chain whose variances are learned, at times by the losses."""


def make_run(workdir, **dequantizer):
    """A work directory with this model at step 0, and changes of config.dequantizer."""
    path = pathlib.Path(__file__).parent.parent / "configs/vp/digits.py"
    config = load_config(str(path)).unlock()
    config.data.update({"source": {"name": "tiny_model:source"}, "image_shape": SHAPE})
    config.network = {"name": "tiny_model:Network"}
    config.likelihood.update({"batch_size": 2, "rtol": 1e-3, "atol": 1e-3, "t_min": 1e-4})
    config.dequantizer.update(dequantizer)
    _save(workdir, config)


def make_digits_run(workdir):
    """Likewise of the digits, of which the model knows no more than of its own pixels."""
    config = load_config("vp/digits").unlock()
    config.network = {"name": "tiny_model:Network"}
    _save(workdir, config)


def _save(workdir, config):
    experiment = build(config)
    params = experiment.init(jax.random.key(0))
    save_config(workdir, config)
    with training.Checkpoints(workdir / "checkpoints") as checkpoints:
        key, averages = jax.random.key(1), experiment.averages
        state = training.create_state(key, params, experiment.optimizer, averages)
        checkpoints.save(0, state)


class Pixels:
    """`tiny_model:Pixels`: a feature extractor whose features are the pixels, and two classes."""

    name, dim, is_inception = "pixels", 4, False

    def __init__(self):
        self.protocol = {"name": "pixels"}

    def __call__(self, images):
        pixels = jnp.reshape(jnp.asarray(images, jnp.float32), (len(images), -1)) / 255
        return {"features": pixels, "logits": 8 * pixels[:, :2]}
