"""Whether several processes are of one job: told the same, and looking at one directory.

One that is told something else computes something else, and its part of a sum is no part of the
others'; one that writes elsewhere leaves a part of a checkpoint there. Neither is noticed by JAX,
or waits for the others for ever. For a process by itself these do nothing.
"""

import json
import pathlib
import secrets
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from scoresde import files
from scoresde.jobs.agreement import agreed, by_first
from scoresde.registry import UsageError

# Bytes of a message between processes, padded.
_WORDS = 400

# How long a network's file system may take to show what another host has written, in seconds.
_PATIENCE = 10.0


def check_alike(told: Mapping[str, Any]) -> None:
    """Raises UsageError on all processes unless all were told the same.

    Args:
        told: values that JSON can hold, or sections of such, by the names that are said of them.
    """
    if jax.process_count() == 1:
        return
    own = _flat(json.loads(json.dumps(told, default=str)))
    first = json.loads(_broadcast(json.dumps(own)))
    unlike = [
        name for name in sorted(own.keys() | first.keys()) if own.get(name) != first.get(name)
    ]
    words = ""
    if unlike:
        more = f" (and {len(unlike) - 1} more)" if len(unlike) > 1 else ""
        words = (
            f"{unlike[0]} is {_shown(first, unlike[0])} in process 0 and "
            f"{_shown(own, unlike[0])} in process {jax.process_index()}{more}"
        )
    if found := _first_of(words):
        raise UsageError(
            f"The processes are not of one job: {found}. Start all of them with the same command, "
            "config and packages."
        )


def check_shared(directory: pathlib.Path, patience: float = _PATIENCE) -> None:
    """Raises UsageError on all processes unless all of them see one directory.

    Args:
        directory: one that can be written to; nothing is left there.
        patience: how long what the first process writes may take to be seen, in seconds.
    """
    if jax.process_count() == 1:
        return
    path = directory / f".seen_by_all.{_broadcast(secrets.token_hex(8))}"
    by_first(lambda: files.write_text(path, ""))
    end = time.monotonic() + patience
    while not (there := path.exists()) and time.monotonic() < end:
        time.sleep(0.1)
    words = "" if there else f"process {jax.process_index()} does not see what process 0 writes"
    found = _first_of(words)
    if jax.process_index() == 0:
        path.unlink(missing_ok=True)
    if found:
        raise UsageError(
            f"{directory} is not one directory for all processes: {found} there. Give a --workdir "
            "on a file system that all of them share, the same for all."
        )


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """What is in sections, by "section.key"."""
    if not isinstance(value, dict):
        return {name: value}
    flat = {}
    for key, entry in value.items():
        flat |= _flat(entry, f"{name}.{key}" if name else key)
    return flat


def _shown(values: Mapping[str, Any], name: str) -> str:
    return repr(values[name])[:120] if name in values else "not given"


def _broadcast(text: str) -> str:
    """The first process's text."""
    encoded = np.frombuffer(text.encode(), np.uint8)
    padded = np.zeros(int(agreed(len(encoded))), np.uint8)
    if jax.process_index() == 0:
        padded[:] = encoded
    return bytes(agreed(padded)).decode()


def _first_of(words: str) -> str:
    """The first of the texts of all processes that is not empty."""
    from jax.experimental import multihost_utils

    padded = np.zeros(_WORDS, np.uint8)
    encoded = words.encode()[:_WORDS]
    padded[: len(encoded)] = list(encoded)
    texts = np.asarray(multihost_utils.process_allgather(padded)).reshape(-1, _WORDS)
    told = (bytes(text).rstrip(b"\0").decode(errors="ignore") for text in texts)
    return next((text for text in told if text), "")
