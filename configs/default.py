"""Every key that all experiments share, with the values of score_sde (arXiv:2011.13456)."""

import ml_collections

Section = ml_collections.ConfigDict

placeholder = ml_collections.config_dict.placeholder
"""A key without a value that --config.key=value can set: `placeholder(str)`."""


def get_config() -> Section:
    """What an experiment starts from; it must choose sde, prediction, network and sampler."""
    return Section(
        {
            "seed": 42,
            "data": {
                # Prepared by `python -m scoresde.data.prepare cifar10`, in data_dir if it is given.
                "source": {"name": "cifar10", "data_dir": placeholder(str)},
                "image_shape": (32, 32, 3),
                "data_range": (-1.0, 1.0),  # what the network works in
                "dequantize": False,  # add uniform noise of one level to the training images
                "flip": True,
                "labels": False,  # feed the classes to the network
            },
            "loss": {
                "weighting": {"name": "noise"},  # noise, likelihood, edm
                "reduction": "mean",  # mean, or half_sum over the dimensions
                "times": {"name": "uniform"},
            },
            "optimizer": {
                "name": "adam",
                "learning_rate": 2e-4,
                "warmup": 5000,
                "gradient_clip": 1.0,
                "schedule": "constant",
            },
            "training": {
                "batch_size": 128,  # over all devices
                "num_steps": 1_300_001,
                "steps_per_dispatch": 5,
                "accumulate": 1,
                "ema_rate": 0.9999,
                "ema_warmup": "none",
                "log_every": 50,
                "eval_every": 100,
                "sample_every": 50_000,
                "checkpoint_every": 10_000,
                "keep": 2,
                "keep_every": 50_000,
            },
            "likelihood": {
                "probes": 1,
                "trace": "rademacher",
                "rtol": 1e-5,
                "atol": 1e-5,
                "t_min": 1e-5,  # None for the process's own
                "method": "dopri5",
                "batch_size": 128,
            },
        }
    )
