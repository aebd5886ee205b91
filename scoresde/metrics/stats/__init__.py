"""Files of statistics: moments or features of a set of images, as the published tools keep them.

reference = metrics.stats.read("cifar10.npz")
metrics.stats.write("generated.npz", moments)

Read: the files of pytorch-fid, TTUR, clean-fid (moments and features), EDM, EDM2, guided-diffusion,
torch-fidelity (moments and features), score_sde and dgm-eval. Nothing that they contain is run.
"""

from scoresde.metrics.stats.protocols import refuse_other_features
from scoresde.metrics.stats.reading import StoredStatistics, read
from scoresde.metrics.stats.writing import FORMATS, SUFFIXES, write, write_features

__all__ = [
    "FORMATS",
    "SUFFIXES",
    "StoredStatistics",
    "read",
    "refuse_other_features",
    "write",
    "write_features",
]
