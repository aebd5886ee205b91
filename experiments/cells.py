"""Sweeps over cells: each is a dictionary of options, measured once, and kept across interruptions.

cells/*.json    a finished cell each
measured.json   what the cells have in common, without which they do not compare
"""

import csv
import hashlib
import itertools
import json
import pathlib
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from scoresde import configure, files
from scoresde.experiment import load_config, overrides
from scoresde.published import Folder
from scoresde.registry import UsageError, see_current_folder

SWEEPS = Folder("scoresde.experiments.configs")
"""The configs that come with the experiments, by name."""

Cell = dict[str, Any]


def expand(sweep: Sequence[Cell]) -> list[Cell]:
    """Every combination of the values given as tuples or lists."""
    cells = []
    for entry in sweep:
        choices = {
            key: value if isinstance(value, tuple | list) else (value,)
            for key, value in entry.items()
        }
        cells += [dict(zip(choices, values)) for values in itertools.product(*choices.values())]
    return cells


def cell_file(workdir: pathlib.Path, cell: Cell) -> pathlib.Path:
    """Where a finished cell is kept; another cell never has the same place."""
    words = "-".join(f"{value}" for value in cell.values())
    digest = hashlib.sha256(json.dumps(cell, sort_keys=True).encode()).hexdigest()[:8]
    return workdir / "cells" / f"{words}-{digest}.json".replace("/", "_")


def check_common(workdir: pathlib.Path, common: dict[str, Any]) -> None:
    """Records what all cells in `workdir` have in common, or checks it.

    Raises:
        UsageError: the cells there were measured otherwise.
    """
    path, record = workdir / "measured.json", json.loads(json.dumps(common, default=list))
    if not path.exists():
        files.write_json(path, record)
    elif json.loads(path.read_text()) != record:
        *names, last = common
        raise UsageError(
            f"{workdir} holds a sweep with another {', '.join(names)} or {last}. "
            "Give another --workdir."
        )


def run_cells(
    workdir: pathlib.Path,
    cells: Sequence[Cell],
    measure: Callable[[Cell, pathlib.Path], dict[str, Any]],
    label: Callable[[Cell], str],
    words: Callable[[dict[str, Any]], str],
) -> tuple[list[dict[str, Any]], list[tuple[str, Exception]]]:
    """Measures every cell that is not there yet; one that fails does not end the sweep.

    Args:
        workdir: of the sweep.
        cells: the cells.
        measure: (cell, the file it will be kept in) -> its row, as JSON can hold it.
        label: what to call a cell.
        words: of a row, for the log.

    Returns:
        The rows of the finished cells in order, and the cells that failed, each with its error.
    """
    rows, failed = [], []
    for number, cell in enumerate(cells, start=1):
        file = cell_file(workdir, cell)
        if file.exists():
            rows.append(json.loads(file.read_text()))
            continue
        name = f"[{number}/{len(cells)}] {label(cell)}"
        try:
            row = measure(cell, file)
        except Exception as error:  # one bad cell must not end a sweep of hours
            failed.append((name, error))
            if not isinstance(error, UsageError | FloatingPointError):
                traceback.print_exc()
            print(f"{name}: failed: {error}", flush=True)
            continue
        files.write_json(file, row)
        rows.append(row)
        print(f"{name}: {words(row)}", flush=True)
    return rows, failed


def write_csv(
    path: pathlib.Path,
    rows: Sequence[dict[str, Any]],
    options: Sequence[str],
    values: Sequence[str],
) -> None:
    """A row per cell: its options, empty where it has none, and what was measured."""
    with files.replacing(path, "w") as file:
        writer = csv.writer(file)
        writer.writerow([*options, *values])
        for row in rows:
            cell = [row["cell"].get(key, "") for key in options]
            writer.writerow([*cell, *(row[key] for key in values)])


def report(workdir: pathlib.Path, rows: Sequence, cells: Sequence, failed: Sequence) -> int:
    """Prints what became of the cells; returns 0 if all of them succeeded, else 1."""
    print(f"{len(rows)} of {len(cells)} cells in {workdir / 'results.md'}")
    for name, error in failed:
        print(f"failed: {name}: {error}")
    return 1 if failed else 0


def command(
    program: str,
    description: str,
    sweep: Callable[[dict[str, Any], pathlib.Path], int],
    argv: list[str] | None = None,
) -> int:
    """The command line of a sweep: `--config FILE --workdir DIR [--config.key=value]`.

    FILE may be a name of SWEEPS. It runs from any folder, whose modules it sees, and as
    quick as the command line, see `scoresde.configure`.

    Returns 0 if every cell succeeded, 1 if some failed, 2 for a mistake.
    """
    import argparse

    parser = argparse.ArgumentParser(
        prog=program,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    known = ", ".join(SWEEPS.files())
    parser.add_argument("--config", required=True, metavar="FILE", help=f"or one of {known}")
    parser.add_argument("--workdir", required=True, type=pathlib.Path, metavar="DIR")
    see_current_folder()
    configure()
    try:
        arguments, rest = parser.parse_known_args(argv)
        items = overrides.among(rest, f"{program} --help")
        config = load_config(arguments.config, items, published=SWEEPS)
        return sweep(config.to_dict(), arguments.workdir)
    except UsageError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
