"""TFRecord files without TensorFlow.

A file is a sequence of frames: the length of the record (uint64, little endian), four bytes of
checksum of the length, the record, four bytes of checksum of the record. The checksums are not
verified; a truncated file is noticed by its lengths.
"""

import os
import pathlib
import struct
from collections.abc import Sequence

import numpy as np

from scoresde.data.cache import cached, stack
from scoresde.data.source import Source
from scoresde.data.split import Split
from scoresde.registry import UsageError

_HEADER = struct.Struct("<QI")
_FOOTER = 4


def index(path: str | os.PathLike) -> list[tuple[int, int]]:
    """The position and length in bytes of every record of a file.

    Raises:
        UsageError: the file ends within a record.
    """
    size = os.path.getsize(path)
    records, position = [], 0
    with open(path, "rb") as file:
        while position < size:
            file.seek(position)
            header = file.read(_HEADER.size)
            length = _HEADER.unpack(header)[0] if len(header) == _HEADER.size else size
            start = position + _HEADER.size
            position = start + length + _FOOTER
            if position > size:
                raise UsageError(
                    f"{str(path)!r} is no TFRecord file, or a truncated one: a record of {length} "
                    f"bytes begins at byte {start - _HEADER.size} of {size}."
                )
            records.append((start, length))
    return records


class Records(Sequence):
    """The records, as bytes, of several TFRecord files in order, by number.

    Args:
        parts: (path, skip, take) of each file: the records to leave out at its start, and the
            number to use of the rest; None takes all.

    Raises:
        UsageError: a file ends within a record.
    """

    def __init__(self, parts: Sequence[tuple[str | os.PathLike, int, int | None]]):
        self._where = []
        for path, skip, take in parts:
            stop = None if take is None else skip + take
            self._where += [(path, *where) for where in index(path)[skip:stop]]

    def __len__(self):
        return len(self._where)

    def __getitem__(self, number):
        path, start, length = self._where[number]
        with open(path, "rb") as file:
            file.seek(start)
            return file.read(length)


def tfrecords(path: str, *, test_path: str | None = None, cache: str | None = None) -> Source:
    """Images in the TFRecord layout of progressive GANs and StyleGAN, as FFHQ and CelebA-HQ come.

    Each record is a `tf.train.Example` with the features `shape` (three integers: channels, height,
    width) and `data` (the bytes of a uint8 array of that shape). Such files hold one resolution
    each; the file names end in its logarithm, as in `ffhq-r08.tfrecords` for 256 pixels.

    Args:
        path: the file with the training images.
        test_path: a file with test images, if there is one.
        cache: a directory in which to keep the decoded images, memory-mapped from then on.

    Raises:
        UsageError: no such file, or records of another layout or of different shapes.
    """
    paths = {"train": path} | ({} if test_path is None else {"test": test_path})
    paths = {key: os.path.abspath(os.path.expanduser(file)) for key, file in paths.items()}
    for file in paths.values():
        if not os.path.isfile(file):
            raise UsageError(f"There is no TFRecord file {str(file)!r}.")

    def decode(work):
        splits = {}
        for key, file in paths.items():
            records = Records([(file, 0, None)])
            if not records:
                raise UsageError(f"{str(file)!r} holds no records.")
            splits[key] = Split(
                stack(
                    len(records),
                    lambda i, records=records, file=file: _pixels(records[i], file, i),
                    name=lambda i, file=file: f"record {i} of {str(file)!r}",
                    file=work and work / f"{key}_image.npy",
                )
            )
        return Source(name=pathlib.Path(path).stem, splits=splits, attribution=f"images in {path}")

    return cached(cache, {"tfrecords": paths}, decode)


def _pixels(record, file, number):
    from google.protobuf.message import DecodeError
    from tensorflow_datasets.proto import tf_example_pb2

    example = tf_example_pb2.Example()
    try:
        example.ParseFromString(record)
        features = example.features.feature
        shape = tuple(features["shape"].int64_list.value)
        pixels = np.frombuffer(features["data"].bytes_list.value[0], np.uint8)
        return np.transpose(pixels.reshape(shape), (1, 2, 0))
    except (DecodeError, IndexError, ValueError) as error:
        raise UsageError(
            f"Record {number} of {str(file)!r} does not hold `shape` and `data` of an image "
            f"({type(error).__name__}: {error})."
        ) from error
