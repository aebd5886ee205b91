"""Downloads and converts a tensorflow-datasets data set, once.

    python -m scoresde.data.prepare cifar10 --data_dir DIR

needs a network and TensorFlow (`pip install -e '.[tf]'`); reading the result with
`scoresde.data.get("tfds", dataset="cifar10", data_dir=DIR)` needs neither. Sets that must be
downloaded by hand go where the error message says, below DIR/downloads/manual.
"""

import argparse
import importlib.util
import sys

from scoresde.data.tfds import make_builder
from scoresde.registry import UsageError


def prepare(dataset: str, data_dir: str | None = None) -> str:
    """Prepares `dataset` in the array_record format below `data_dir`; returns its directory.

    Does nothing if it is there already.

    Args:
        dataset: name of the data set, with a config and version if need be ("lsun/church").
        data_dir: the folder for prepared data sets; default: `TFDS_DATA_DIR` if it is set, or
            `~/tensorflow_datasets`.

    Raises:
        UsageError: no such data set, no TensorFlow, no network, or a failed download.
    """
    builder = make_builder(dataset, data_dir, file_format="array_record")
    if builder.is_prepared():
        return str(builder.data_path)
    if importlib.util.find_spec("tensorflow") is None:
        raise UsageError(
            f"Preparing {dataset!r} needs TensorFlow, once: pip install -e '.[tf]'. Training "
            "does not: you can prepare it on another machine and copy the folder "
            f"{builder.data_path}."
        )
    try:
        builder.download_and_prepare()
    except AssertionError as error:  # how tensorflow-datasets asks for a download by hand
        raise UsageError(f"{dataset}: {' '.join(str(error).split())}") from error
    except OSError as error:  # no network, no such host, a refused download, a full disk
        raise UsageError(
            f"Could not download {dataset!r} ({' '.join(str(error).split())}); check the network, "
            f"or prepare it on another machine and copy the folder {builder.data_path}."
        ) from error
    return str(builder.data_path)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m scoresde.data.prepare",
        description="Download and convert a tensorflow-datasets data set, once.",
    )
    parser.add_argument("dataset", help='its name, such as "cifar10" or "svhn_cropped"')
    parser.add_argument("--data_dir", help="the folder for prepared data sets")
    options = parser.parse_args(arguments)
    try:
        print(prepare(options.dataset, options.data_dir))
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
