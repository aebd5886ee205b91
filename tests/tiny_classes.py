"""Two classes of images and a classifier of them with one parameter, which compile in no time.

Images are 2x2 pixels of four levels: dark ones N(-0.4, 0.2^2) and bright ones N(0.4, 0.2^2). For
those, in VP, log p(bright | x_t) is that of a logit linear in the sum of the pixels.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np

from scoresde import data

SHAPE = (2, 2, 1)
MEAN, STD = 0.4, 0.2


def source():
    """`tiny_classes:source` of config.data.source."""
    generator, labels = np.random.default_rng(0), np.arange(256) % 2
    pixels = generator.normal(MEAN * (2 * labels - 1)[:, None, None, None], STD, (256, *SHAPE))
    images = np.clip(np.floor(2 * (pixels + 1)), 0, 3).astype(np.uint8)
    splits = {
        name: data.Split(images[rows], labels[rows])
        for name, rows in (("train", slice(128)), ("test", slice(128, None)))
    }
    return data.Source(name="tiny", splits=splits, bins=4, label_names=("dark", "bright"))


@dataclasses.dataclass(frozen=True)
class Classifier:
    """`tiny_classes:Classifier`: the exact logits in VP, given 999 t, times a parameter."""

    def init(self, key, image_shape):
        return {"scale": jnp.ones(())}

    def __call__(self, params, x, noise_condition, condition=None, *, train=False, rng=None):
        t = noise_condition / 999
        integral = 0.1 * t + 0.5 * (20 - 0.1) * t**2
        alpha, variance = jnp.exp(-0.5 * integral), -jnp.expm1(-integral)
        # log N(x; alpha m, v) - log N(x; -alpha m, v) of a pixel is 2 alpha m x / v.
        slope = 2 * MEAN * alpha / (STD**2 * alpha**2 + variance)
        bright = params["scale"] * slope * x.sum((1, 2, 3))
        return jnp.stack([jnp.zeros_like(bright), bright], axis=1)


CLASSIFIER = {
    "data": {"source": "tiny_classes:source", "image_shape": SHAPE, "labels": True},
    "sde": "vp",
    "prediction": "noise",
    "network": "tiny_classes:Classifier",
    "loss": {"objective": "classification"},
    "optimizer": {"name": "adamw", "learning_rate": 0.05, "warmup": 0, "schedule": "linear"},
    "training": {"batch_size": 32, "num_steps": 8, "log_every": 1, "eval_every": 4},
}
"""The config of this classifier."""


@dataclasses.dataclass(frozen=True)
class Classes:
    """`tiny_classes:Classes`: the noise in VP of a class, or of both, given 999 t."""

    num_classes = 2
    condition_names = frozenset({"label"})

    def init(self, key, image_shape):
        return {"scale": jnp.ones(())}

    def absent(self, name, value):
        return jnp.full_like(value, 2)

    def __call__(self, params, x, noise_condition, condition=None, *, train=False, rng=None):
        t = noise_condition[:, None, None, None] / 999
        integral = 0.1 * t + 0.5 * (20 - 0.1) * t**2
        alpha, sigma2 = jnp.exp(-0.5 * integral), -jnp.expm1(-integral)
        variance = STD**2 * alpha**2 + sigma2
        label = condition["label"][:, None, None, None]
        slope = MEAN * alpha / variance
        both = jnp.tanh(slope * x.sum((1, 2, 3), keepdims=True))
        side = params["scale"] * jnp.where(label == 2, both, 2 * label - 1)
        return jnp.sqrt(sigma2) * (x - alpha * MEAN * side) / variance
