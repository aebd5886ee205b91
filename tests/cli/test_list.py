"""`scoresde list`: the families of components and their members."""

import pytest

from scoresde.cli import main
from scoresde.cli.families import FAMILIES


@pytest.mark.parametrize("family", FAMILIES)
def test_every_member_of_a_family_has_a_line_and_its_options(family, capsys):
    assert main(["list", family, "--options"]) == 0
    lines = capsys.readouterr().out.splitlines()
    members = [line.split(maxsplit=1) for line in lines if not line.startswith(" ")]
    assert members and all(len(words) == 2 for words in members)
    assert len({name for name, _ in members}) == len(members)
