"""Which checkpoints are kept when later ones come."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from orbax.checkpoint import checkpoint_managers


@dataclasses.dataclass(frozen=True)
class FirstOfEvery(checkpoint_managers.PreservationPolicy):
    """Keeps the first checkpoint at or after each multiple of `interval` steps.

    What it keeps does not change when the checkpoints that it does not keep are deleted.
    """

    interval: int

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> Sequence[bool]:
        del context
        multiples = [info.step // self.interval for info in checkpoints]
        return [now > before for before, now in zip([0, *multiples], multiples)]


def policy(keep: int | None, keep_every: int | None) -> checkpoint_managers.PreservationPolicy:
    """Keeps the latest `keep` (None: all), and the first of every `keep_every` steps (None: none).

    Both are at least 1.
    """
    policies: list[checkpoint_managers.PreservationPolicy] = [checkpoint_managers.LatestN(keep)]
    if keep_every is not None:
        policies.append(FirstOfEvery(keep_every))
    return checkpoint_managers.AnyPreservationPolicy(policies)
