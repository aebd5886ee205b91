"""Any image data set of tensorflow-datasets, read without TensorFlow.

Preparing a data set (download, convert) needs TensorFlow once:

    pip install -e '.[tf]'
    python -m scoresde.data.prepare cifar10 --data_dir DIR

Reading needs neither TensorFlow nor a network. Sets prepared elsewhere are read as they are: in the
array_record and parquet formats, and in tfrecord, the default of tensorflow-datasets.
"""

import difflib

import numpy as np

from scoresde.data.cache import cached, stack
from scoresde.data.decode import check_sizes, fit
from scoresde.data.source import Source
from scoresde.data.split import Split
from scoresde.data.tfrecord import Records
from scoresde.registry import UsageError


def tfds(
    dataset: str,
    *,
    data_dir: str | None = None,
    train: str = "train",
    test: str | None = None,
    image_key: str = "image",
    label_key: str = "label",
    image_size: int | None = None,
    crop: int | None = None,
    cache: str | None = None,
) -> Source:
    """Images of a tensorflow-datasets data set, decoded once; 256 levels.

    Args:
        dataset: its name, with a config and version if need be: "cifar10", "svhn_cropped",
            "lsun/church:3.1.0".
        data_dir: the folder that holds prepared data sets; default: `TFDS_DATA_DIR` if it is set,
            or `~/tensorflow_datasets`.
        train: which of its splits to use for training, "train[:90%]" and the like included.
        test: which to use for testing; default: "test", or "validation" where there is no "test".
        image_key: the feature that holds the image.
        label_key: the feature that holds the label; where there is none, images are unlabeled.
        image_size: side in pixels to which the largest central square is resized, with
            antialiasing; None if all images have one size.
        crop: side in pixels of a central square to cut out first (140 for CelebA); None for none.
        cache: a directory in which to keep the decoded images, memory-mapped from then on; for sets
            larger than memory, or slow to decode.

    Raises:
        UsageError: an unknown data set or split, one that is not prepared (with the command that
            prepares it), or one without images of one size.
    """
    check_sizes(image_size, crop)
    options = {
        "tfds": dataset,
        "train": train,
        "test": test,
        "image_key": image_key,
        "label_key": label_key,
        "image_size": image_size,
        "crop": crop,
    }

    def decode(work):
        builder = make_builder(dataset, data_dir)
        names = _label_names(builder, image_key, label_key)
        splits = {}
        for key, split in _chosen(builder, train, test).items():
            splits[key] = _read(
                _records(builder, dataset, split, data_dir),
                f"{dataset} {split}",
                image_key,
                label_key if names else None,
                image_size,
                crop,
                work and work / f"{key}_image.npy",
            )
        return Source(
            name=dataset,
            splits=splits,
            label_names=names,
            attribution=f"{dataset}, from tensorflow-datasets; {builder.info.homepage or ''}",
        )

    return cached(cache, options, decode)


def cifar10(*, data_dir: str | None = None, cache: str | None = None) -> Source:
    """CIFAR-10 (Krizhevsky 2009), 32x32x3: `tfds` with `dataset="cifar10"`.

    Args:
        data_dir: the folder that holds prepared data sets; default: as of `tfds`.
        cache: a directory in which to keep the decoded images.
    """
    return tfds("cifar10", data_dir=data_dir, cache=cache)


def make_builder(dataset: str, data_dir: str | None, **options):
    """The tensorflow-datasets builder called `dataset`; `options` are `tfds.builder`'s own.

    Raises:
        UsageError: there is no such data set, config, version or option.
    """
    import tensorflow_datasets

    try:
        return tensorflow_datasets.builder(dataset, data_dir=data_dir, **options)
    except tensorflow_datasets.core.registered.DatasetNotFoundError:
        known = tensorflow_datasets.list_builders(with_community_datasets=False)
        close = difflib.get_close_matches(dataset.split("/")[0].split(":")[0], known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise UsageError(
            f"tensorflow-datasets knows no data set {dataset!r}, and none of that name is prepared "
            f"in {data_dir or 'its default folder'}.{hint}"
        ) from None
    except (ValueError, AssertionError) as error:
        raise UsageError(f"tensorflow-datasets, {dataset!r}: {_one_line(error)}") from error


def _label_names(builder, image_key, label_key):
    features = builder.info.features
    if image_key not in features:
        raise UsageError(
            f"{builder.name} has no feature {image_key!r}; set image_key to one of "
            f"{', '.join(sorted(features))}."
        )
    if label_key not in features:
        return ()
    return tuple(getattr(features[label_key], "names", None) or ())  # only ClassLabel has names


def _chosen(builder, train, test):
    if test is None:
        known = set(builder.info.splits)  # empty before a data set is prepared
        test = "test" if "test" in known or not known else "validation"
        if known and test not in known:
            return {"train": train}
    return {"train": train, "test": test}


def _records(builder, dataset, split, data_dir):
    info = builder.info
    if not info.splits:
        try:
            return builder.as_data_source(split)
        except (KeyError, NotImplementedError, AssertionError) as error:
            where = f" --data_dir {data_dir}" if data_dir else ""
            raise UsageError(
                f"The data set {dataset!r} is not prepared in {builder.data_path}. Prepare it "
                f"once, with a network: pip install -e '.[tf]', then "
                f"python -m scoresde.data.prepare {dataset}{where}"
            ) from error
    try:
        if info.file_format.value == "tfrecord":
            return _TFRecordSource(info.splits[split].file_instructions, info.features)
        return builder.as_data_source(split)
    except (KeyError, NotImplementedError, ValueError) as error:
        raise UsageError(f"{dataset}, split {split!r}: {_one_line(error)}") from error


class _TFRecordSource:
    """Decoded records of a split that was prepared in tensorflow-datasets' default format."""

    def __init__(self, instructions, features):
        self._records = Records([(part.filename, part.skip, part.take) for part in instructions])
        self._features = features

    def __len__(self):
        return len(self._records)

    def __getitem__(self, number):
        return self._features.deserialize_example_np(self._records[number])


def _read(records, name, image_key, label_key, image_size, crop, file):
    from PIL import Image

    labels = np.zeros(len(records), np.int32)
    resize = image_size is not None or crop is not None

    def load(i):
        record = records[i]
        image = record[image_key]
        if label_key is not None:
            labels[i] = record[label_key]
        if getattr(image, "dtype", None) != np.uint8 or image.ndim != 3:
            raise UsageError(f"{name}: {image_key!r} is no uint8 image; set image_key to one.")
        if not resize:
            return image
        channels = image.shape[2]
        picture = Image.fromarray(image[..., 0] if channels == 1 else image)
        return fit(picture, image_size, crop, 1 if channels == 1 else 3)

    if not len(records):
        raise UsageError(f"{name} holds no records.")
    images = stack(len(records), load, name=lambda i: f"{name}, record {i},", file=file)
    return Split(images, labels)


def _one_line(error) -> str:
    return " ".join(str(error).split())
