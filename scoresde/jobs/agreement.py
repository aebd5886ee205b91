"""What several processes must see alike: files come and go, and each looks at its own moment.

A process that computes what another finds on disk waits for it forever. So the first process
looks, or acts, and all go by that. For a process by itself these do nothing.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from scoresde.registry import UsageError

# Of a message that is told to the other processes.
_BYTES = 2000


def agreed(value: Any) -> Any:
    """The first process's `value`, a number or an array of one shape on all, as a NumPy array."""
    if jax.process_count() == 1:
        return np.asarray(value)
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.broadcast_one_to_all(np.asarray(value)))


def together() -> None:
    """Returns when all processes are here."""
    agreed(0)


def by_first(action: Callable[[], Any]) -> None:
    """Has the first process do something; returns on all when it is done.

    Raises:
        UsageError: that which `action` raises, on all processes.
    """
    if jax.process_count() == 1:
        action()
        return
    text = ""
    if jax.process_index() == 0:
        try:
            action()
        except UsageError as error:
            text = str(error)
    told = np.zeros(_BYTES, np.uint8)
    encoded = text.encode()[:_BYTES]
    told[: len(encoded)] = list(encoded)
    if text := bytes(agreed(told)).rstrip(b"\0").decode(errors="ignore"):
        raise UsageError(text)
