"""Paired timings: the candidates take turns, so that what else the machine does hits them all.

Who goes first changes from round to round, so that nobody always runs after the same other.
"""

import contextlib
import json
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax


def turns(candidates: dict[str, Callable[[], object]], rounds: int = 5) -> dict[str, list[float]]:
    """Seconds of each candidate's calls, a call a round.

    One call of each comes before, and is not counted.

    Args:
        candidates: name -> a function that returns when it is done, or arrays to wait for.
        rounds: how often each is timed.
    """
    seconds, names = {name: [] for name in candidates}, list(candidates)
    for number in range(rounds + 1):
        for name in names:
            start = time.perf_counter()
            jax.block_until_ready(candidates[name]())
            if number:
                seconds[name].append(time.perf_counter() - start)
        names = names[1:] + names[:1]
    return seconds


def paired(candidates: dict[str, Callable[[], object]], rounds: int = 5) -> dict[str, float]:
    """Seconds of each candidate's quickest call, the one that the machine disturbed least.

    Args: as of `turns`.
    """
    return {name: min(seconds) for name, seconds in turns(candidates, rounds).items()}


def medians(candidates: dict[str, Callable[[], object]], rounds: int = 5) -> dict[str, float]:
    """The median seconds of each candidate's calls.

    Args: as of `turns`.
    """
    return {name: statistics.median(s) for name, s in turns(candidates, rounds).items()}


def machine() -> str:
    """One line on what this was measured on."""
    device = jax.devices()[0]
    name = device.device_kind if device.platform != "cpu" else _cpu()
    return (
        f"{len(jax.devices())} x {name}, JAX {jax.__version__}, Python {platform.python_version()}"
    )


def _cpu() -> str:
    """The model, which Python's platform does not tell on all systems, and the usable cores."""
    model = platform.processor() or "CPU"
    with contextlib.suppress(OSError):  # not on a Mac, nor on Windows
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = models[0] if models else model
    usable = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    return f"{model} ({len(usable)} cores)"


def results(path: pathlib.Path) -> dict[str, Any]:
    """What a file has of this machine: its rows, which others are added to.

    Raises:
        SystemExit: it is another machine's, or of other versions.
    """
    found = json.loads(path.read_text()) if path.exists() else {"machine": machine(), "rows": []}
    if found["machine"] != machine():
        raise SystemExit(f"{path} is of {found['machine']}, and this is {machine()}: name another.")
    path.parent.mkdir(parents=True, exist_ok=True)
    return found
