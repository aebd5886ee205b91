"""Show versions, devices, and what makes this process quick, for a report of a fault.

Example:
  scoresde env
  SCORESDE_FAST=0 scoresde env

On CPUs alone the command line sets an XLA flag and glibc's allocator, and everywhere a directory
for compiled programs; what the environment says goes before. Scripts and notebooks call
scoresde.configure() for the same. SCORESDE_FAST=0 refuses the first two.
"""

import argparse
import importlib.metadata
import os
import platform

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "diffrax", "grain", "numpy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has none."""


def run(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """Prints; see the module's docstring."""
    import collections

    import jax

    from scoresde import __version__, configure
    from scoresde.registry import UsageError

    if overrides:
        raise UsageError("The environment depends on no config.")
    settings = configure()
    rows = [("scoresde", __version__), ("python", platform.python_version())]
    rows += [(name, importlib.metadata.version(name)) for name in _PACKAGES]
    rows += [("system", f"{platform.platform()}, {os.cpu_count()} CPU cores")]
    kinds = collections.Counter(device.device_kind for device in jax.devices())
    rows += [("devices", ", ".join(f"{count} x {kind}" for kind, count in kinds.items()))]
    width = max(len(name) for name, *_ in (*rows, *settings))
    for name, value in rows:
        print(f"{name:{width}}  {value}")
    for name, value, why in settings:
        print(f"{name:{width}}  {value or 'not set'}")
        print(f"{'':{width}}    ({why})")
