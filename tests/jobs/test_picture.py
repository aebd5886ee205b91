"""Pictures cost no numbers."""

import pytest

from scoresde import jobs


def test_a_picture_that_fails_says_so_in_a_line_and_the_job_goes_on(capfd):
    with jobs.picture("grid.png"):
        raise OSError("No space left\non device")
    assert capfd.readouterr().err.splitlines() == [
        "Warning: grid.png was not drawn (No space left); no numbers are missing."
    ]


def test_a_picture_can_be_stopped():
    with pytest.raises(KeyboardInterrupt), jobs.picture("grid.png"):
        raise KeyboardInterrupt
