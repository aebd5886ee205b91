"""Data sets of tensorflow-datasets, prepared and read without TensorFlow."""

import importlib.util
import io
import json
import struct

import numpy as np
import pytest
import tensorflow_datasets
from PIL import Image
from tensorflow_datasets.proto import tf_example_pb2

from scoresde import data
from scoresde.data import prepare
from scoresde.registry import UsageError


def pictures(n, shape=(6, 5, 3), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def write_tfrecords(path, records):
    with open(path, "wb") as file:
        for record in records:
            file.write(struct.pack("<QI", len(record), 0) + record + struct.pack("<I", 0))


class TinyPictures(tensorflow_datasets.core.GeneratorBasedBuilder):
    """PNG images with labels, as CIFAR-10 is stored; its test part is called "validation"."""

    VERSION = tensorflow_datasets.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tensorflow_datasets.features.Image(shape=(6, 5, 3)),
            "label": tensorflow_datasets.features.ClassLabel(names=["cat", "dog"]),
        }
        return tensorflow_datasets.core.DatasetInfo(
            builder=self, features=tensorflow_datasets.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(12), "validation": self._generate_examples(4)}

    def _generate_examples(self, n):
        for i, image in enumerate(pictures(n)):
            file = io.BytesIO()
            Image.fromarray(image).save(file, "PNG")
            file.seek(0)
            yield i, {"image": file, "label": i % 2}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A data_dir that holds tiny_pictures in the array_record format."""
    data_dir = str(tmp_path_factory.mktemp("tfds"))
    TinyPictures(data_dir=data_dir, file_format="array_record").download_and_prepare()
    return data_dir


def by_content(images, labels):
    return sorted((image.tobytes(), int(label)) for image, label in zip(images, labels))


def test_cifar10_has_its_shape_splits_and_labels():
    with tensorflow_datasets.testing.mock_data(num_examples=7):
        source = data.get("cifar10")
        same = data.get("tfds", dataset="cifar10", test="test[:50%]")
    assert source.image_shape == (32, 32, 3) and source.bins == 256
    assert len(source.label_names) == 10
    assert len(source.splits["train"]) == len(source.splits["test"]) == 7
    assert len(np.unique(source.splits["train"].images)) > 200  # pictures, not zeros
    assert source.splits["train"].labels.dtype == np.int32
    np.testing.assert_array_equal(same.splits["train"].images, source.splits["train"].images)


def test_a_set_is_cropped_and_resized():
    with tensorflow_datasets.testing.mock_data(num_examples=3):
        source = data.get("tfds", dataset="mnist", image_size=8, crop=20)
    assert source.image_shape == (8, 8, 1)


def test_prepared_files_are_read_whole(prepared):
    source = data.get("tfds", dataset="tiny_pictures", data_dir=prepared)
    assert source.label_names == ("cat", "dog")
    assert set(source.splits) == {"train", "test"}  # the validation split serves as test
    for key, n in (("train", 12), ("test", 4)):
        split = source.splits[key]
        want = by_content(pictures(n), np.arange(n) % 2)
        assert by_content(split.images, split.labels) == want


def test_part_of_a_split_is_read_and_cached(prepared, tmp_path):
    options = {"dataset": "tiny_pictures", "data_dir": prepared, "cache": str(tmp_path / "cache")}
    whole = data.get("tfds", dataset="tiny_pictures", data_dir=prepared)
    for _ in range(2):
        source = data.get("tfds", train="train[:75%]", test="train[75%:]", **options)
        train, test = source.splits["train"], source.splits["test"]
        images = np.concatenate([train.images, test.images])
        np.testing.assert_array_equal(images, whole.splits["train"].images)
        assert len(train) == 9 and source.label_names == ("cat", "dog")


def test_the_tfrecord_format_is_read_without_tensorflow(prepared, tmp_path):
    # What TensorFlow would have written: the same serialized examples, framed as TFRecords.
    directory = tmp_path / "tiny_pictures/1.0.0"
    directory.mkdir(parents=True)
    built = TinyPictures(data_dir=prepared, file_format="array_record")
    for file in built.data_path.iterdir():
        if "array_record" not in file.name:
            content = file.read_text().replace("array_record", "tfrecord")
            (directory / file.name).write_text(content)
    assert json.loads((directory / "dataset_info.json").read_text())["fileFormat"] == "tfrecord"
    for split, n in (("train", 12), ("validation", 4)):
        records = [
            built.info.features.serialize_example(
                built.info.features.encode_example({"image": image, "label": i % 2})
            )
            for i, image in enumerate(_as_files(pictures(n)))
        ]
        write_tfrecords(directory / f"tiny_pictures-{split}.tfrecord-00000-of-00001", records)
    options = {"dataset": "tiny_pictures", "data_dir": str(tmp_path)}
    train = data.get("tfds", **options).splits["train"]
    np.testing.assert_array_equal(train.images, pictures(12))
    np.testing.assert_array_equal(train.labels, np.arange(12) % 2)
    part = data.get("tfds", train="train[25%:50%]", **options).splits["train"]
    np.testing.assert_array_equal(part.images, pictures(12)[3:6])


def _as_files(images):
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        yield io.BytesIO(file.getvalue())


def test_an_absent_set_says_how_to_prepare_it(tmp_path):
    command = f"python -m scoresde.data.prepare cifar10 --data_dir {tmp_path}"
    with pytest.raises(UsageError, match=f"not prepared in {tmp_path}/cifar10.*{command}"):
        data.get("cifar10", data_dir=str(tmp_path))


def test_unknown_names_are_refused(prepared, tmp_path):
    with pytest.raises(UsageError, match=r"no data set 'svhn_croped'.*Did you mean 'svhn_cropped'"):
        data.get("tfds", dataset="svhn_croped", data_dir=str(tmp_path))
    options = {"dataset": "tiny_pictures", "data_dir": prepared}
    with pytest.raises(UsageError, match="Unknown split 'tain'"):
        data.get("tfds", train="tain", **options)
    with pytest.raises(UsageError, match="no feature 'picture'; set image_key to one of image"):
        data.get("tfds", image_key="picture", **options)
    with pytest.raises(UsageError, match="is no uint8 image"):
        data.get("tfds", image_key="label", **options)


def test_preparing_without_tensorflow_says_what_to_install(tmp_path, capsys, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tensorflow" else real(name)
    )
    assert prepare.main(["cifar10", "--data_dir", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert "pip install -e '.[tf]'" in message and f"{tmp_path}/cifar10" in message
    assert message.count("\n") == 1


def test_preparing_writes_what_is_read_and_is_done_once(prepared, tmp_path, capsys, monkeypatch):
    # A builder that needs no TensorFlow runs the real thing, whether TensorFlow is there or not.
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert prepare.main(["tiny_pictures", "--data_dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip().endswith(f"{tmp_path}/tiny_pictures/1.0.0")
    source = data.get("tfds", dataset="tiny_pictures", data_dir=str(tmp_path))
    assert len(source.splits["train"]) == 12
    assert prepare.prepare("tiny_pictures", prepared).startswith(prepared)  # already there


def test_what_was_downloaded_is_converted_into_arrays(prepared, tmp_path):
    options = {"data_dir": prepared, "image_size": 2}
    data.prepare_arrays("tfds:tiny_pictures", tmp_path / "out", **options)
    found = data.get("arrays", path=str(tmp_path / "out"))
    want = data.get("tfds", dataset="tiny_pictures", **options)
    assert found.label_names == ("cat", "dog") and found.splits.keys() == {"train", "test"}
    for key, split in found.splits.items():
        np.testing.assert_array_equal(split.images, want.splits[key].images)
        np.testing.assert_array_equal(split.labels, want.splits[key].labels)


def test_a_failed_download_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())

    def fail(self):
        raise ConnectionError("no route\nto host")

    builder = tensorflow_datasets.core.DatasetBuilder
    monkeypatch.setattr(builder, "download_and_prepare", fail)
    assert prepare.main(["cifar10", "--data_dir", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert "Could not download 'cifar10' (no route to host)" in message
    assert message.count("\n") == 1


# TFRecords of progressive GANs and StyleGAN


def example(image):
    record = tf_example_pb2.Example()
    channels_first = np.transpose(image, (2, 0, 1))
    record.features.feature["shape"].int64_list.value.extend(channels_first.shape)
    record.features.feature["data"].bytes_list.value.append(channels_first.tobytes())
    return record.SerializeToString()


def test_records_of_faces_are_read(tmp_path):
    images = pictures(5)
    write_tfrecords(tmp_path / "faces-r03.tfrecords", map(example, images))
    source = data.get("tfrecords", path=str(tmp_path / "faces-r03.tfrecords"))
    assert source.name == "faces-r03" and list(source.splits) == ["train"]
    np.testing.assert_array_equal(source.splits["train"].images, images)


def test_records_of_another_layout_are_refused(tmp_path):
    path = tmp_path / "faces.tfrecords"
    with pytest.raises(UsageError, match="no TFRecord file"):
        data.get("tfrecords", path=str(path))
    write_tfrecords(path, map(example, pictures(2)))
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(UsageError, match="truncated"):
        data.get("tfrecords", path=str(path))
    write_tfrecords(path, [tf_example_pb2.Example().SerializeToString(), b"\xff\xff\xff"])
    with pytest.raises(UsageError, match=r"Record 0 of .* does not hold `shape` and `data`"):
        data.get("tfrecords", path=str(path))
    write_tfrecords(path, [example(pictures(1)[0]), b"\xff\xff\xff"])
    with pytest.raises(UsageError, match="Record 1 of"):
        data.get("tfrecords", path=str(path))
