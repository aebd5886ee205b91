"""Show versions, devices, and what makes this process quick, for a report of a fault.

Example:
  scoresde env
  SCORESDE_FAST=0 scoresde env

On CPUs alone the command line sets XLA flags, how large convolutions are computed, glibc's
allocator and the thread that runs programs, on one NVIDIA GPU how the kernels of a training step
follow each other, and everywhere a directory for compiled programs; what the environment says goes
before. Scripts and notebooks call scoresde.configure() for the same. SCORESDE_FAST=0 refuses the
first five.
"""

import argparse
import importlib.metadata
import os
import platform

# Beside those that the record of a run has.
_PACKAGES = ("orbax-checkpoint", "diffrax", "grain", "numpy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has none."""


def run(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """Prints; see the module's docstring."""
    from scoresde import configure
    from scoresde.registry import UsageError

    if overrides:
        raise UsageError("The environment depends on no config.")
    settings = configure()
    from scoresde.runs.environment import environment, revision_words  # after what is set

    found = environment()
    rows = [("revision", revision_words(found["scoresde"])), *found["versions"].items()]
    rows += [(name, importlib.metadata.version(name)) for name in _PACKAGES]
    rows += [("system", f"{platform.platform()}, {os.cpu_count()} CPU cores")]
    devices = ", ".join(f"{count} x {kind}" for kind, count in found["devices"].items())
    rows += [("devices", devices)]
    width = max(len(name) for name, *_ in (*rows, *settings))
    for name, value in rows:
        print(f"{name:{width}}  {value}")
    for name, value, why in settings:
        print(f"{name:{width}}  {value or 'not set'}")
        print(f"{'':{width}}    ({why})")
