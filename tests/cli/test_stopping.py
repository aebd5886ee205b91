"""A command that is told to stop ends at once, whatever its main thread does."""

import signal
import subprocess
import sys
import time

import pytest

BUSY = """
import hashlib
from scoresde.cli.stopping import stopping

with stopping(lambda: "All is well."):
    print("ready", flush=True)
    {work}
"""
# The second does not come back to Python for hours, as a compiled program.
WORK = {
    "python": "import time; time.sleep(1000)",
    "compiled": "hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)",
}


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_process_with_a_line(work, number):
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY.format(work=WORK[work])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    start = time.monotonic()
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert time.monotonic() - start < 2
    assert process.returncode == 130
    assert error == f"scoresde: stopped by {number.name}. All is well.\n"


def test_signals_are_as_before_afterward():
    from scoresde.cli.stopping import stopping

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stopping(lambda: ""):
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt), stopping(lambda: ""):  # no signal: somebody else's
        raise KeyboardInterrupt
