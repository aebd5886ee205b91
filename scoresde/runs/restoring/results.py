"""What is written of restored images: a picture a sample, and a sheet of all."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from scoresde import files, jobs
from scoresde.data import pictures

DONE = "restoration.json"
"""The file that says how the samples were made."""

SHEET = "sheet.png"

# Of the sheet: inputs, and samples of each.
_ROWS, _SAMPLES = 24, 8


def remove_earlier(directory: pathlib.Path) -> None:
    """Deletes the pictures that the results in a directory say are theirs, and the sheet."""
    done = directory / DONE
    if not done.exists():
        return
    for source in files.read_json(done).get("inputs", []):
        for name in source.get("results", []):
            path = directory / name
            if path.resolve().is_relative_to(directory.resolve()):
                path.unlink(missing_ok=True)
    (directory / SHEET).unlink(missing_ok=True)


def write_pictures(
    directory: pathlib.Path, names: Sequence[str], images: np.ndarray, bins: int
) -> list[list[pathlib.Path]]:
    """NAME_K.png of each input and sample; returns their paths, a list an input.

    Args:
        directory: where to.
        names: of the inputs, n of them.
        images: levels [n, samples, height, width, channels].
        bins: number of levels, which a picture stretches to 0 .. 255.
    """
    paths = []
    for name, samples in zip(names, images):
        paths.append([directory / f"{name}_{k}.png" for k in range(len(samples))])
        for path, sample in zip(paths[-1], samples):
            pictures.save_picture(path, sample, bins=bins)
    return paths


def write_sheet(
    directory: pathlib.Path, shown: Mapping[str, np.ndarray], images: np.ndarray, bins: int
) -> list[pathlib.Path]:
    """The sheet, a row for each of the first inputs; returns its path if it could be drawn.

    Columns are `shown`, the first samples and, of several, the mean and the standard deviation,
    where white is half of all levels, which is the most that there is.

    Args:
        directory: where to.
        shown: what is before the samples, levels [n, height, width, channels] by name.
        images: levels [n, samples, height, width, channels].
        bins: number of levels.
    """
    columns = [*shown.values(), *np.moveaxis(images[:, :_SAMPLES], 1, 0)]
    if images.shape[1] > 1:
        mean, std = images.mean(axis=1), images.std(axis=1)
        columns += [np.round(mean), np.round(2 * std).clip(0, bins - 1)]
    rows = np.stack(columns, axis=1)[:_ROWS].astype(np.uint8)
    path = directory / SHEET
    with jobs.picture(path):
        flat = rows.reshape(-1, *rows.shape[2:])
        pictures.save_grid(path, flat, columns=rows.shape[1], bins=bins)
    return [path] if path.exists() else []
