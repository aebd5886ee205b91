"""What the experiments of improved DDPM and of ADM share: networks, chains, losses, samplers.

Values are those of the flags that the READMEs of improved-diffusion and guided-diffusion list.
"""

from scoresde.configs.default import Section, get_config

CHANNEL_MULT = {
    32: (1, 2, 2, 2),
    64: (1, 2, 3, 4),
    128: (1, 1, 2, 3, 4),
    256: (1, 1, 2, 2, 4, 4),
    512: (0.5, 1, 1, 2, 2, 4, 4),
}
"""Multipliers of the levels by the size of the images."""

SUPER_RESOLUTION_MULT = CHANNEL_MULT[256]
"""Those of super-resolution, to 512 as well."""


def unet(size: int, num_channels: int, num_res_blocks: int, **changes) -> Section:
    """A U-Net of improved DDPM's: attention at 16x16 and 8x8, of four heads."""
    network = Section(
        {
            "name": "openai_unet",
            "num_channels": num_channels,
            "num_res_blocks": num_res_blocks,
            "channel_mult": CHANNEL_MULT[size],
            "attention_resolutions": (16, 8),
            "num_heads": 4,
            "use_scale_shift_norm": True,
            "resblock_updown": False,
            "dropout": 0.0,
            "outputs_per_channel": 2,
        }
    )
    network.update(changes)
    return network


def adm_unet(size: int, num_channels: int = 256, num_res_blocks: int = 2, **changes) -> Section:
    """A U-Net of ADM's: attention at 32x32 too, blocks resample, of 64 channels a head."""
    network = unet(size, num_channels, num_res_blocks)
    del network["num_heads"]
    network.update({"attention_resolutions": (32, 16, 8), "resblock_updown": True})
    if "num_heads" not in changes:
        network.num_head_channels = 64
    network.update(changes)
    return network


def super_resolution(network: Section) -> Section:
    """The network with an image of a quarter of the size beside x."""
    network.update(
        {
            "name": "super_resolution_unet",
            "factor": 4,
            "channel_mult": SUPER_RESOLUTION_MULT,
            "num_classes": 1000,
        }
    )
    return network


def encoder(size: int, num_res_blocks: int = 2) -> Section:
    """ADM's classifier."""
    return Section(
        {
            "name": "adm_encoder",
            "num_classes": 1000,
            "pool": "attention",
            "num_channels": 128,
            "num_res_blocks": num_res_blocks,
            "channel_mult": CHANNEL_MULT[size],
            "attention_resolutions": (32, 16, 8),
            "num_head_channels": 64,
            "use_scale_shift_norm": True,
            "resblock_updown": True,
        }
    )


def chain(schedule: str, steps: int, network: Section, rescale_timesteps: bool = False) -> Section:
    """A process of `steps` levels, and a network that predicts noise and variance by the level."""
    config = get_config()
    name = {"linear": "discrete_vp", "cosine": "discrete_cosine"}[schedule]
    config.sde = Section({"name": name, "num_scales": steps})
    time_input = {"name": "index", "num_scales": steps}
    if rescale_timesteps:
        time_input["scale"] = 1000 / steps
    config.prediction = Section(
        {"name": "noise", "learned_variance": True, "time_input": Section(time_input)}
    )
    config.network = network
    config.optimizer.update({"warmup": 0, "gradient_clip": None})
    config.likelihood.t_min = None
    config.sampler = Section(
        {
            "name": "ancestral_sampling",
            "variance": "learned",
            "grid": {"name": "respaced", "spacing": "250"},
            "clip": (-1.0, 1.0),  # at the last level of a cosine chain x0 is anything else
        }
    )
    return config


def hybrid(config: Section, rescale_learned_sigmas: bool = False) -> Section:
    """L_hybrid; without rescale_learned_sigmas, the weight of L_vlb is one over the levels."""
    weight = 0.001 if rescale_learned_sigmas else 1 / config.sde.num_scales
    config.loss = Section({"objective": "hybrid", "weight": weight, "times": {"name": "discrete"}})
    return config


def vlb(config: Section) -> Section:
    """L_vlb, at levels drawn by how large the losses there have been."""
    config.loss = Section({"objective": "vlb", "times": {"name": "loss_second_moment"}})
    return config


def training(
    config: Section, learning_rate: float, num_steps: int, batch_size: int, flip: bool
) -> Section:
    """How long and at what rate is trained; averages are of rate 0.9999."""
    config.data.flip = flip
    config.optimizer.learning_rate = learning_rate
    config.training.update(
        {"num_steps": num_steps, "batch_size": batch_size, "steps_per_dispatch": 1}
    )
    return config


def with_low_resolution(config: Section) -> Section:
    """The data must have the images of low resolution as an array of that name."""
    config.data.condition = ("low_resolution",)
    return config


def classifier(config: Section, learning_rate: float, weight_decay: float) -> Section:
    """The classifier of noisy images: AdamW whose rate goes down to zero, all levels alike."""
    config.prediction.learned_variance = False
    config.loss = Section({"objective": "classification", "times": {"name": "discrete"}})
    config.optimizer = Section(
        {
            "name": "adamw",
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
            "warmup": 0,
            "gradient_clip": None,
            "schedule": "linear",
        }
    )
    config.sampler = Section({"name": "ancestral_sampling"})
    config.training.sample_every = 0
    return config
