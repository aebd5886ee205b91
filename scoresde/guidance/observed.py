"""What methods share that are guided by an observation of x_0."""

from scoresde.condition import Condition
from scoresde.denoiser import BaseDenoiser, WrappedDenoiser
from scoresde.observations import Observation


class ObservedDenoiser(WrappedDenoiser):
    """A denoiser that is told of each sample, in its condition, what was observed of it.

    The condition holds "observation", and what else the observation reads.
    """

    denoiser: BaseDenoiser
    observation: Observation

    @property
    def condition_names(self) -> set[str] | None:
        known = self.denoiser.condition_names
        return None if known is None else known | {"observation", *self.observation.reads}

    def check_condition(self, condition: Condition) -> None:
        self.denoiser.check_condition(condition)
        self.observation.check_condition(condition)
