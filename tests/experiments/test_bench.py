"""What a run of the benchmark measures, in which order, and what it leaves for the next one."""

import argparse
import json
import pathlib
import sys
import types

import pytest

BENCH = pathlib.Path(__file__).parents[2] / "experiments" / "bench"


@pytest.fixture
def run(monkeypatch, tmp_path):
    """`run.run` with rows that take two minutes by its clock; what it measured."""
    monkeypatch.syspath_prepend(str(BENCH))
    names = [path.stem for path in BENCH.glob("*.py")]  # any other module may be of such a name
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    import run as module

    clock, calls = [0], []
    monkeypatch.setattr(module, "time", types.SimpleNamespace(perf_counter=lambda: clock[0]))

    def measure(case, size, dtype, arguments):
        calls.append((size, dtype, case))
        clock[0] += 120
        return {
            **{"case": case, "size": size, "dtype": dtype, "work": {}},
            **{"batch": round(16 * arguments.batch_factor)},
            **{"seconds": {"scoresde": len(calls)}, "ready_seconds": {}},
            "failed": {how: "no" for how in module._ways(case, arguments)},
        }

    monkeypatch.setattr(module, "measure", measure)

    def run(**changes):
        calls.clear()
        arguments = {
            **{"out": tmp_path / "rows.json", "sizes": None, "dtypes": None, "hows": None},
            **{"only": ["train", "forward"], "seconds": None, "missing": False},
            "peer": None,
            **{"batch_factor": 1.0, **changes},
        }
        module.run(argparse.Namespace(**arguments))
        return list(calls)

    yield run
    for name in names:
        sys.modules.pop(name, None)


def test_a_network_is_measured_whole_before_the_next(run):
    assert run() == [
        (size, "float32", case)
        for size in ("ddpmpp_small", "ncsnpp_small")
        for case in ("train", "forward")
    ]


def test_what_is_left_for_want_of_time_is_said_and_comes_in_the_next_run(run, capsys, tmp_path):
    # A row that would end at 480 s is not begun at 360.
    first = run(seconds=450, missing=True)
    assert [case for *_, case in first] == ["train", "forward", "train"]
    assert (
        "Left out for want of time: forward of ncsnpp_small in float32\n" in capsys.readouterr().out
    )
    assert run(missing=True) == [("ncsnpp_small", "float32", "forward")]
    assert run(missing=True) == []
    assert len(run()) == 4
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert len(rows) == 4  # those that were measured again took the place of the others


def test_another_batch_is_another_row(run):
    run()
    assert len(run(missing=True, batch_factor=0.5)) == 4


def test_what_was_measured_without_the_peer_is_measured_with_it(run):
    run()
    assert len(run(missing=True, peer="checkout")) == 4
    assert run(missing=True, peer="checkout") == run(missing=True) == []
