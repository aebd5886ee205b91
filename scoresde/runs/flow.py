"""The flow of variational dequantization that a run has trained, read back."""

import os
import pathlib
from typing import Any

from scoresde import files, networks, training
from scoresde.registry import UsageError, make


def trained_flow(workdir: str | os.PathLike) -> tuple[Any, Any, dict[str, Any]]:
    """The flow in a work directory: its network, its parameters (on all devices), and which it is.

    Raises:
        UsageError: there is none.
    """
    directory = pathlib.Path(workdir) / "dequantizer"
    if not (directory / "dequantizer.json").exists():
        raise UsageError(
            f"{workdir} holds no dequantizer. First: scoresde train-dequantizer --workdir {workdir}"
        )
    record = files.read_json(directory / "dequantizer.json")
    checkpoints = training.Checkpoints(directory / "checkpoints")
    step = checkpoints.find(None)
    options = {"name": "dequantizer", **record["network"]}
    network = make("network", networks.DEQUANTIZERS, **options)
    which = {"dequantizer_step": step, "dequantizer_score_step": record["score_step"]}
    return (
        network,
        training.replicate(training.make_mesh(), checkpoints.restore_params(step)),
        which,
    )
