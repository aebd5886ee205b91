"""Joining the processes of one job by `jax.distributed`, and parting from them.

All run the same command. The first one prints and writes files; the others are silent but for
their errors. That is settled here, before JAX asks for its devices: whoever launches the processes
is found (`scoresde.cli.launchers`), or each is told which it is. A process by itself joins nothing.
"""

import argparse
import os
import pathlib
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scoresde.cli.launchers import ALONE, devices_of, launched
from scoresde.registry import UsageError, first_line

# How long a process that ends early waits for the others to end, too; then JAX ends them.
_GRACE = 10

# Arguments that are a process's own; the config's file may have another path on another host.
_OF_EACH = ("coordinator", "num_processes", "process_id", "join_timeout", "config")

# Beyond our own time limit, at which a line is said; JAX ends the process by an abort.
_LATER = 60


def add_processes(parser: argparse.ArgumentParser) -> None:
    """Which of several processes this is, for commands that run as several."""
    group = parser.add_argument_group(
        "several processes",
        "Found by themselves under Slurm, Open MPI, Kubernetes and on TPU pods; else all three.",
    )
    group.add_argument(
        "--coordinator", type=_address, metavar="HOST:PORT", help="a free port of process 0's host"
    )
    group.add_argument("--num_processes", type=int, metavar="N", help="1: whoever started it")
    group.add_argument("--process_id", type=int, metavar="I", help="of this one: 0 .. N - 1")
    group.add_argument(
        "--join_timeout", type=int, metavar="SECONDS", default=300, help="to wait for the others"
    )


def _address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT with a port 1 .. 65535")
    return text


def join(arguments: argparse.Namespace) -> None:
    """Joins the processes that `arguments`, or the launcher, say there are, if there are others.

    Raises:
        UsageError: impossible numbers, or the others cannot be reached.
    """
    if not hasattr(arguments, "num_processes"):
        return  # a command of one process
    options = _options(arguments)
    if options is None or joined():
        return
    import jax

    with _within(arguments.join_timeout, options):
        try:
            jax.distributed.initialize(
                **options,
                initialization_timeout=arguments.join_timeout + _LATER,
                shutdown_timeout_seconds=_GRACE,
            )
        except Exception as error:  # of JAX, its clusters' packages and the network
            raise UsageError(
                f"The processes cannot be joined ({first_line(error)}). Give other values of "
                f"--coordinator, --num_processes and --process_id, or {ALONE}."
            ) from error
    if jax.process_index() != 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        warnings.simplefilter("ignore")


def check_alike(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """Checks that all processes were given one command, and have the packages that it takes.

    Where files are may differ from host to host: what is in them is compared where it is read.

    Raises:
        UsageError: they differ; on all of them.
    """
    if not joined():
        return
    import jax
    import jaxlib

    from scoresde import __version__, jobs

    given = {
        name if name == "command" else f"--{name}": value
        for name, value in vars(arguments).items()
        if name not in _OF_EACH and not isinstance(value, pathlib.Path)
    }
    versions = {"scoresde": __version__, "jax": jax.__version__, "jaxlib": jaxlib.__version__}
    jobs.check_alike(
        {**given, **{f"the version of {name}": version for name, version in versions.items()}}
        | {"the list of overrides": " ".join(overrides) or "none"}
    )


def _options(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """The options of `jax.distributed.initialize`; None for a process by itself."""
    told = {
        name: getattr(arguments, name) for name in ("coordinator", "num_processes", "process_id")
    }
    missing = [f"--{name}" for name, value in told.items() if value is None]
    count, number = arguments.num_processes, arguments.process_id
    if arguments.join_timeout < 1:
        raise UsageError(f"--join_timeout must be at least 1, not {arguments.join_timeout}.")
    if count == 1 and len(missing) == 2:
        return None
    if len(missing) == 3:
        found = launched()
        return found and found.options
    if missing:
        raise UsageError(
            "--coordinator, --num_processes and --process_id are given together or not at all: "
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing."
        )
    if count < 1 or not 0 <= number < count:
        raise UsageError(
            f"--process_id must be 0 .. {max(count, 1) - 1}, below --num_processes, which is at "
            f"least 1: not {number} of {count}."
        )
    return {
        "coordinator_address": arguments.coordinator,
        "num_processes": count,
        "process_id": number,
        **devices_of(os.environ),
    }


@contextmanager
def _within(seconds: int, options: dict[str, Any]) -> Iterator[None]:
    """Ends the process with a line if the block takes longer."""
    number, where = options.get("process_id"), options.get("coordinator_address", "its port")

    def end() -> None:
        what = f"cannot reach process 0 at {where}" if number else "is missing some of the others"
        name = "A process" if number is None else f"Process {number} of {options['num_processes']}"
        print(
            f"scoresde: {name} {what} after {seconds} s. Start all of them with the same "
            "--coordinator and --num_processes, let its port through, or give a longer "
            "--join_timeout.",
            file=sys.stderr,
            flush=True,
        )
        os._exit(2)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def joined() -> bool:
    """Whether this process is one of several."""
    jax = sys.modules.get("jax")
    return jax is not None and jax.distributed.is_initialized()


def which() -> str:
    """`process 1 of 2: `, before an error; nothing for a process by itself."""
    if not joined():
        return ""
    import jax

    return f"process {jax.process_index()} of {jax.process_count()}: "


def finish() -> None:
    """Waits for the other processes at the end, however long the first one writes."""
    if joined():
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices("scoresde: the end")


def leave(status: int) -> int:
    """Parts from the others after an error, and returns `status` if they end as well.

    Where they go on, they would wait for this process forever: it ends, and JAX ends them.
    """
    if joined():
        import jax

        parting = threading.Thread(target=jax.distributed.shutdown, daemon=True)
        parting.start()
        parting.join(_GRACE - 1)  # at the end of which JAX aborts what is still there
        if parting.is_alive():
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return status
