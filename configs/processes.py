"""The published combinations of process, prediction, loss and sampler, all on CIFAR-10.

Samplers are as published with score_sde: with N noise levels, N - 1 steps and then the noiseless
mean of one more, N evaluations ("last_mean"); Langevin norms averaged over the batch.
"""

from scoresde.configs.default import Section, get_config

BETAS = {"beta_min": 0.1, "beta_max": 20.0}


def _sampler(name: str, num_scales: int, t_min: float, **options) -> Section:
    return Section(
        {
            "name": name,
            **options,
            "denoise": "last_mean",
            "steps": num_scales - 1,
            "grid": "uniform",
            "t_min": t_min,
        }
    )


def variance_preserving(sde: str, network: Section) -> Section:
    """VP ("vp") or sub-VP ("subvp"), trained at continuous times, sampled by Euler-Maruyama."""
    config = get_config()
    config.sde = Section({"name": sde, **BETAS})
    config.prediction = Section({"name": "noise", "time_input": "scaled_time"})
    config.network = network
    config.sampler = _sampler("euler_maruyama", 1000, t_min=1e-3)
    return config


def discrete_variance_preserving(
    network: Section, sampler: str = "ancestral_sampling", **options
) -> Section:
    """DDPM: a VP process of 1000 steps, sampled along them.

    The published grid ends at t = 1e-3 instead of 0 and truncates to the level below, so that the
    same levels are visited; but its network is fed up to one more than the level's index.
    """
    config = get_config()
    config.sde = Section({"name": "discrete_vp", **BETAS, "num_scales": 1000})
    config.prediction = Section(
        {"name": "noise", "time_input": {"name": "index", "num_scales": 1000}}
    )
    config.loss.times = Section({"name": "discrete", "num_scales": 1000})
    config.network = network
    if sampler == "ancestral_sampling":
        options = {"variance": "forward", **options}
    config.sampler = _sampler(sampler, 1000, t_min=0.0, **options)
    return config


def variance_exploding(
    network: Section, sigma_max: float = 50.0, num_scales: int = 1000, snr: float = 0.16
) -> Section:
    """VE, trained at continuous times, sampled by reverse diffusion with Langevin corrections."""
    config = get_config()
    config.data.data_range = (0.0, 1.0)
    config.sde = Section({"name": "ve", "sigma_min": 0.01, "sigma_max": sigma_max, "t_min": 1e-5})
    config.prediction = Section({"name": "score", "time_input": "sigma"})
    network.update({"centered": False, "scale_by_sigma": True})
    config.network = network
    config.loss.reduction = "half_sum"
    config.training.ema_rate = 0.999
    config.sampler = _sampler(
        "pc",
        num_scales,
        t_min=1e-5,
        predictor="reverse_diffusion",
        corrector="langevin",
        snr=snr,
        corrector_steps=1,
        norm="batch",
    )
    return config


def discrete_variance_exploding(
    network: Section, sigma_max: float = 50.0, num_scales: int = 1000, snr: float = 0.16
) -> Section:
    """SMLD: VE, trained and sampled at `num_scales` levels, which the network knows by number."""
    network.update({"sigma_min": 0.01, "sigma_max": sigma_max, "num_scales": num_scales})
    config = variance_exploding(network, sigma_max, num_scales, snr)
    config.sde.t_min = config.sampler.t_min = 0.0
    config.prediction = Section(
        {
            "name": "score",
            "time_input": {"name": "index", "num_scales": num_scales, "descending": True},
        }
    )
    config.loss.times = Section({"name": "discrete", "num_scales": num_scales})
    return config


def annealed_langevin(
    network: Section, sigma_max: float, num_scales: int, snr: float, corrector_steps: int
) -> Section:
    """NCSN: SMLD sampled by annealed Langevin dynamics alone, without a final denoising."""
    scale_by_sigma = network.scale_by_sigma
    config = discrete_variance_exploding(network, sigma_max, num_scales, snr)
    config.network.scale_by_sigma = scale_by_sigma
    config.sampler.update(
        {
            "predictor": "none",
            "corrector": "ald",
            "corrector_steps": corrector_steps,
            "denoise": "none",
        }
    )
    del config.sampler["norm"]
    config.optimizer.update({"learning_rate": 1e-3, "warmup": 0, "gradient_clip": None})
    return config


def maximum_likelihood(sde: str, network: Section) -> Section:
    """VP or sub-VP of "Maximum likelihood training of score-based models" (arXiv:2101.09258).

    As published, the weightings are chosen on the command line:
    --config.loss.weighting.name=likelihood, and with importance-sampled times also
    --config.loss.times.name=likelihood_importance. The loss here keeps the constant factor Z that
    the published one drops; --config.optimizer.gradient_clip=23.9 (VP; sub-VP 22.7) clips as there.
    """
    config = variance_preserving(sde, network)
    smallest = 1e-5 if sde == "vp" else 1e-2
    config.loss.times = Section({"name": "uniform", "t_min": smallest})
    config.likelihood.t_min = smallest
    config.sampler = Section({"name": "probability_flow", "t_min": 1e-3 if sde == "vp" else 1e-2})
    config.training.log_every = 100
    return config


def edm(network: Section) -> Section:
    """EDM's training and sampling on CIFAR-10 (arXiv:2206.00364, tables 1 and 7), 35 evaluations.

    Images are not mirrored but by the augmentation, of which the network is told.
    """
    config = get_config()
    config.data.flip = False
    config.data.labels = network.label_dim > 0
    config.sde = Section({"name": "edm", "t_min": 0.002, "t_max": 80.0})
    config.prediction = Section({"name": "edm", "sigma_data": 0.5})
    config.network = network
    config.loss = Section(
        {
            "weighting": {"name": "edm", "sigma_data": 0.5},
            "reduction": "half_sum",
            "times": {"name": "log_normal", "mean": -1.2, "std": 1.2},
            "augmentation": {"name": "geometric", "probability": 0.12},
        }
    )
    batch_size = 512
    config.optimizer.update(
        {
            "learning_rate": 1e-3,
            "warmup": 10_000_000 // batch_size,
            "gradient_clip": None,
            "eps": 0.5e-8,  # the published loss is the whole sum
        }
    )
    config.training.update(
        {
            "batch_size": batch_size,
            "num_steps": 200_000_000 // batch_size,
            "ema_half_life": 500_000.0,
            "ema_warmup": "edm",
        }
    )
    config.sampler = Section({"name": "edm", "steps": 17, "grid": "edm"})
    config.likelihood.t_min = None
    return config


def edm2(
    network: Section,
    *,
    learning_rate: float,
    decay_steps: int,
    images: int,
    mean: float,
    std: float,
    batch_size: int = 2048,
    values: int = 4 * 64 * 64,
) -> Section:
    """EDM2's training and sampling (arXiv:2312.02696), 63 evaluations.

    Args:
        network: of `networks.edm2`.
        learning_rate: the reference rate, of 1 / sqrt(max(n / decay_steps, 1)) after n updates.
        decay_steps: number of updates after which it falls.
        images: length of the run.
        mean: of ln(sigma) in training.
        std: of ln(sigma) in training.
        batch_size: over all devices.
        values: numbers in an image. The published loss is their sum and this one their mean, which
            only Adam's epsilon tells apart.
    """
    config = edm(network)
    config.loss = Section(
        {
            "objective": "uncertainty",
            "weighting": {"name": "edm", "sigma_data": 0.5},
            "reduction": "mean",
            "times": {"name": "log_normal", "mean": mean, "std": std},
        }
    )
    config.optimizer.update(
        {
            "learning_rate": learning_rate,
            "beta2": 0.99,
            "eps": 1e-8 / values,
            "warmup": 10_000_000 // batch_size,
            "schedule": "inverse_sqrt",
            "decay_steps": decay_steps,
        }
    )
    config.training.update(
        {
            "batch_size": batch_size,
            "num_steps": images // batch_size,
            "ema_half_life": None,  # of no average: what is called "ema" is below
            "ema_warmup": "none",
            "averages": {
                "ema": {"name": "power", "length": 0.1},
                "short": {"name": "power", "length": 0.05},
            },
            "snapshot_every": 2**23 // batch_size,  # 8 Mi images
        }
    )
    config.sampler.steps = 32
    return config


def classifier(config: Section, network: Section) -> Section:
    """A classifier of the noisy images of an experiment, to guide its samples."""
    config.data.labels = True
    config.network = network
    config.loss = Section({"objective": "classification", "times": config.loss.times})
    config.optimizer = Section(
        {
            "name": "adamw",
            "learning_rate": config.optimizer.learning_rate,
            "weight_decay": 0.05,
            "warmup": config.optimizer.warmup,
            "gradient_clip": 1.0,
            "schedule": "linear",
        }
    )
    config.training.sample_every = 0  # there are none
    return config
