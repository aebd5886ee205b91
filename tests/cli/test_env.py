"""`scoresde env`: versions, devices, and what is set and why."""

import sys

import jax
import jaxlib

from scoresde.cli import main


def test_it_says_what_runs_and_what_is_set(capsys, monkeypatch):
    monkeypatch.setenv("SCORESDE_FAST", "0")
    monkeypatch.delenv("XLA_FLAGS")
    # Other tests of this process may have called the command line, unrefused.
    monkeypatch.setattr(sys.modules["scoresde.speed.configure"], "_SET", {})
    assert main(["env"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = dict(line.split(maxsplit=1) for line in lines if not line.startswith(" "))
    assert rows["revision"]
    assert rows["jax"] == jax.__version__ and rows["jaxlib"] == jaxlib.__version__
    assert rows["devices"] == f"{len(jax.devices())} x cpu" and "CPU cores" in rows["system"]
    refused = ("XLA_FLAGS", "convolutions", "allocator", "dispatch", "graphs")
    assert {rows[name] for name in refused} == {"not set"}
    assert sum("SCORESDE_FAST=0)" in line for line in lines) == 5


def test_it_has_no_config(capsys):
    assert main(["env", "--config.seed=1"]) == 2
    assert "depends on no config" in capsys.readouterr().err


def test_without_devices_it_is_one_line(capsys, monkeypatch):
    def devices():
        raise RuntimeError("Unable to initialize backend 'nosuch'")

    monkeypatch.setattr(jax, "devices", devices)
    assert main(["env"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no devices" in line and "nosuch" in line
