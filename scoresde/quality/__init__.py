"""How good samples are: features of images, and measures of two sets of them, with their errors.

    extractor = metrics.features.get("inception")
    generated = quality.extract(read, num, extractor, name="the samples", mesh=mesh)
    numbers = quality.measure(quality.measures(["fid", "kid"], extractor), generated, reference)

`scoresde evaluate` does it for the samples of a run, `scoresde evaluate --images` for any others.
"""

from scoresde.quality.evaluate_images import evaluate_images
from scoresde.quality.extract import extract, look, to_8_bits
from scoresde.quality.feature_set import FeatureSet
from scoresde.quality.images import Images, open_images
from scoresde.quality.measures import (
    BITS,
    HIGHER_IS_BETTER,
    MEASURES,
    Number,
    check_possible,
    label,
    least_of,
    measure,
    measures,
    nearest,
    options_of,
)
from scoresde.quality.page import page
from scoresde.quality.reference import check_there, of_anything, of_file, of_split, read_statistics
from scoresde.quality.report import DONE, as_json, best_row, plain, versions, write_report

__all__ = [
    "BITS",
    "DONE",
    "HIGHER_IS_BETTER",
    "MEASURES",
    "FeatureSet",
    "Images",
    "Number",
    "as_json",
    "best_row",
    "check_possible",
    "check_there",
    "evaluate_images",
    "extract",
    "label",
    "least_of",
    "look",
    "measure",
    "measures",
    "nearest",
    "of_anything",
    "of_file",
    "of_split",
    "open_images",
    "options_of",
    "page",
    "plain",
    "read_statistics",
    "to_8_bits",
    "versions",
    "write_report",
]
