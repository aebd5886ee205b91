"""Packaging of scoresde."""

import os
import pathlib
import re

from setuptools import find_namespace_packages, find_packages, setup

HERE = pathlib.Path(__file__).parent


def folder(name: str, exclude: tuple[str, ...] = ()) -> list[str]:
    """A folder of the repository and those in it, as packages within `scoresde`."""
    inner = find_namespace_packages(name, exclude=["*__pycache__*", *exclude])
    return [f"scoresde.{name}", *(f"scoresde.{name}.{package}" for package in inner)]


def readme() -> str:
    """README.md as a package index shows it: links and pictures by their absolute addresses.

    SCORESDE_FILES is the address of the repository's files at this version, as they are (raw);
    without it pictures are left out, and links are their texts.
    """
    text, files = (HERE / "README.md").read_text(encoding="utf-8"), os.environ.get("SCORESDE_FILES")
    picture, link = r'<img src="(?!https?:)([^"]+)"[^>]*>', r"\[([^\]]+)\]\((?!https?:|#)([^)]+)\)"
    if not files:
        return re.sub(link, r"\1", re.sub(picture, "", text))
    files = files.rstrip("/")
    text = re.sub(picture, lambda found: found[0].replace(found[1], f"{files}/{found[1]}"), text)
    return re.sub(link, lambda found: f"[{found[1]}]({files}/{found[2]})", text)


setup(
    name="scoresde",
    version="0.1.0",
    description="Score-based generative models in continuous time, with exact likelihoods.",
    long_description=readme(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    # The published configs and the experiments are beside the package, where they are read and
    # edited, and are installed within it, where `--config vp/digits` finds them.
    package_dir={"scoresde.configs": "configs", "scoresde.experiments": "experiments"},
    packages=[
        *find_packages(include=["scoresde", "scoresde.*"]),
        *folder("configs"),
        *folder("experiments", exclude=("bench",)),
    ],
    package_data={
        "scoresde": ["py.typed"],
        "scoresde.data": ["bundled/*"],
        "scoresde.metrics.features": ["bundled/*"],
    },
    # Lower bounds: the oldest tried, on the tests of data, training, build and readers.
    # jax 0.10 is the newest that Python 3.11 takes; orbax moves its v1 API to the top level in 1.0.
    install_requires=[
        "jax>=0.10,<0.13",
        "flax>=0.12.8,<0.13",
        "optax>=0.2.8",
        "orbax-checkpoint>=0.12,<1",
        "diffrax>=0.7.2",
        "grain>=0.2.18",
        "ml-collections>=1.1",
        "numpy>=2.0",
        "pillow>=11",
        "matplotlib>=3.10",
        "tqdm>=4.67",
        "tensorboardX>=2.6.5",
        "tensorflow-datasets>=4.9.10",
        # tensorflow-datasets 4.9.10 imports it at run time without asking for it.
        "importlib_resources",
        # Reads the checkpoints of score_sde; flax brings it too.
        "msgpack>=1.0",
    ],
    extras_require={
        "test": [
            *("pytest>=8", "pytest-xdist>=3.6", "chex>=0.1.92", "scipy>=1.15", "ruff>=0.14,<1"),
            "setuptools>=77",  # builds the wheel whose contents are tested
        ],
        # The accelerator extras are jax's own.
        "cuda12": ["jax[cuda12]"],
        "cuda13": ["jax[cuda13]"],
        "tpu": ["jax[tpu]"],
        # Only needed once, to prepare a tensorflow-datasets data set from its download.
        "tf": ["tensorflow-cpu"],
    },
    entry_points={"console_scripts": ["scoresde = scoresde.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
    ],
)
