"""Decoding a data set once: into one array in memory, or into a directory that is kept.

A cache directory has the layout that `scoresde.data.arrays` reads, so a later run memory-maps it in
an instant, processes of a host share it, and a set may be larger than memory.
"""

import contextlib
import contextvars
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from scoresde import files
from scoresde.data.arrays import arrays
from scoresde.data.mapped import new_map
from scoresde.data.source import Source
from scoresde.registry import UsageError

_tell: contextvars.ContextVar[Callable[[int, int], None] | None]
_tell = contextvars.ContextVar("tell", default=None)


@contextlib.contextmanager
def telling(tell: Callable[[int, int], None]) -> Iterator[None]:
    """Within the block, `tell(done, count)` is called for each image that `stack` has loaded."""
    token = _tell.set(tell)
    try:
        yield
    finally:
        _tell.reset(token)


def stack(
    count: int,
    load: Callable[[int], np.ndarray],
    *,
    name: Callable[[int], str],
    file: pathlib.Path | None = None,
    workers: int = 1,
) -> np.ndarray:
    """The images `load(0)`, ..., `load(count - 1)`: uint8 [count, height, width, channels].

    Args:
        count: number of images, at least one.
        load: gives the pixels of an image, uint8 [height, width, channels].
        name: what to call an image in an error message.
        file: an .npy file to hold the images instead of memory.
        workers: number of threads that call `load`.

    Raises:
        UsageError: images of different shapes.
    """
    first = load(0)
    shape = (count, *first.shape)
    images = np.empty(shape, np.uint8) if file is None else new_map(file, shape)
    images[0] = first

    def fill(i):
        image = load(i)
        if image.shape != first.shape:
            raise UsageError(
                f"{name(i)} has shape {list(image.shape)}, but {name(0)} has {list(first.shape)}; "
                "set image_size to crop and resize all images to one size."
            )
        images[i] = image

    tell = _tell.get() or (lambda done, count: None)
    tell(1, count)
    if workers == 1:
        for i in range(1, count):
            fill(i)
            tell(i + 1, count)
    else:
        with ThreadPoolExecutor(workers) as pool:
            try:
                for done, _ in enumerate(pool.map(fill, range(1, count)), start=2):
                    tell(done, count)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    if file is not None:
        images.flush()
    return images


def cached(
    directory: str | None,
    options: Mapping[str, Any],
    decode: Callable[[pathlib.Path | None], Source],
) -> Source:
    """The source that `decode` makes, kept in `directory` for the next time.

    Args:
        directory: where the decoded images are or will be; None decodes into memory.
        options: all that the images depend on; a cache made with other options is refused.
        decode: decodes the images of a split into `<folder>/<split>_image.npy` of the folder it is
            given (`stack` does), or into memory if that is None. Images and further arrays of a
            split it may also leave in memory, or in files in folders of that folder.

    Raises:
        UsageError: the directory holds something else, or a cache made with other options; or it
            cannot be written to.
    """
    if directory is None:
        return decode(None)
    options = json.loads(json.dumps(options))
    directory = pathlib.Path(directory).expanduser()
    note = directory / "source.json"
    if not note.exists():
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise UsageError(
                f"cache={str(directory)!r} exists, but holds no decoded images; name a new one."
            )
        _write(directory, options, decode)
    made_with = files.read_json(note).get("options")
    if made_with != options:
        raise UsageError(
            f"cache={str(directory)!r} was made with {made_with}, not {options}; name another "
            "directory, or delete this one."
        )
    return arrays(str(directory))


def _write(directory, options, decode):
    # Complete or absent: everything is written beside its place and moved there in one step.
    with files.writing(directory):
        directory.parent.mkdir(parents=True, exist_ok=True)
        work = pathlib.Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        source = decode(work)
        for key, split in source.splits.items():
            labels = {"label": split.labels} if source.label_names else {}
            for name, array in {"image": split.images, **labels, **split.named}.items():
                if not (file := work / f"{key}_{name}.npy").exists():
                    _save(file, array, work)
        for folder in [path for path in work.iterdir() if path.is_dir()]:
            shutil.rmtree(folder)
        note = {
            "name": source.name,
            "bins": source.bins,
            "label_names": source.label_names,
            "attribution": source.attribution,
            "options": options,
        }
        files.write_text(work / "source.json", json.dumps(note, indent=1))
        work.chmod(0o755)  # mkdtemp gives the directory to its owner alone
        try:
            os.replace(work, directory)
        except OSError:
            if not (directory / "source.json").exists():  # else another process was first
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _save(file, array, work):
    """Writes an array, or moves the file below `work` that it is mapped from."""
    mapped = next((a for a in (array, array.base) if isinstance(a, np.memmap)), None)
    whole = mapped is not None and mapped.shape == array.shape
    if whole and pathlib.Path(mapped.filename).is_relative_to(work.resolve()):
        os.replace(mapped.filename, file)
    else:
        written = new_map(file, array.shape, array.dtype)
        written[...] = array
        written.flush()
