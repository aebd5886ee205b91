"""The experiments are scripts beside each other, which import each other as such."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT / "experiments"), str(ROOT / "tests" / "cli")]  # and for tiny_model
