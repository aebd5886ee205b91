"""Processes that are not of one job are told so, all of them, before they wait for each other."""

import argparse
import pathlib
import threading

import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

from scoresde import training
from scoresde.cli import distributed
from scoresde.jobs.alike import check_alike, check_shared
from scoresde.registry import UsageError

PROCESSES = 3


@pytest.fixture
def processes(monkeypatch):
    """action -> what it raises in each of three processes, which are threads here."""
    here, barrier, given = threading.local(), threading.Barrier(PROCESSES), {}

    def gathered(value):
        given[here.index] = np.asarray(value)
        barrier.wait(timeout=10)
        found = np.stack([given[i] for i in range(PROCESSES)])
        barrier.wait(timeout=10)
        return found

    monkeypatch.setattr(jax, "process_count", lambda: PROCESSES)
    monkeypatch.setattr(jax, "process_index", lambda: getattr(here, "index", 0))
    monkeypatch.setattr(multihost_utils, "process_allgather", gathered)
    monkeypatch.setattr(multihost_utils, "broadcast_one_to_all", lambda value: gathered(value)[0])

    def run(action):
        raised = [None] * PROCESSES

        def process(index):
            here.index = index
            try:
                action(index)
            except UsageError as error:
                raised[index] = str(error)

        threads = [threading.Thread(target=process, args=(i,)) for i in range(PROCESSES)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return raised

    return run


def test_what_one_process_was_told_otherwise_is_the_line_of_all(processes):
    def config(index):
        return {"config": {"seed": 42, "optimizer": {"learning_rate": 0.1 * (1 + (index == 2))}}}

    assert processes(lambda index: check_alike({"config": {"a": (1, None)}, "b": "ä" * 999})) == (
        [None] * PROCESSES
    )
    first, *others = processes(lambda index: check_alike(config(index)))
    words = "config.optimizer.learning_rate is 0.1 in process 0 and 0.2 in process 2. Start all"
    assert words in first and others == [first, first]
    lines = processes(lambda index: check_alike({"x": 1, "y": 1} if index == 0 else {"x": 2}))
    assert all("x is 1 in process 0 and 2 in process 1 (and 1 more)" in line for line in lines)
    lines = processes(lambda index: check_alike({"y": 1} if index == 0 else {}))
    assert all("y is 1 in process 0 and not given in process 1" in line for line in lines)


def test_directories_of_their_own_are_refused_by_all(processes, tmp_path):
    assert processes(lambda index: check_shared(tmp_path)) == [None] * PROCESSES
    folders = [tmp_path / str(index) for index in range(PROCESSES)]
    for folder in folders:
        folder.mkdir()
    lines = processes(lambda index: check_shared(folders[index], patience=0.2))
    for folder, line in zip(folders, lines):
        assert line.startswith(f"{folder} is not one directory for all processes: process 1 does ")
        assert not list(folder.iterdir())


def test_a_directory_that_another_host_sees_late_is_shared(processes, tmp_path, monkeypatch):
    looked, exists = [], pathlib.Path.exists

    def late(path):
        looked.append(path)
        return len(looked) > 2 * PROCESSES and exists(path)

    monkeypatch.setattr(pathlib.Path, "exists", late)
    assert processes(lambda index: check_shared(tmp_path)) == [None] * PROCESSES


def test_commands_are_compared_but_not_where_files_are(processes, monkeypatch):
    monkeypatch.setattr(distributed, "joined", lambda: True)

    def command(index, **other):
        given = {"command": "sample", "workdir": pathlib.Path(f"/{index}"), "config": f"{index}"}
        return argparse.Namespace(**given, process_id=index, **other)

    def lines(**other):
        def check(index):
            told = {name: value for name, value in other.items() if index == 1}
            distributed.check_alike(command(index, **{"num": 4} | told), [])

        return processes(check)

    assert lines() == [None] * PROCESSES
    assert all("--num is 4 in process 0 and 5 in process 1" in line for line in lines(num=5))


def test_training_asks_before_it_places_anything(tmp_path, monkeypatch):
    def refuse(directory):
        assert directory == tmp_path / "checkpoints" and directory.is_dir()
        raise UsageError("not shared")

    monkeypatch.setattr(training.loop, "check_shared", refuse)
    with pytest.raises(UsageError, match="not shared"):
        training.train(None, None, None, mesh=None, workdir=tmp_path, num_steps=1)
