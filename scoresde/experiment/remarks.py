"""What a config asks for that is allowed, and hardly meant."""

from collections.abc import Mapping
from typing import Any

from scoresde.experiment.averages import build_averages
from scoresde.experiment.build import plain, warmup_of
from scoresde.experiment.sections import Config, Training, read
from scoresde.training import EMA

# Of an average; more of the initial weights shows in the samples.
_HELD = 0.01


def too_short(config: Mapping[str, Any]) -> list[str]:
    """What the run of `config` is too short for, a sentence each.

    Args:
        config: as `scoresde.build` takes it.
    """
    sections = read(Config, plain(config))
    training = read(Training, sections.training, "training")
    steps, remarks = training.num_steps, []
    warmup = warmup_of(sections.optimizer)
    if warmup >= steps:
        remarks.append(
            f"The learning rate still rises when the run ends: config.optimizer.warmup is {warmup} "
            f"and config.training.num_steps {steps}."
        )
    for name, average in build_averages(training).items():
        held = average.start_weight(steps) if isinstance(average, EMA) else 0.0
        if held > _HELD:
            remarks.append(
                f"After {steps} steps, {held:.0%} of the average {name!r} will be what the run "
                "began with: set config.training.ema_warmup=inverse, or a lower rate."
            )
    return remarks
