"""Which processes are found to be several: by the variables that each launcher leaves to them."""

import re

import pytest

from scoresde.cli import distributed, launchers, main
from scoresde.registry import UsageError

STEP = {
    "SLURM_JOB_ID": "71",
    "SLURM_STEP_NODELIST": "node[01-03]",
    "SLURM_NTASKS": "8",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
}
RANK = {
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1:34911",
}
ALL = {"local_device_ids": []}  # that the process sees; else JAX's own choice, one of them


@pytest.mark.parametrize(
    ("environ", "by", "options"),
    [
        (STEP, "Slurm", {"num_processes": 5}),
        (STEP | {"CUDA_VISIBLE_DEVICES": "0,1"}, "Slurm", {"num_processes": 5}),
        # One GPU each, bound by Slurm, has number 0 in every process.
        (STEP | {"CUDA_VISIBLE_DEVICES": "1"}, "Slurm", {"num_processes": 5, **ALL}),
        # One process on its node drives all that is there, unless JAX was told which.
        (STEP | {"SLURM_NODEID": "2"}, "Slurm", {"num_processes": 5, **ALL}),
        (
            STEP | {"SLURM_NODEID": "2", "JAX_LOCAL_DEVICE_IDS": "0"},
            "Slurm",
            {"num_processes": 5},
        ),
        (RANK, "Open MPI", {}),
        (RANK | {"OMPI_COMM_WORLD_LOCAL_SIZE": "1"}, "Open MPI", ALL),
        (STEP | RANK, "Open MPI", {}),  # mpirun within a job of Slurm
    ],
)
def test_several_processes_are_found_with_their_devices(environ, by, options):
    found = launchers.launched(environ)
    assert (found.by, found.options) == (by, options)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        # The shell of `salloc -n 8`: an interactive step of one task.
        STEP | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_TASKS_PER_NODE": "1"},
        # The script of `sbatch`, outside of srun; and an ssh to a node.
        {name: value for name, value in STEP.items() if "STEP" not in name},
        {"SLURM_JOB_ID": "71"},
        RANK | {"OMPI_COMM_WORLD_SIZE": "1"},
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1"},  # a pod of no job
        {"TPU_WORKER_HOSTNAMES": "localhost"},  # without the library for TPUs
    ],
)
def test_a_process_by_itself_joins_nothing(environ):
    assert launchers.launched(environ) is None


@pytest.mark.parametrize(
    "name", ["SLURM_NTASKS", "SLURM_STEP_NUM_TASKS", "SLURM_NODEID", "OMPI_COMM_WORLD_SIZE"]
)
def test_a_count_that_is_no_number_is_said_in_a_line(name):
    with pytest.raises(UsageError, match=f"{name} is 'four'.* --num_processes 1 for a process"):
        launchers.launched(STEP | {name: "four"})


def test_what_jax_could_not_find_is_said_in_a_line(monkeypatch):
    monkeypatch.setattr(launchers.importlib.util, "find_spec", lambda name: None)
    five = {name: value for name, value in RANK.items() if "orte" not in name}
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "1"}
    for environ, words in (
        (five, "mpi4py.*OMPI_COMM_WORLD_RANK"),
        (pod, r"jax\[k8s\].*COMPLETION"),
    ):
        with pytest.raises(
            UsageError, match=f"{words}.* --num_processes 1 for a process by itself"
        ):
            launchers.launched(environ)
    monkeypatch.setattr(launchers.importlib.util, "find_spec", lambda name: name)
    assert launchers.launched(five).options == {"cluster_detection_method": "mpi4py"}
    assert launchers.launched(pod).by == "Kubernetes"


TOLD = ["--coordinator", "a:1", "--num_processes", "2", "--process_id"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (TOLD[:2], "together or not at all: --num_processes and --process_id are missing"),
        ([*TOLD[2:], "0"], "--coordinator is missing"),
        ([*TOLD, "2"], "--process_id must be 0 .. 1, below --num_processes.*: not 2 of 2"),
        ([*TOLD, "-1"], "not -1 of 2"),
        (["--coordinator", "a:http", *TOLD[2:], "0"], "'a:http' is not HOST:PORT with a port"),
        (["--coordinator", "a", *TOLD[2:], "0"], "'a' is not HOST:PORT"),
        ([*TOLD, "one"], "--process_id: invalid int value"),
        ([*TOLD, "0", "--join_timeout", "0"], "--join_timeout must be at least 1"),
    ],
)
def test_impossible_numbers_are_refused_before_anything_is_joined(arguments, words, capsys):
    assert main(["sample", "--workdir", "nowhere", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(words, line)


def test_a_process_told_to_be_alone_is_whoever_started_it(monkeypatch, capsys):
    for name, value in STEP.items():
        monkeypatch.setenv(name, value)
    assert main(["sample", "--workdir", "nowhere", "--num_processes", "1"]) == 2
    assert "nowhere holds no experiment" in capsys.readouterr().err  # it did not wait for others
    assert not distributed.joined()
