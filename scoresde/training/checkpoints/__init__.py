"""Checkpoints on disk: written in the background, restored onto any number of devices.

This folder alone knows Orbax. `directory.py` is the checkpoints of a run, `items.py` what is in
one, `reading.py` how one is read back, `retention.py` which are kept.
"""

from scoresde.training.checkpoints.directory import Checkpoints

__all__ = ["Checkpoints"]
