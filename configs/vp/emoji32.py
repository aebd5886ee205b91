"""DDPM++ (VP) on the embedded 32x32 color emoji: hours on a GPU."""

from scoresde.configs import networks, processes


def get_config():
    """The experiment."""
    config = processes.variance_preserving(
        "vp", networks.ddpmpp(nf=64, num_res_blocks=2, dropout=0.2)
    )
    config.data.source = {"name": "emoji32"}
    config.data.update({"flip": False, "dequantize": True})
    config.training.update(
        {
            "num_steps": 100_000,
            "ema_warmup": "inverse",  # short runs forget their initial weights
            "sample_every": 5000,
            "checkpoint_every": 5000,
        }
    )
    config.likelihood.batch_size = 32  # of 218 test images: a killed evaluation has something
    config.sampler.denoise = "tweedie"
    return config
