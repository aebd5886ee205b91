"""Every key that all experiments share, with the values of score_sde (arXiv:2011.13456)."""

import ml_collections

Section = ml_collections.ConfigDict


def get_config() -> Section:
    """What an experiment's own file starts from; it must choose data, sde, prediction, network."""
    return Section(
        {
            "seed": 42,
            "data": {
                # Prepared by `python -m scoresde.data.prepare cifar10`, in data_dir if it is given.
                "source": {
                    "name": "cifar10",
                    "data_dir": ml_collections.config_dict.placeholder(str),
                },
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
                "t_min": 1e-5,
                "method": "dopri5",
                "batch_size": 128,
            },
        }
    )


def ddpmpp() -> Section:
    """The DDPM++ network for CIFAR-10: 61.8 million parameters."""
    return Section(
        {
            "name": "ncsnpp",
            "nf": 128,
            "ch_mult": (1, 2, 2, 2),
            "num_res_blocks": 4,
            "attn_resolutions": (16,),
            "fir": False,
            "resblock_type": "biggan",
            "skip_rescale": True,
            "progressive": "none",
            "progressive_input": "none",
            "embedding_type": "positional",
            "init_scale": 0.0,
            "scale_by_sigma": False,
            "centered": True,
            "nonlinearity": "swish",
            "dropout": 0.1,
        }
    )


def ncsnpp() -> Section:
    """The NCSN++ network for CIFAR-10, fed with sigma: 62.8 million parameters."""
    network = ddpmpp()
    network.update(
        {
            "fir": True,
            "progressive_input": "residual",
            "embedding_type": "fourier",
            "fourier_scale": 16.0,
            "scale_by_sigma": True,
            "centered": False,
        }
    )
    return network


def variance_preserving(sde: str) -> Section:
    """A VP ("vp") or sub-VP ("subvp") experiment on CIFAR-10 with a DDPM++ network."""
    config = get_config()
    config.sde = Section({"name": sde, "beta_min": 0.1, "beta_max": 20.0})
    config.prediction = Section({"name": "noise", "time_input": "scaled_time"})
    config.network = ddpmpp()
    config.sampler = Section(
        {"name": "euler_maruyama", "steps": 1000, "grid": "uniform", "t_min": 1e-3}
    )
    return config


def variance_exploding(sigma_max: float = 50.0) -> Section:
    """A VE experiment on CIFAR-10 with an NCSN++ network and predictor-corrector sampling."""
    config = get_config()
    config.data.data_range = (0.0, 1.0)
    config.sde = Section({"name": "ve", "sigma_min": 0.01, "sigma_max": sigma_max})
    config.prediction = Section({"name": "score", "time_input": "sigma"})
    config.network = ncsnpp()
    config.loss.reduction = "half_sum"
    config.training.ema_rate = 0.999
    config.sampler = Section(
        {
            "name": "pc",
            "predictor": "reverse_diffusion",
            "corrector": "langevin",
            "snr": 0.16,
            "corrector_steps": 1,
            "norm": "batch",
            "steps": 1000,
            "grid": "uniform",
            "t_min": 1e-5,
        }
    )
    return config


def digits(config: Section) -> Section:
    """Turns a CIFAR-10 experiment into one on the embedded 8x8 digits, minutes on two cores."""
    config.data.source = Section({"name": "digits"})
    config.data.update(
        {
            "image_shape": (8, 8, 1),
            "dequantize": True,  # 17 levels: the likelihood needs the noise between them
            "flip": False,
        }
    )
    config.network.update(
        {
            "nf": 32,
            "ch_mult": (1, 2),
            "num_res_blocks": 1,
            "attn_resolutions": (4,),
            "dropout": 0.0,
        }
    )
    config.loss.times = Section({"name": "stratified"})
    config.optimizer.update({"learning_rate": 2e-3, "warmup": 100, "schedule": "cosine"})
    config.training.update(
        {
            "batch_size": 64,
            "num_steps": 3000,
            "steps_per_dispatch": 1,
            "ema_rate": 0.995,
            "log_every": 20,
            "eval_every": 200,
            "sample_every": 2000,
            "checkpoint_every": 1000,
            "keep_every": None,
        }
    )
    config.likelihood.update({"probes": 8, "batch_size": 297})
    return config
