"""Observations: what is measured of x_0, and how exactly, y = A(x_0) + noise.

    blur = observations.get("blur", std=1.5, noise=0.05)
    y = blur.observe(key, x0)
    guided = guidance.TMPD(denoiser, blur)      # and condition={"observation": y} when sampling

`OBSERVATIONS` names them; `package.module:Name` reaches one of your own, see `Observation`.
"""

from typing import Any

from scoresde.observations.base import Observation
from scoresde.observations.blur import Blur
from scoresde.observations.colorization import Colorization, couple, decouple
from scoresde.observations.compressed_sensing import CompressedSensing
from scoresde.observations.function import Function
from scoresde.observations.inpainting import Inpainting
from scoresde.observations.jpeg import JPEG
from scoresde.observations.matrix import Matrix
from scoresde.observations.motion_blur import MotionBlur, motion_kernel
from scoresde.observations.nonlinear_blur import NonlinearBlur
from scoresde.observations.phase_retrieval import PhaseRetrieval
from scoresde.observations.super_resolution import SuperResolution
from scoresde.registry import make

OBSERVATIONS = {
    "blur": Blur,
    "colorization": Colorization,
    "compressed_sensing": CompressedSensing,
    "function": Function,
    "inpainting": Inpainting,
    "jpeg": JPEG,
    "matrix": Matrix,
    "motion_blur": MotionBlur,
    "nonlinear_blur": NonlinearBlur,
    "phase_retrieval": PhaseRetrieval,
    "super_resolution": SuperResolution,
}
"""Observations by name. Each is a JAX pytree, and has the option `noise` besides its own."""


def get(name: str, **options: Any) -> Observation:
    """The observation called `name`, made with `options`.

    Raises:
        UsageError: an unknown name or option, or a value out of range.
    """
    return make("observation", OBSERVATIONS, name, **options)


__all__ = [
    "OBSERVATIONS",
    "Blur",
    "Colorization",
    "CompressedSensing",
    "Function",
    "Inpainting",
    "JPEG",
    "Matrix",
    "MotionBlur",
    "NonlinearBlur",
    "Observation",
    "PhaseRetrieval",
    "SuperResolution",
    "couple",
    "decouple",
    "get",
    "motion_kernel",
]
