"""DDPM++ (VP) on the embedded 32x32 colour emoji: hours on a GPU."""

from configs import default


def get_config():
    """The experiment."""
    config = default.variance_preserving("vp")
    config.data.source = default.Section({"name": "emoji32"})
    config.data.update({"flip": False, "dequantize": True})
    config.network.update({"nf": 64, "num_res_blocks": 2, "dropout": 0.2})
    config.training.update({"num_steps": 100_000, "sample_every": 5000, "checkpoint_every": 5000})
    return config
