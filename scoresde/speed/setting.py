"""What is reported of one setting of the process."""

import os
from typing import NamedTuple


class Setting(NamedTuple):
    """A setting of the process, or its absence.

    Attributes:
        name: what is set.
        value: what it is set to; "" where nothing is.
        why: who has set it, or why nobody has.
    """

    name: str
    value: str
    why: str


REFUSAL = "SCORESDE_FAST"


def refused() -> bool:
    """Whether the environment says SCORESDE_FAST=0, or no in another way."""
    word = os.environ.get(REFUSAL, "").strip().lower()
    return word in ("0", "00", "false", "no", "n", "none", "off")
