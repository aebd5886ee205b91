"""The networks of the published experiments.

What follows from the process (the range of the data, a division by sigma) is set where the process
is chosen, in `processes.py`.
"""

from scoresde.configs.default import Section


def ddpm(**changes) -> Section:
    """DDPM's U-Net for CIFAR-10: 35.2 million parameters."""
    network = Section(
        {
            "name": "ddpm",
            "nf": 128,
            "ch_mult": (1, 2, 2, 2),
            "num_res_blocks": 2,
            "attn_resolutions": (16,),
            "resamp_with_conv": True,
            "conditional": True,
            "scale_by_sigma": False,
            "centered": True,
            "nonlinearity": "swish",
            "dropout": 0.1,
        }
    )
    network.update(changes)
    return network


def ddpmpp(**changes) -> Section:
    """DDPM++ for CIFAR-10: 61.8 million parameters, 106.6 with num_res_blocks=8 ("deep")."""
    network = Section(
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
    network.update(changes)
    return network


def ncsnpp(**changes) -> Section:
    """NCSN++ for CIFAR-10, fed with 999 t or an index: 62.7 million parameters, deep 107.5."""
    return ddpmpp(**{"fir": True, "progressive_input": "residual"} | changes)


def ncsnpp_of_sigma(**changes) -> Section:
    """NCSN++ for CIFAR-10, fed with sigma: 62.8 million parameters, deep 107.6."""
    return ncsnpp(**{"embedding_type": "fourier", "fourier_scale": 16.0} | changes)


def ncsnpp_256() -> Section:
    """NCSN++ for 256x256 images, fed with sigma: 65.6 million parameters."""
    return ncsnpp_of_sigma(
        ch_mult=(1, 1, 2, 2, 2, 2, 2),
        num_res_blocks=2,
        progressive="output_skip",
        progressive_input="input_skip",
        progressive_combine="sum",
    )


def ncsnpp_1024() -> Section:
    """NCSN++ for 1024x1024 images, fed with sigma: 105.8 million parameters."""
    network = ncsnpp_256()
    network.update({"nf": 16, "ch_mult": (1, 2, 4, 8, 16, 32, 32, 32), "num_res_blocks": 1})
    return network


def ncsn() -> Section:
    """NCSN, 34.4 million parameters with 10 noise levels; each level has its own normalizations."""
    return Section(
        {
            "name": "ncsn",
            "nf": 128,
            "scale_by_sigma": False,
            "centered": False,
            "nonlinearity": "elu",
            "interpolation": "bilinear",
        }
    )


def ncsnv2(resolution: int = 64) -> Section:
    """NCSNv2: 34.0 million parameters for images up to 64x64, 83.4 for 128x128."""
    network = ncsn()
    network.update({"name": "ncsnv2", "resolution": resolution, "scale_by_sigma": True})
    return network


def edm_ddpmpp(label_dim: int = 0) -> Section:
    """DDPM++ as EDM trains it on CIFAR-10: 55.7 million parameters."""
    return Section(
        {
            "name": "song_unet",
            "label_dim": label_dim,
            "augment_dim": 9,
            "model_channels": 128,
            "channel_mult": (2, 2, 2),
            "num_blocks": 4,
            "attn_resolutions": (16,),
            "dropout": 0.13,
            "embedding_type": "positional",
            "channel_mult_noise": 1,
            "encoder_type": "standard",
            "decoder_type": "standard",
            "resample_filter": (1, 1),
        }
    )


def edm2(model_channels: int, label_dim: int = 0, **changes) -> Section:
    """EDM2's network: 124.7 million parameters with 128 channels, S has 192 and XXL 448."""
    network = Section(
        {
            "name": "edm2",
            "label_dim": label_dim,
            "model_channels": model_channels,
            "channel_mult": (1, 2, 3, 4),
            "num_blocks": 3,
            "attn_resolutions": (16, 8),
            "dropout": 0.1 if model_channels >= 256 else 0.0,
            "dtype": "bfloat16",
        }
    )
    network.update(changes)
    return network


def edm_ncsnpp(label_dim: int = 0) -> Section:
    """NCSN++ as EDM trains it on CIFAR-10: 56.4 million parameters."""
    network = edm_ddpmpp(label_dim)
    network.update(
        {
            "embedding_type": "fourier",
            "channel_mult_noise": 2,
            "encoder_type": "residual",
            "resample_filter": (1, 3, 3, 1),
        }
    )
    return network


def small_classifier(num_classes: int) -> Section:
    """ADM's classifier for the bundled digits: 0.36 million parameters."""
    return Section(
        {
            "name": "adm_encoder",
            "num_classes": num_classes,
            "pool": "adaptive",
            "num_channels": 32,
            "num_res_blocks": 1,
            "channel_mult": (1, 2),
            "attention_resolutions": (4,),
            "num_head_channels": 32,
            "dropout": 0.1,
        }
    )


def wide_resnet(num_classes: int) -> Section:
    """score_sde's WRN-28-10 of noisy images in [0, 1], fed with sigma: 38.9 million parameters."""
    return Section(
        {
            "name": "wide_resnet",
            "num_classes": num_classes,
            "blocks_per_group": 4,
            "channel_multiplier": 10,
        }
    )
