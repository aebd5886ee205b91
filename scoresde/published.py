"""The published configs by name: `vp/digits` is a file, wherever the package is installed.

In the repository they are in its folder `configs/`; an installed package has them within itself.
"""

import ast
import importlib
import pathlib
from typing import NamedTuple

from scoresde.registry import closest


class Folder(NamedTuple):
    """Config files that have names.

    Attributes:
        package: the package that they are in.
        pattern: which of its files are configs, the others being what these share.
    """

    package: str
    pattern: str = "*.py"

    @property
    def path(self) -> pathlib.Path:
        """Where they are."""
        return pathlib.Path(importlib.import_module(self.package).__path__[0])

    def files(self) -> dict[str, pathlib.Path]:
        """Every config by its name: the file's path there, without `.py`."""
        found = sorted(self.path.glob(self.pattern))
        return {
            file.relative_to(self.path).with_suffix("").as_posix(): file
            for file in found
            if file.stem != "__init__"
        }

    def suggestion(self, wrong: str) -> str:
        """` Did you mean ...?` of what was taken for a name or a file; nothing if it is like none.

        `configs/vp/digits.py` is like vp/digits, and `digits` like all of that name.
        """
        names, wrong = list(self.files()), wrong.replace("\\", "/").removesuffix(".py")
        ends = [name for name in names if f"/{wrong}".endswith(f"/{name}")]
        starts = [name for name in names if f"/{name}".endswith(f"/{wrong}")]
        if found := ends or starts:
            return f" Did you mean {' or '.join(map(repr, found))}?"
        return closest(wrong, names)


CONFIGS = Folder("scoresde.configs", "*/**/*.py")
"""The published experiments; beside their folders is what they share."""


def summary(file: pathlib.Path) -> str:
    """The first line of a config file's docstring; the file is not run."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    return text.partition("\n")[0] if text else ""
