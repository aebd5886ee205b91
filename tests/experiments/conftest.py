"""The experiments are scripts beside each other, which import each other as such."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "experiments"))
