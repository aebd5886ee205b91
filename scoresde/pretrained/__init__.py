"""Readers of other projects' checkpoints, which run nothing that a file contains."""

from scoresde.pretrained.edm import load_edm
from scoresde.pretrained.edm2 import load_edm2
from scoresde.pretrained.formats import FORMATS, load_params
from scoresde.pretrained.model import Pretrained
from scoresde.pretrained.openai import load_openai
from scoresde.pretrained.score_sde import load_score_sde, load_score_sde_pytorch
from scoresde.pretrained.score_sde_classifier import load_score_sde_classifier

__all__ = [
    "FORMATS",
    "Pretrained",
    "load_edm",
    "load_edm2",
    "load_openai",
    "load_params",
    "load_score_sde",
    "load_score_sde_classifier",
    "load_score_sde_pytorch",
]
