"""A training step on an NVIDIA GPU as one CUDA graph, whose kernels run beside each other.

Most of a step's kernels are so small that one alone leaves most of the GPU idle, and XLA runs them
one after another: it makes graphs of what is between two convolutions. With convolutions in it a
graph is all of the step, and a weight's gradient need not wait for what does not need it. Kernels
that run at once share no memory, so that a step needs a quarter to a third more for what it
computes. Where that was to be saved, by recomputation or by parts of a batch, all stays as it was.
"""

import importlib.metadata
import os
from typing import Any

from scoresde.speed.platforms import is_nvidia
from scoresde.speed.setting import REFUSAL, Setting, refused

_BUFFER, _MODE = "xla_gpu_enable_command_buffer", "xla_gpu_command_buffer_scheduling_mode"

OPTIONS = {
    _BUFFER: "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,CUDNN,DYNAMIC_SLICE_FUSION,CONVOLUTION",
    _MODE: "CONCURRENT",
}

# The versions of jaxlib whose steps with them were seen to compute what they do without.
TRIED = ("0.11.2",)

_chosen: dict[str, str] = {}


def run_side_by_side() -> Setting:
    """Has training steps compiled so from now on; says what it did."""
    _chosen.clear()

    def setting(value, why):
        return Setting("graphs", value, why)

    if refused():
        return setting("", f"{REFUSAL}={os.environ[REFUSAL]}")
    if not is_nvidia():
        return setting("", "for NVIDIA GPUs alone")
    flags = os.environ.get("XLA_FLAGS", "")
    if any(option in flags for option in OPTIONS):
        return setting("", "XLA_FLAGS says how")
    if flags and not flags.startswith("--"):
        return setting("", "XLA_FLAGS names a file, which may say how")
    version = importlib.metadata.version("jaxlib")
    if version not in TRIED:
        return setting("", f"not tried with jaxlib {version}, but with {', '.join(TRIED)}")
    _chosen.update(OPTIONS)
    return setting("of whole training steps, on one GPU", _OURS)


def step_options(mesh: Any) -> dict[str, str]:
    """XLA's options for a training step on the mesh: none on several devices, untried there.

    Args:
        mesh: `jax.sharding.Mesh`.
    """
    first, *others = mesh.devices.flat
    return dict(_chosen) if first.platform == "gpu" and not others else {}


_OURS = f"scoresde: kernels beside each other, for some memory; {REFUSAL}=0 leaves it out"
