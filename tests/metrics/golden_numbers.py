"""The golden numbers of metrics, and the rules that make what is too large to keep."""

import json
import pathlib
import zlib

import numpy as np

DATA = pathlib.Path(__file__).parent.parent / "data" / "metrics"
FILES = DATA / "stats_formats"
ARRAYS = dict(np.load(DATA / "numbers" / "metrics.npz"))
NUMBERS = json.loads((DATA / "numbers" / "metrics.json").read_text())


def uniform(label, *shape):
    """Numbers in [0, 1) of a label."""
    rng = np.random.RandomState(zlib.crc32(label.encode("ascii")))
    return rng.random_sample(int(np.prod(shape))).reshape(shape)


def features(label, n, d, shift):
    """Features like Inception's: of rank 8 and some noise, none below zero."""
    mixing = 2 * uniform(f"0/feat/w/{d}", 8, d) - 1
    z = 2 * uniform(f"0/feat/{label}/z/{d}", n, 8) - 1
    noise = 2 * uniform(f"0/feat/{label}/e/{d}", n, d) - 1
    mixed = 0.4 + shift + 0.6 * ((1 + shift) * z) @ mixing + 0.5 * noise
    return np.maximum(0, mixed).astype(np.float32)


def logits(n, classes):
    """Logits, of which one in each row stands out."""
    found = 4 * uniform(f"0/logits/{classes}/e", n, classes) - 2
    likely = min(classes, 50) * uniform(f"0/logits/{classes}/k", n) ** 2
    found[np.arange(n), np.floor(likely).astype(int)] += 4
    return found.astype(np.float32)


def sets(name):
    """The generated and the reference features of a part of `NUMBERS`."""
    if name == "big":
        return features("gen", 300, 2048, 0.05), features("ref", 260, 2048, 0.0)
    prefix = "ties_" if name == "ties" else ""
    return ARRAYS[f"{prefix}gen"], ARRAYS[f"{prefix}ref"]
