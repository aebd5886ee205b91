"""Training objectives: denoising score matching, variational bounds, and noisy classification.

All are made and called alike, so that any of them is built by its name:

    objective = OBJECTIVES[name](sde=sde, prediction=kind, network=network, codec=codec, **options)
    loss = objective(params, key, images, condition, train=True)

`images` are records of the data, [batch, ...]: an objective encodes them, or takes them as they
are, as it needs. Where `trains_schedule`, the process is trained too, and `params` are those of
both, {"network": ..., "sde": ...} with the learned fields of the process; else the network's.
Where `trains_classifier`, the network gives logits, and the condition "label" is their target.

An objective may remember what is not its parameters from step to step. Then `init_memory()` is what
there is before the first, else None, and training calls

    loss, memory = objective.remembering(memory, params, key, images, condition, train=True)

One that can say what its loss is made of has `observed`, which training calls instead: the loss and
the memory, and of each sample its loss and its time, which are logged by the level of the noise.
"""

from scoresde.losses.classification import ClassificationLoss
from scoresde.losses.denoising import REDUCTIONS, DenoisingScoreMatching
from scoresde.losses.hybrid import ChainLoss, HybridLoss
from scoresde.losses.noise_levels import LEVELS, level_of, level_words
from scoresde.losses.snr_weightings import MinSNRWeighting, P2Weighting, SigmoidWeighting
from scoresde.losses.timed import TimedLoss, observes
from scoresde.losses.uncertainty import UncertaintyLoss
from scoresde.losses.variational import VariationalLoss, schedule_loss
from scoresde.losses.weightings import (
    WEIGHTINGS,
    EDMWeighting,
    LikelihoodWeighting,
    NoiseWeighting,
)

OBJECTIVES = {
    "classification": ClassificationLoss,
    "denoising": DenoisingScoreMatching,
    "hybrid": HybridLoss,
    "uncertainty": UncertaintyLoss,
    "vlb": ChainLoss,
    "variational": VariationalLoss,
}

__all__ = [
    "LEVELS",
    "OBJECTIVES",
    "REDUCTIONS",
    "WEIGHTINGS",
    "ChainLoss",
    "ClassificationLoss",
    "DenoisingScoreMatching",
    "EDMWeighting",
    "HybridLoss",
    "LikelihoodWeighting",
    "MinSNRWeighting",
    "NoiseWeighting",
    "P2Weighting",
    "SigmoidWeighting",
    "TimedLoss",
    "UncertaintyLoss",
    "VariationalLoss",
    "level_of",
    "level_words",
    "observes",
    "schedule_loss",
]
