"""What JAX will run on, and whether it does already, found out without importing it."""

import importlib.metadata
import importlib.util
import os
import sys


def why_not_cpu_alone() -> str:
    """Why JAX may run on more than CPUs; "" where it will not."""
    platforms = _asked_for()
    if platforms:
        alone = set(platforms.split(",")) <= {"cpu"}
        return "" if alone else f"JAX runs on {platforms}, not on CPUs alone"
    for module in ("jax_plugins", "libtpu"):  # how JAX finds GPUs and TPUs
        if importlib.util.find_spec(module) is not None:
            return f"{module} is installed, so that JAX may not run on CPUs alone"
    for name in _plugins():
        return f"the JAX plugin {name} is installed, so that JAX may not run on CPUs alone"
    return ""


def is_nvidia() -> bool:
    """Whether JAX runs on NVIDIA GPUs, if there are any."""
    names = set(_asked_for().split(","))
    if names & {"", "gpu"}:
        return any(name.startswith("xla_cuda") for name in _plugins())
    return "cuda" in names


def _asked_for():
    platforms = os.environ.get("JAX_PLATFORMS", "")
    if "jax" in sys.modules:
        import jax  # and wait for a thread that is at it

        platforms = jax.config.jax_platforms or platforms
    return platforms


def _plugins():
    return [plugin.name for plugin in importlib.metadata.entry_points(group="jax_plugins")]


def has_devices() -> bool:
    """Whether JAX has asked for its devices, after which it reads no more what makes them."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bool(getattr(bridge, "backends_are_initialized", lambda: False)())


def cores_are_few() -> bool:
    """Whether this process has at most four, so that one program in few parts keeps them busy."""
    try:
        return len(os.sched_getaffinity(0)) <= 4
    except AttributeError:  # not on a Mac, nor on Windows
        return (os.cpu_count() or 1) <= 4
