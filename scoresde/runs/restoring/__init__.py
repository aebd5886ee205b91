"""Restoring and editing real images with a trained model.

    run = scoresde.load("runs/digits")
    run.restore(runs.InpaintRequest(input="broken", box="2,2,4,4", samples=4), out="mended")

request         what all have in common; restore, inpaint, colorize and edit are the four
methods         how samples are made to have an observation
inputs, masks   picture files, and what they are refused for
job, results    the drawing, in parts, and what is written
"""

from scoresde.runs.restoring.colorize import ColorizeRequest
from scoresde.runs.restoring.edit import EDITS, EditRequest
from scoresde.runs.restoring.inpaint import InpaintRequest
from scoresde.runs.restoring.job import restore_images
from scoresde.runs.restoring.methods import METHODS
from scoresde.runs.restoring.request import RestorationRequest
from scoresde.runs.restoring.restore import RestoreRequest

__all__ = [
    "EDITS",
    "METHODS",
    "ColorizeRequest",
    "EditRequest",
    "InpaintRequest",
    "RestorationRequest",
    "RestoreRequest",
    "restore_images",
]
