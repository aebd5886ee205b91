"""A config of images of 2x2 pixels and a network of two dense layers, to be split over devices."""

import dataclasses

import jax
import jax.numpy as jnp
import tiny_model


@dataclasses.dataclass(frozen=True)
class Network:
    """`tiny_split:Network`: the noise as a residual of two layers, the first told the time."""

    width: int = 16

    def init(self, key, image_shape):
        first, second = jax.random.split(key)
        return {
            "in": {"kernel": 0.5 * jax.random.normal(first, (5, self.width))},
            "out": {
                "kernel": 0.2 * jax.random.normal(second, (self.width, 4)),
                "bias": jnp.zeros(4),
            },
        }

    def __call__(self, params, x, noise_condition, condition=None, *, train=False, rng=None):
        flat = x.reshape(len(x), -1)
        told = jnp.concatenate([flat, noise_condition[:, None] / 999], axis=1)
        hidden = jax.nn.swish(told @ params["in"]["kernel"])
        return (flat + hidden @ params["out"]["kernel"] + params["out"]["bias"]).reshape(x.shape)


def get_config():
    """Twelve steps on batches of sixteen, with everything on the way that training can do."""
    return tiny_model.BARE | {
        "network": "tiny_split:Network",
        "optimizer": {"learning_rate": 1e-2, "warmup": 4},
        "training": {
            "batch_size": 16,
            "num_steps": 12,
            "ema_rate": 0.9,
            "averages": {"power": {"name": "power", "length": 0.1}},
            "snapshot_every": 6,
            "log_every": 1,
            "eval_every": 4,
            "sample_every": 6,
            "eval_fd_every": 6,
            "eval_fd_num": 16,
            "eval_features": "tiny_model:Pixels",
            "checkpoint_every": 4,
            "keep": None,
            "fsdp_from": 32,
        },
        "sampler": {"name": "ancestral_sampling", "steps": 4},
        "likelihood": {"batch_size": 8, "rtol": 1e-2, "atol": 1e-2, "probes": 2, "t_min": 1e-3},
    }
