"""Runs: a work directory, and all that is done with it.

run = scoresde.load("runs/digits")
drawn = run.generate(64)
result = run.likelihood(runs.LikelihoodProtocol(split="test"))
train(config, "runs/mine")
"""

from scoresde.runs.averages import MadeAverage, make_average
from scoresde.runs.classifier import (
    check_trains_classifier,
    measure_classifier,
    train_classifier,
    trained_classifier,
)
from scoresde.runs.dequantizer import train_dequantizer
from scoresde.runs.dry_run import dry_run
from scoresde.runs.flow import trained_flow
from scoresde.runs.generate import Generated, condition_in_turn, generate, recording
from scoresde.runs.likelihood import measure_likelihood
from scoresde.runs.pretrained import Imported, import_checkpoint
from scoresde.runs.protocol import LikelihoodProtocol
from scoresde.runs.quality import evaluate
from scoresde.runs.quality_protocol import Cell, QualityProtocol
from scoresde.runs.restoring import (
    ColorizeRequest,
    EditRequest,
    InpaintRequest,
    RestorationRequest,
    RestoreRequest,
    restore_images,
)
from scoresde.runs.run import Run
from scoresde.runs.samples import SampleRequest, draw_samples
from scoresde.runs.train import train
from scoresde.runs.trained_model import TrainedModel
from scoresde.runs.workdir import save_config, saved_config

__all__ = [
    "Cell",
    "ColorizeRequest",
    "EditRequest",
    "Generated",
    "Imported",
    "InpaintRequest",
    "LikelihoodProtocol",
    "MadeAverage",
    "QualityProtocol",
    "RestorationRequest",
    "RestoreRequest",
    "Run",
    "SampleRequest",
    "TrainedModel",
    "check_trains_classifier",
    "condition_in_turn",
    "draw_samples",
    "dry_run",
    "evaluate",
    "measure_classifier",
    "measure_likelihood",
    "generate",
    "import_checkpoint",
    "make_average",
    "saved_config",
    "recording",
    "restore_images",
    "save_config",
    "train",
    "train_classifier",
    "train_dequantizer",
    "trained_classifier",
    "trained_flow",
]
