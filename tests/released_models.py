"""The models that improved-diffusion and guided-diffusion released: parameters and flags.

By the name of their config here. Flags are those that the two READMEs list for training and
sampling, as far as they say what a network, its chain and its loss are.
"""

_COSINE = {"diffusion_steps": 4000, "noise_schedule": "cosine", "learn_sigma": True}
_RESCALED = {"rescale_learned_sigmas": True, "rescale_timesteps": True}
_LINEAR = {"diffusion_steps": 1000, "noise_schedule": "linear", "learn_sigma": True}
_CIFAR10 = {"image_size": 32, "num_channels": 128, "num_res_blocks": 3, "dropout": 0.3}
_IMAGENET64 = {"image_size": 64, "num_channels": 128, "num_res_blocks": 3}
_ADM = {
    **_LINEAR,
    "attention_resolutions": "32,16,8",
    "num_channels": 256,
    "num_head_channels": 64,
    "num_res_blocks": 2,
    "resblock_updown": True,
    "use_scale_shift_norm": True,
}
_CLASSIFIER = {
    "classifier_attention_resolutions": "32,16,8",
    "classifier_depth": 2,
    "classifier_width": 128,
    "classifier_pool": "attention",
    "classifier_resblock_updown": True,
    "classifier_use_scale_shift_norm": True,
}
_COND, _LSUN = {"class_cond": True}, {"image_size": 256, "dropout": 0.1}

RELEASED = {
    "improved_diffusion/cifar10_hybrid": (52_546_438, _CIFAR10 | _COSINE | _RESCALED),
    "improved_diffusion/cifar10_vlb": (
        52_546_438,
        _CIFAR10 | _COSINE | _RESCALED | {"use_kl": True},
    ),
    "improved_diffusion/imagenet64_hybrid": (121_063_942, _IMAGENET64 | _COSINE | _RESCALED),
    "improved_diffusion/imagenet64_vlb": (
        121_063_942,
        _IMAGENET64 | _COSINE | _RESCALED | {"use_kl": True},
    ),
    "improved_diffusion/imagenet64_cond": (
        273_049_350,
        _IMAGENET64 | _COSINE | _COND | {"num_channels": 192},
    ),
    "improved_diffusion/lsun_bedroom": (
        113_676_678,
        {
            **_LINEAR,
            "image_size": 256,
            "num_channels": 128,
            "num_res_blocks": 2,
            "num_heads": 1,
            "attention_resolutions": "16",
            "use_scale_shift_norm": False,
        },
    ),
    "improved_diffusion/upsample_64_256": (
        279_792_390,  # "280M"
        {
            **_LINEAR,
            **_COND,
            "diffusion_steps": 4000,
            "num_channels": 192,
            "num_res_blocks": 2,
            "large_size": 256,
            "small_size": 64,
        },
    ),
    "adm/imagenet64": (
        295_904_454,
        _ADM
        | _COND
        | {
            "image_size": 64,
            "num_channels": 192,
            "num_res_blocks": 3,
            "noise_schedule": "cosine",
            "dropout": 0.1,
            "use_new_attention_order": True,
        },
    ),
    "adm/imagenet128": (
        421_529_606,
        _ADM | _COND | {"image_size": 128, "num_heads": 4, "num_head_channels": -1},
    ),
    "adm/imagenet256": (553_838_086, _ADM | _COND | {"image_size": 256}),
    "adm/imagenet256_uncond": (552_814_086, _ADM | {"image_size": 256}),
    "adm/imagenet512": (558_997_638, _ADM | _COND | {"image_size": 512}),
    "adm/lsun_bedroom": (552_814_086, _ADM | _LSUN),
    "adm/lsun_cat": (552_814_086, _ADM | _LSUN),
    "adm/lsun_horse": (552_814_086, _ADM | _LSUN),
    "adm/upsample_64_256": (
        311_795_910,
        {
            **_ADM,
            **_COND,
            "num_channels": 192,
            "num_heads": 4,
            "num_head_channels": -1,
            "large_size": 256,
            "small_size": 64,
        },
    ),
    "adm/upsample_128_512": (
        308_835_270,
        {
            **_ADM,
            **_COND,
            "num_channels": 192,
            "attention_resolutions": "32,16",
            "large_size": 512,
            "small_size": 128,
        },
    ),
    "adm/classifier64": (
        65_438_568,
        _CLASSIFIER | {"image_size": 64, "classifier_depth": 4, "noise_schedule": "cosine"},
    ),
    "adm/classifier128": (42_568_040, _CLASSIFIER | {"image_size": 128}),
    "adm/classifier256": (54_096_360, _CLASSIFIER | {"image_size": 256}),
    "adm/classifier512": (54_448_360, _CLASSIFIER | {"image_size": 512}),
    "classifier/cifar10_wide_resnet": (38_913_242, None),
}
"""(parameters, flags); None for score_sde's, which has none."""
