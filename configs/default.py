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
                "condition": (),  # names of further arrays of the data to feed to it
                "condition_from": None,  # or what is made of an image and fed to it, a section
            },
            "loss": {
                "weighting": {"name": "noise"},  # `scoresde list weightings`
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
                "ema_half_life": placeholder(float),  # in images, in place of ema_rate
                "ema_warmup": "none",
                "averages": {},  # more of them, each a section by its name: name, options
                "snapshot_every": 0,  # of power-function averages, for `scoresde ema`
                "snapshot_dtype": "float32",
                "log_every": 50,
                "eval_every": 100,
                "sample_every": 50_000,
                "checkpoint_every": 10_000,
                "keep": 2,
                "keep_every": 50_000,
                "max_skipped_in_a_row": 10,  # steps whose gradient is not finite
            },
            "likelihood": {
                "probes": 1,
                "trace": "rademacher",
                "rtol": 1e-5,
                "atol": 1e-5,
                "log_prob_rtol": placeholder(float),  # of log p; atol is 0.3 atol a dimension
                "log_prob_atol": placeholder(float),
                "t_min": 1e-5,  # None for the process's own
                "correction": "none",  # or "decoder", for what lies below t_min
                "method": "bs5",
                "precision": "float32",  # of the solver's state; or "float64"
                "batch_size": 128,
            },
            # The flow of variational dequantization and its training, as score_flow's for CIFAR-10.
            "dequantizer": {
                "network": {
                    "couplings": 4,
                    "filters": 96,
                    "blocks": 2,  # gated convolutions (and attentions) in each coupling
                    "components": 32,  # logistics in each mixture
                    "context_channels": 32,
                    "context_blocks": 3,
                    "heads": 4,  # of the attention; 0 for none
                },
                "optimizer": {
                    "name": "adam",
                    "learning_rate": 2e-4,
                    "warmup": 5000,
                    "gradient_clip": 1.0,
                    "schedule": "constant",
                },
                "batch_size": 128,
                "num_steps": 300_001,
                "steps_per_dispatch": 1,
                "accumulate": 1,
                "ema_rate": 0.99,
                "log_every": 50,
                "checkpoint_every": 10_000,
                "keep": 2,
                "keep_every": placeholder(int),  # in steps; None keeps none for good
                "max_skipped_in_a_row": 10,
            },
        }
    )
