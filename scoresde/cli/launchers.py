"""Who has started this process as one of several, by what it leaves in the environment.

JAX finds the others by itself (`jax._src.clusters`), but asks whether it may where that would be
wrong: the shell that `salloc` opens has the variables of a job of eight tasks and is one process.
So what says that there are several is read here, and all the rest is left to JAX.
"""

import dataclasses
import glob
import importlib.util
import os
import re
from collections.abc import Mapping
from typing import Any

from scoresde.registry import UsageError

ALONE = "--num_processes 1 for a process by itself"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Launched:
    """What has started this process as one of several.

    Attributes:
        by: its name.
        options: of `jax.distributed.initialize`, where JAX's own would be others.
    """

    by: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


def launched(environ: Mapping[str, str] = os.environ) -> Launched | None:
    """What has started this process as one of several; None for a process by itself.

    Raises:
        UsageError: there are several, and JAX could not find them; or a count that is no number.
    """
    for find in (_open_mpi, _slurm, _tpu_pod, _kubernetes):  # in JAX's order
        if found := find(environ):
            return found
    return None


def _open_mpi(environ):
    if _number(environ, "OMPI_COMM_WORLD_SIZE", 1) < 2:
        return None
    options = devices_of(environ, _number(environ, "OMPI_COMM_WORLD_LOCAL_SIZE", 2))
    if "OMPI_MCA_orte_hnp_uri" in environ:  # Open MPI 4
        return Launched(by="Open MPI", options=options)
    if importlib.util.find_spec("mpi4py") is None:
        raise UsageError(
            "Open MPI 5 does not say where its first process is: install mpi4py, by which JAX asks "
            "it, or give --coordinator HOST:PORT --num_processes $OMPI_COMM_WORLD_SIZE "
            f"--process_id $OMPI_COMM_WORLD_RANK; or {ALONE}."
        )
    return Launched(by="Open MPI", options={"cluster_detection_method": "mpi4py", **options})


_SLURM = ("JOB_ID", "STEP_NODELIST", "NTASKS", "PROCID", "LOCALID")


def _slurm(environ):
    if not all(f"SLURM_{name}" in environ for name in _SLURM):
        return None
    # Of the step: in a shell of `salloc` that is one, where SLURM_NTASKS is what was allocated.
    of_job = _number(environ, "SLURM_NTASKS", 1)
    tasks = _number(environ, "SLURM_STEP_NUM_TASKS", of_job)
    if tasks < 2:
        return None
    on_nodes = _counts(environ.get("SLURM_STEP_TASKS_PER_NODE", ""))
    node = _number(environ, "SLURM_NODEID", 0)
    here = on_nodes[node] if node < len(on_nodes) else 2
    return Launched(by="Slurm", options={"num_processes": tasks, **devices_of(environ, here)})


def _number(environ: Mapping[str, str], name: str, missing: int) -> int:
    """The whole number that a variable is."""
    text = environ.get(name, str(missing))
    if not text.isdecimal():
        raise UsageError(
            f"The environment's {name} is {text!r}, by which the processes of a job are found, and "
            f"no number: unset it, or give --num_processes and --process_id; or {ALONE}."
        )
    return int(text)


def _counts(text: str) -> list[int]:
    """[2, 2, 2, 1] of "2(x3),1"."""
    found = re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
    return [int(count) for count, times in found for _ in range(int(times or 1))]


def devices_of(environ: Mapping[str, str], processes: int = 1) -> dict[str, Any]:
    """The option of `jax.distributed.initialize` for one of several processes on this host.

    Launched by Slurm or Open MPI, JAX gives each the GPU of its number on the host. That is left to
    it where there are several of both; else a process has all that it sees.
    """
    several = processes > 1 and "," in environ.get("CUDA_VISIBLE_DEVICES", ",")
    return {} if several or "JAX_LOCAL_DEVICE_IDS" in environ else {"local_device_ids": []}


def _tpu_pod(environ):
    if environ.get("JAX_PLATFORMS", "tpu").split(",")[0] != "tpu":
        return None
    if importlib.util.find_spec("libtpu") is None:
        return None
    if not glob.glob("/dev/accel[0-9]*") + glob.glob("/dev/vfio/[0-9]*"):
        return None
    named = "TPU_WORKER_HOSTNAMES" in environ or "TPU_PROCESS_ADDRESSES" in environ
    if not named and "TPU_SKIP_MDS_QUERY" in environ:  # a notebook's TPU, of no pod
        return None
    return Launched(by="the TPU pod")


def _kubernetes(environ):
    # Every pod has the first; a number is given to those of an indexed Job, as a JobSet's are.
    if "KUBERNETES_SERVICE_HOST" not in environ or "JOB_COMPLETION_INDEX" not in environ:
        return None
    if importlib.util.find_spec("kubernetes") is None:
        raise UsageError(
            "This is a pod of an indexed Job, and JAX finds the others by the package kubernetes: "
            "pip install 'jax[k8s]', or give --coordinator HOST:PORT --num_processes N "
            f"--process_id $JOB_COMPLETION_INDEX; or {ALONE}."
        )
    return Launched(by="Kubernetes")
