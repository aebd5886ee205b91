"""Of which machine results are."""

import os
import pathlib

from experiments.bench import timing


def test_cpus_are_told_apart_by_their_model_and_cores(monkeypatch):
    monkeypatch.setattr(pathlib.Path, "read_text", lambda _: "processor\t: 0\nmodel name\t: A B\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 7}, raising=False)
    assert timing._cpu() == "A B (3 cores)"
