"""Networks that say of x_0 what they are told, for configs of conditional runs and cascades."""

import dataclasses
import pathlib

import jax.numpy as jnp
import numpy as np

from scoresde import data, training
from scoresde.experiment import build
from scoresde.runs import save_config

SMALL, LARGE = (2, 4, 1), (4, 8, 1)


def source(size="large"):
    """`tiny_told:source`: images of 16 levels, of both sizes."""
    pixels = np.random.default_rng(0).integers(0, 16, (40, *(LARGE if size == "large" else SMALL)))
    images = pixels.astype(np.uint8)
    labels = np.arange(40) % 2
    rows = {"train": slice(30), "test": slice(30, 40)}
    splits = {name: data.Split(images[part], labels[part]) for name, part in rows.items()}
    return data.Source(name="tiny", splits=splits, bins=16, label_names=("black", "white"))


@dataclasses.dataclass(frozen=True)
class Enlarge:
    """`tiny_told:Enlarge`: x_0 is what is told, its pixels as squares."""

    condition_names = frozenset({"observation", "augmentation", "label"})

    def init(self, key, image_shape):
        return {"scale": jnp.ones(())}

    def __call__(self, params, x, noise_condition, condition=None, *, train=False, rng=None):
        small = condition["observation"]
        return params["scale"] * small.repeat(2, axis=1).repeat(2, axis=2)


@dataclasses.dataclass(frozen=True)
class Mean:
    """`tiny_told:Mean`: x_0 is -1, 0 or 1, the nearest to the mean of x."""

    def init(self, key, image_shape):
        return {"scale": jnp.ones(())}

    def __call__(self, params, x, noise_condition, condition=None, *, train=False, rng=None):
        mean = jnp.mean(x, axis=(1, 2, 3), keepdims=True)
        return params["scale"] * jnp.broadcast_to(jnp.sign(mean), x.shape)


@dataclasses.dataclass(frozen=True)
class Shade(Mean):
    """`tiny_told:Shade`: x_0 is -1 of class 0 and 1 of class 1."""

    condition_names = frozenset({"label"})

    def __call__(self, params, x, noise_condition, condition=None, *, train=False, rng=None):
        shade = 2.0 * condition["label"].reshape(-1, 1, 1, 1) - 1
        return params["scale"] * jnp.broadcast_to(shade, x.shape)


@dataclasses.dataclass(frozen=True)
class Fill:
    """`tiny_told:Fill`: x_0 is what is known, and the mask beside it (1 where it is)."""

    condition_names = frozenset({"observation", "mask"})

    def init(self, key, image_shape):
        return {"scale": jnp.ones(())}

    def __call__(self, params, x, noise_condition, condition=None, *, train=False, rng=None):
        return params["scale"] * jnp.where(condition["mask"] > 0.5, condition["observation"], 0.5)


def config(network, size="large", condition_from=None, labels=False, **sampler):
    """A config of one of these networks."""
    return {
        "data": {
            "source": {"name": "tiny_told:source", "size": size},
            "image_shape": LARGE if size == "large" else SMALL,
            "condition_from": condition_from,
            "labels": labels,
        },
        "sde": "vp",
        "prediction": "x0",
        "network": f"tiny_told:{network}",
        "optimizer": {"warmup": 0, "learning_rate": 0.01},
        "training": {"batch_size": 8, "num_steps": 4, "sample_every": 0, "log_every": 1},
        "sampler": {"name": "ddim", "steps": 3, "denoise": "tweedie", **sampler},
    }


def make_run(workdir, key, *args, **options):
    """A work directory with such a model at step 0."""
    made = config(*args, **options)
    experiment = build(made)
    save_config(pathlib.Path(workdir), made)
    with training.Checkpoints(pathlib.Path(workdir) / "checkpoints") as checkpoints:
        params, averages = experiment.init(key), experiment.averages
        checkpoints.save(0, training.create_state(key, params, experiment.optimizer, averages))
