"""Sub-chains of a trained chain: which of its levels sampling visits (improved DDPM, section 4).

    grid = {"name": "respaced", "spacing": "250"}     # of 1000 levels every fourth, about
    samplers.sample(key, sampler, denoiser, shape, grid=grid)

A step from one visited level to the next is that of the process between their times, beta and the
learned variance's bounds included (arXiv:2102.09672, equation 19).
"""

import dataclasses

import numpy as np

from scoresde.registry import UsageError
from scoresde.sdes import SDE


def respaced_levels(levels: int, spacing: str) -> np.ndarray:
    """The levels that are visited, ascending integers in 0 .. levels - 1.

    Args:
        levels: of the trained chain, T.
        spacing: "N" for N levels, the first and the last among them, as evenly as whole numbers
            are; "N,M,..." for as many in each of equal sections of the chain, its noisiest last, 0
            in some of them for none; or
            "ddimN" for an integer stride from level 0 on, which may end below the last level
            (arXiv:2010.02502).

    Raises:
        UsageError: another text, or more levels than there are.
    """
    spacing = str(spacing)
    if spacing.startswith("ddim"):
        return _with_stride(levels, _count(spacing.removeprefix("ddim"), spacing))
    counts = [_count(part, spacing, least=0) for part in spacing.split(",")]
    if not any(counts):
        raise UsageError(f"The spacing {spacing!r} visits no level.")
    size, rest = divmod(levels, len(counts))
    found, start = [], 0
    for number, count in enumerate(counts):
        length = size + (number < rest)
        if count > length:
            raise UsageError(
                f"The spacing {spacing!r} asks for {count} levels of a section that has {length}."
            )
        stride = (length - 1) / (count - 1) if count > 1 else 1
        at = 0.0
        for _ in range(count):  # added up, as the published samplers do: rounding is theirs
            found.append(start + round(at))
            at += stride
        start += length
    return np.array(found)


def respaced_grid(sde: SDE, spacing: str) -> np.ndarray:
    """The decreasing times of `respaced_levels` of a discrete process, for `grid=` of samplers.

    Args:
        sde: a process with levels (`chain_steps`), such as `sdes.DiscreteVP`.
        spacing: see `respaced_levels`.

    Raises:
        UsageError: a process without levels, or as `respaced_levels`.
    """
    if sde.chain_steps is None:
        raise UsageError(f"{sde} has no levels to leave out: take steps and a grid by name.")
    levels = respaced_levels(sde.chain_steps + 1, spacing)
    span = sde.t_max - sde.t_min
    return (sde.t_min + span * levels / sde.chain_steps)[::-1].copy()


@dataclasses.dataclass(frozen=True, kw_only=True)
class RespacedGrid:
    """Some of the levels of a chain, as improved DDPM leaves out the others; it knows its steps.

    Attributes:
        spacing: as of `respaced_levels`: "250", "10,15,20" or "ddim50".
    """

    spacing: str | int

    def all_times(self, sde: SDE) -> np.ndarray:
        """`respaced_grid`, which starts below t_max where the spacing ends before it."""
        return respaced_grid(sde, str(self.spacing))

    def __call__(self, sde: SDE, steps: int) -> np.ndarray:
        return self.all_times(sde)


def _with_stride(levels: int, count: int) -> np.ndarray:
    for stride in range(1, levels + 1):
        if len(range(0, levels, stride)) == count:
            return np.arange(0, levels, stride)
    raise UsageError(f"No integer stride visits {count} of {levels} levels: give {count} alone.")


def _count(text: str, spacing: str, least: int = 1) -> int:
    if not text.strip().isdecimal() or int(text) < least:
        raise UsageError(
            f"A spacing is a number of levels, numbers by section (10,15,20) or ddimN, not "
            f"{spacing!r}."
        )
    return int(text)
