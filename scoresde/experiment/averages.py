"""The averages of the parameters that a config names."""

from typing import Any

from scoresde.experiment.sections import Training, defaults, named
from scoresde.registry import UsageError, make, shown
from scoresde.training import AVERAGES, EMA
from scoresde.training.snapshots import DTYPES, followed


def build_averages(training: Training) -> dict[str, Any]:
    """The averages of the parameters that training keeps, by name.

    Raises:
        UsageError: an unknown one, one that is there twice, or snapshots of none.
    """
    plain_ema = {
        "ema_rate": training.ema_rate,
        "ema_half_life": training.ema_half_life,
        "ema_warmup": training.ema_warmup,
    }
    if "ema" in training.averages and not plain_ema.items() <= defaults(Training).items():
        raise UsageError(
            "config.training.averages.ema is there twice: ema_rate, ema_half_life and ema_warmup "
            "of config.training are options of that average, too. Leave out the one or the other."
        )
    averages = {"ema": EMA(rate=_rate(training), warmup=training.ema_warmup)}
    for name, options in training.averages.items():
        options = named(f"training.averages.{name}", options)
        averages[name] = make("average", AVERAGES, **options)
    if training.snapshot_dtype not in DTYPES:
        raise UsageError(
            f"config.training.snapshot_dtype is one of {', '.join(DTYPES)}, not "
            f"{shown(training.snapshot_dtype)}."
        )
    if training.snapshot_every and not followed(averages):
        raise UsageError(
            "config.training.snapshot_every takes snapshots of power-function averages, and there "
            'is none: set config.training.averages={"short": {"name": "power", "length": 0.05}, '
            '"long": {"name": "power", "length": 0.1}}.'
        )
    return averages


def _rate(training: Training) -> float:
    """The rate of "ema", or that of its half-life in images."""
    rate, half_life = training.ema_rate, training.ema_half_life
    if half_life is None:
        return rate
    if rate != defaults(Training)["ema_rate"] or not half_life > 0:
        raise UsageError(
            f"config.training.ema_half_life={half_life} is a number of images, in place of "
            f"ema_rate, which is {rate}: give one of them."
        )
    return 0.5 ** (training.batch_size / half_life)
