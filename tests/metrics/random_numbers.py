"""The images and weights behind tests/data/metrics, by the rules in its README."""

import functools
import json
import pathlib
import zlib

import numpy as np

DATA = pathlib.Path(__file__).parent.parent / "data" / "metrics"


def uniform(label, shape):
    """Doubles in [0, 1), the same for a label everywhere."""
    return np.random.RandomState(zlib.crc32(label.encode("ascii"))).random_sample(shape)


def golden(name):
    """The arrays of a file."""
    with np.load(DATA / name) as file:
        return dict(file)


def image(kind, height, width):
    """uint8, [height, width, 3]."""
    y, x = np.mgrid[:height, :width]
    if kind == "noise":
        return (256 * uniform(f"0/noise/{height}x{width}", (height, width, 3))).astype(np.uint8)
    if kind == "gradient":
        across, down = 255 * x // (width - 1), 255 * y // (height - 1)
        both = 255 - 255 * (x + y) // (height + width - 2)
        return np.stack([across, down, both], axis=-1).astype(np.uint8)
    if kind == "checker":
        return np.stack([(x // c + y // c) % 2 * 255 for c in (1, 2, 5)], -1).astype(np.uint8)
    s = max(1, (max(height, width) + 3) // 4)
    shape = ((height - 1) // s + 2, (width - 1) // s + 2, 3)
    g = (256 * uniform(f"0/lowfreq/{height}x{width}", shape)).astype(int)
    i, a, j, b = y // s, (y % s)[..., None], x // s, (x % s)[..., None]
    above = (s - b) * g[i, j] + b * g[i, j + 1]
    below = (s - b) * g[i + 1, j] + b * g[i + 1, j + 1]
    return (((s - a) * above + a * below + s * s // 2) // (s * s)).astype(np.uint8)


def case(name):
    """The image of a case called KIND_HxW, as a batch of one."""
    kind, _, size = name.partition("_")
    return image(kind, *map(int, size.split("x")))[None]


@functools.cache
def inception_state_dict():
    """The weights of an Inception-v3, by the published names: float32, made once."""
    shapes = json.loads((DATA / "inception_names.json").read_text())
    return {name: _weight(name, shape).astype(np.float32) for name, shape in shapes.items()}


def _weight(name, shape):
    u = uniform(f"0/{name}", shape)
    if name.endswith("conv.weight"):
        w = 2 * u - 1
        w -= 0.5 * w.mean(axis=(1, 2, 3), keepdims=True)
        return w * 1.5 * np.sqrt(3 / np.prod(shape[1:]))
    if name == "fc.weight":
        return (2 * u - 1) * np.sqrt(3 / 2048)
    start, width = {
        "fc.bias": (-1, 2),
        "bn.weight": (0.8, 0.4),
        "bn.bias": (-0.2, 0.6),
        "running_mean": (-0.3, 0.6),
        "running_var": (0.5, 1),
    }[next(end for end in ENDS if name.endswith(end))]
    return start + width * u


ENDS = ("fc.bias", "bn.weight", "bn.bias", "running_mean", "running_var")


def largest_error(actual, expected):
    """The relative error of rows, in the Euclidean norm, that of the worst row."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    gap = np.linalg.norm(actual - expected, axis=1)
    return (gap / np.linalg.norm(expected, axis=1)).max()
