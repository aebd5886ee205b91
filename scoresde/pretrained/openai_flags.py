"""What the flags of improved-diffusion's and guided-diffusion's scripts say, as objects of ours."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from scoresde import networks, predictions
from scoresde.registry import UsageError, closest, shown
from scoresde.sdes import SDE, DiscreteCosine, DiscreteVP

UNET = {
    "image_size": 64,
    "num_channels": 128,
    "num_res_blocks": 2,
    "num_heads": 4,
    "num_heads_upsample": -1,
    "num_head_channels": -1,
    "attention_resolutions": "16,8",
    "channel_mult": "",
    "dropout": 0.0,
    "class_cond": False,
    "use_checkpoint": False,
    "use_scale_shift_norm": True,
    "resblock_updown": False,
    "use_fp16": False,
    "use_new_attention_order": False,
}
"""Flags of the U-Net, and their defaults in guided-diffusion."""

SUPER_RESOLUTION = {**UNET, "large_size": 256, "small_size": 64}
"""Those of the super-resolution U-Net; the image size is the large one."""

CLASSIFIER = {
    "image_size": 64,
    "classifier_use_fp16": False,
    "classifier_width": 128,
    "classifier_depth": 2,
    "classifier_attention_resolutions": "32,16,8",
    "classifier_use_scale_shift_norm": True,
    "classifier_resblock_updown": True,
    "classifier_pool": "attention",
}
"""Those of the classifier."""

DIFFUSION = {
    "learn_sigma": False,
    "diffusion_steps": 1000,
    "noise_schedule": "linear",
    "predict_xstart": False,
    "rescale_timesteps": False,  # True in improved-diffusion
}
"""Flags of the chain that a network depends on."""

ELSEWHERE = (
    *("sigma_small", "timestep_respacing", "use_kl", "rescale_learned_sigmas"),
    *("batch_size", "num_samples", "clip_denoised", "use_ddim", "model_path", "classifier_path"),
    *("classifier_scale", "lr", "lr_anneal_steps", "weight_decay", "ema_rate", "microbatch"),
    *("schedule_sampler", "fp16_scale_growth", "log_interval", "save_interval"),
    *("resume_checkpoint", "data_dir", "noised", "base_samples"),
)
"""Flags that say how a network is trained or sampled, and nothing of what it is."""

CHANNEL_MULT = {
    512: (0.5, 1, 1, 2, 2, 4, 4),
    256: (1, 1, 2, 2, 4, 4),
    128: (1, 1, 2, 3, 4),
    64: (1, 2, 3, 4),
    32: (1, 2, 2, 2),
}
"""By the size of the images, where the flag is empty; super-resolution to 512 has those of 256."""

SDES = {"linear": DiscreteVP, "cosine": DiscreteCosine}
"""Chains by `noise_schedule`, made with their number of steps."""

NUM_CLASSES = 1000
"""Of every class-conditional model, whatever the data: the number is a constant there."""


class FlaggedModel(NamedTuple):
    """What flags say.

    Attributes:
        network: the network.
        image_shape: (height, width, channels).
        prediction: how it is fed and read; None for a classifier.
        sde: the chain.
        new_attention_order: of its weights, see `scoresde.pretrained.openai`.
    """

    network: networks.Network
    image_shape: tuple[int, int, int]
    prediction: predictions.PredictionKind | None
    sde: SDE
    new_attention_order: bool


def read_flags(flags: Mapping[str, Any], num_classes: int = NUM_CLASSES) -> FlaggedModel:
    """The model that these flags describe.

    With one that begins with "classifier_" it is the classifier, with "large_size" the
    super-resolution U-Net, and else the U-Net. What is left out has guided-diffusion's default.

    Args:
        flags: by name, without dashes; values of their types, or as text: "True", "32,16,8".
        num_classes: of a classifier or a class-conditional model.

    Raises:
        UsageError: a flag that there is not, or a value out of range.
    """
    if not isinstance(flags, Mapping) or not all(isinstance(name, str) for name in flags):
        raise UsageError(f"Flags are a mapping of names to values, not {shown(flags)}.")
    described = set(flags) - set(ELSEWHERE)
    if any(name.startswith("classifier_") for name in described):
        kind = CLASSIFIER
        described -= set(UNET) - set(CLASSIFIER)  # sampling scripts name those of both
    else:
        kind = SUPER_RESOLUTION if "large_size" in described else UNET
    known = kind | DIFFUSION
    for name in sorted(described):
        if name not in known:
            raise UsageError(
                f"OpenAI's scripts have no flag {name!r}.{closest(name, list(known))} "
                f"Known: {', '.join(known)}."
            )
    chosen = {name: _typed(name, flags.get(name, default)) for name, default in known.items()}
    make = {id(CLASSIFIER): _classifier, id(UNET): _unet}.get(id(kind), _super_resolution)
    size = chosen["large_size"] if "large_size" in chosen else chosen["image_size"]
    steps, schedule = chosen["diffusion_steps"], chosen["noise_schedule"]
    if schedule not in SDES:
        raise UsageError(f"noise_schedule={schedule!r} is none of {', '.join(SDES)}.")
    scale = 1000 / steps if chosen["rescale_timesteps"] else 1.0
    reading = predictions.X0 if chosen["predict_xstart"] else predictions.Noise
    prediction = reading(
        time_input=predictions.Index(num_scales=steps, scale=scale),
        learned_variance=chosen["learn_sigma"],
    )
    return FlaggedModel(
        network=make(chosen, size, num_classes),
        image_shape=(size, size, 3),
        prediction=None if kind is CLASSIFIER else prediction,
        sde=SDES[schedule](num_scales=steps),
        new_attention_order=chosen.get("use_new_attention_order", False),
    )


def _typed(name: str, value: Any) -> Any:
    """A value of a flag, which may be text."""
    default = (SUPER_RESOLUTION | CLASSIFIER | DIFFUSION)[name]
    if type(default) is bool:
        meant = {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower())
        if meant is None:
            raise UsageError(f"{name} must be True or False, not {value!r}.")
        return meant
    if type(default) is str:
        return value
    try:
        number = type(default)(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or (not isinstance(value, str) and number != value):  # 2.5 of what is whole
        kind = "an integer" if type(default) is int else "a number"
        raise UsageError(f"{name} must be {kind}, not {value!r}.")
    return number


def _numbers(name: str, value: Any) -> tuple:
    """The numbers of "32,16,8", or of a sequence."""
    if isinstance(value, str):
        value = [part for part in value.split(",") if part]
    try:
        found = [float(part) for part in value]
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} must be numbers, as '32,16,8', not {value!r}.") from error
    return tuple(int(number) if number == int(number) else number for number in found)


def _channel_mult(value: Any, size: int) -> tuple:
    given = _numbers("channel_mult", value)
    if not given and size not in CHANNEL_MULT:
        raise UsageError(f"Images of size {size} need the flag channel_mult, as '1,2,2,2'.")
    return given or CHANNEL_MULT[size]


def _heads(chosen):
    if chosen["num_heads_upsample"] not in (-1, chosen["num_heads"]):
        raise UsageError(
            "num_heads_upsample differs from num_heads, which no released model has; it is not "
            "read here."
        )
    if chosen["num_head_channels"] == -1:
        return {"num_heads": chosen["num_heads"]}
    return {"num_head_channels": chosen["num_head_channels"]}


def _of_both_unets(chosen, size, num_classes):
    names = ("num_channels", "num_res_blocks", "dropout", "use_scale_shift_norm")
    resolutions = _numbers("attention_resolutions", chosen["attention_resolutions"])
    return {
        **{name: chosen[name] for name in (*names, "resblock_updown")},
        **_heads(chosen),
        "channel_mult": _channel_mult(chosen["channel_mult"], size),
        "attention_resolutions": resolutions,
        "num_classes": num_classes if chosen["class_cond"] else None,
        "outputs_per_channel": 1 + chosen["learn_sigma"],
    }


def _unet(chosen, size, num_classes):
    return networks.get("openai_unet", **_of_both_unets(chosen, size, num_classes))


def _super_resolution(chosen, size, num_classes):
    factor, left = divmod(size, max(1, chosen["small_size"]))
    if left or not factor or chosen["small_size"] < 1:
        raise UsageError(
            f"large_size={size} must be a multiple of small_size={chosen['small_size']}."
        )
    options = _of_both_unets(chosen, min(size, 256), num_classes)
    return networks.get("super_resolution_unet", factor=factor, **options)


def _classifier(chosen, size, num_classes):
    resolutions = chosen["classifier_attention_resolutions"]
    return networks.get(
        "adm_encoder",
        num_classes=num_classes,
        pool=chosen["classifier_pool"],
        num_channels=chosen["classifier_width"],
        num_res_blocks=chosen["classifier_depth"],
        channel_mult=_channel_mult("", size),
        attention_resolutions=_numbers("classifier_attention_resolutions", resolutions),
        use_scale_shift_norm=chosen["classifier_use_scale_shift_norm"],
        resblock_updown=chosen["classifier_resblock_updown"],
    )
