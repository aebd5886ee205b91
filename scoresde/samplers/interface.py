"""What every sampler offers: `check`, `times` and `run`. The driver knows nothing else of one.

A sampler of one's own is a frozen dataclass derived from `Sampler`, or from what is easier to
define where it applies: `GridSampler` (steps along a grid) or `Predictor` (Gaussian steps).
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from jax import Array

from scoresde.condition import Condition
from scoresde.denoiser import BaseDenoiser
from scoresde.plain import check_fields
from scoresde.registry import UsageError
from scoresde.samplers import final
from scoresde.samplers.observe import Observer
from scoresde.sdes import SDE
from scoresde.times import make_grid

Constraint = Callable[[Array, Array, Array, Condition], Array]
"""(keys, x, t, condition) -> x: what is known of the samples, imposed on x [batch, ...] at time t.

`keys` [batch] are one per sample, independent of those that the moves of the sampler use; the
condition is that of `sample`. What differs from sample to sample belongs there."""


class Samples(NamedTuple):
    """What a sampler returns.

    Attributes:
        x: the samples, [batch, ...], in the range of the data that the denoiser knows. A sample
            that an adaptive solver could not finish is NaN.
        nfe: evaluations of the denoiser that each sample took, [batch] int32.
        trajectory: None, or the states at the recorded times, [records, batch, ...], noise first;
            the final denoising is not among them.
    """

    x: Array
    nfe: Array
    trajectory: Any = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampler:
    """A sampler: from noise at the first time to samples at the last. Hashable, without arrays.

    Attributes:
        denoise: what is done with the noise left at the last time: "tweedie", "last_mean" or
            "none", or another `final.Final`.
    """

    denoise: str | final.Final = "tweedie"

    # The grid of times that suits the method, a name of `scoresde.times.GRIDS`; None for the
    # process's own.
    default_grid: ClassVar[str | None] = None

    # Whether every sample has steps of its own.
    adaptive: ClassVar[bool] = False

    def __post_init__(self):
        check_fields(self)
        object.__setattr__(self, "denoise", final.get(self.denoise))
        self.denoise.check(self)

    @property
    def last_predictor(self) -> Any:
        """The Predictor whose step to the clean data "last_mean" takes; None if there is none."""
        return None

    def check(self, denoiser: BaseDenoiser) -> None:
        """Raises UsageError where the method is undefined for this denoiser."""

    def check_constraint(self, constraint: Constraint | None) -> None:
        """Raises UsageError where the method has no moves after which to impose a constraint."""
        if self.adaptive and constraint is not None:
            raise UsageError(
                f"{type(self).__name__} takes steps of its own for every sample and has no place "
                "for a constraint, as a mask; take a sampler that steps along a grid, for instance "
                "pc or ddim."
            )

    def check_last(self, sde: SDE, t: Array) -> None:
        """Raises UsageError where the method asks for what is undefined at its last time."""

    def times(self, sde: SDE, steps: int | None, grid: Any) -> Array:
        """The decreasing times [steps + 1] to visit; see `scoresde.times.make_grid`."""
        return make_grid(sde, steps, self.default_grid if grid is None else grid)

    def run(
        self,
        keys: Array,
        x: Array,
        times: Array,
        steps: Array,
        denoiser: BaseDenoiser,
        condition: Condition,
        constraint: Constraint | None,
        observer: Observer,
    ) -> Samples:
        """Samples from x [batch, ...] at times[0] to times[steps]; later times are not used.

        Args:
            keys: one per sample, [batch].
            x: the states to start from.
            times: decreasing, filled up to a length that many grids share.
            steps: the number of steps, an integer that need not be known when this is compiled.
            denoiser: the denoiser.
            condition: what is known of each sample, or None.
            constraint: what to impose after every move, or None.
            observer: what to record and report.

        Raises:
            UsageError: the method has no trajectory.
        """
        raise TypeError(f"{type(self).__name__} must define run.")
