"""Data the user already has as NumPy arrays, and the directory layout decoded images are kept in.

An .npz file holds either

    image [n, h, w, c] uint8,  label [n] (optional),  is_test [n] bool (optional)

or, for each of train, validation and test that there is,

    train_image, train_label (optional),  test_image, test_label (optional),  ...

and in both cases, optionally, label_names and bins (the number of gray levels; older files say
levels). A directory holds the second kind as `train_image.npy`, `train_label.npy`, ... and the rest
in `source.json`. Its images are memory-mapped: they may be larger than memory, are shared by the
processes of a host, and open at once.

Data that are no images are floating-point arrays [n, ...] in the place of the images. Further
arrays of numbers, one row for each image, are carried by their names: `text` beside `image`,
`train_text` and `test_text` beside `train_image` and `test_image`. Whatever else there is, such as
text as text, is left alone.
"""

import pathlib
import zipfile

import numpy as np

from scoresde import files
from scoresde.data.embedded import divide
from scoresde.data.source import Source, numbered
from scoresde.data.split import Split, is_numeric
from scoresde.registry import UsageError

# Keys of the layout itself.
_OWN = ("image", "label", "is_test", "label_names", "bins", "levels", "name", "attribution")
_LAYOUT = "expected `image` (with `label`, `is_test`), or `train_image` and `test_image`"


def arrays(
    path: str,
    *,
    bins: int | None = None,
    label_names: tuple[str, ...] = (),
    levels: int | None = None,
) -> Source:
    """Data from an .npz file or a directory of .npy files, laid out as this module describes.

    Args:
        path: the file or directory.
        bins: number of gray levels; default: what the file says, or 256, or None for real data.
        label_names: names of the labels; default: what the file says, or the numbers "0", "1", ...
        levels: `bins` by the name that older configs have.

    Raises:
        UsageError: no such file, one that cannot be read, or arrays that do not fit the layout.
    """
    path = pathlib.Path(path).expanduser()
    if path.is_dir():
        content = _read_directory(path)
    elif path.exists():
        content = _read_npz(path)
    else:
        raise UsageError(f"There is no file or directory {str(path)!r} to read arrays from.")
    splits = _splits(path, content)
    if not label_names:
        label_names = tuple(np.asarray(content.get("label_names", ())).tolist())
    if not label_names and any(k in content for k in ("label", "train_label", "test_label")):
        label_names = numbered(max(int(split.labels.max()) for split in splits.values()))
    known = (bins, levels, content.get("bins"), content.get("levels"))
    real = all(split.real for split in splits.values())
    bins = next((int(count) for count in known if count is not None), None if real else 256)
    return Source(
        name=str(content.get("name", path.stem)),
        splits=splits,
        bins=bins,
        label_names=label_names,
        attribution=str(content.get("attribution", f"read from {path}")),
    )


def _splits(path, content):
    if "image" in content:
        images = content["image"]
        further = _further(content, "", images.shape[:1])
        split = Split(images, content.get("label"), further)
        is_test = np.asarray(content.get("is_test", np.zeros(len(split), bool)))
        if is_test.dtype != bool or is_test.shape != (len(split),):
            raise UsageError(
                f"`is_test` in {str(path)!r} must be bool [{len(split)}], one for each image, "
                f"not {is_test.dtype} {list(is_test.shape)}."
            )
        return divide(split, is_test)
    splits = {
        key: Split(
            content[f"{key}_image"], content.get(f"{key}_label"), _further(content, f"{key}_")
        )
        for key in ("train", "validation", "test")
        if f"{key}_image" in content
    }
    if not splits:
        found = ", ".join(sorted(content)) or "nothing"
        raise UsageError(f"{str(path)!r} holds {found}; {_LAYOUT}.")
    return splits


def _further(content, prefix, rows=None):
    """The arrays of numbers called `prefix` and a name (only those of `rows`, if given)."""
    return {
        name.removeprefix(prefix): array
        for name, array in content.items()
        if name.startswith(prefix)
        and name.removeprefix(prefix) not in _OWN
        and isinstance(array, np.ndarray)
        and is_numeric(array)
        and (rows is None or array.shape[:1] == rows)
    }


def _read_npz(path):
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise UsageError(
            f"{str(path)!r} is not an .npz file of plain arrays ({error}); {_LAYOUT}."
        ) from error


def _read_directory(path):
    content = {}
    for file in sorted(path.glob("*.npy")):
        try:
            content[file.stem] = _plain(np.load(file, mmap_mode="r", allow_pickle=False))
        except (OSError, ValueError, EOFError) as error:
            raise UsageError(f"{str(file)!r} is not a plain .npy array ({error}).") from error
    note = path / "source.json"
    if note.exists():
        content.update(files.read_json(note))
    return content


def _plain(array):
    # Still memory-mapped, but indexing it costs no np.memmap bookkeeping.
    return array.view(np.ndarray)
