"""Records that were damaged are the user's to mend, and say so."""

import pytest

from scoresde import files
from scoresde.evaluation import Parts
from scoresde.registry import UsageError
from scoresde.runs import saved_config, trained_flow

DAMAGED = (b"", b'{"a', b"[1, 2]", b"\xff\xfe\x00")


def test_what_is_written_is_read(tmp_path):
    files.write_json(tmp_path / "a" / "b.json", {"x": [1, None]})
    assert files.read_json(tmp_path / "a" / "b.json") == {"x": [1, None]}
    with pytest.raises(FileNotFoundError):
        files.read_json(tmp_path / "c.json")


@pytest.mark.parametrize("content", DAMAGED)
@pytest.mark.parametrize(
    "name, read",
    [
        ("config.json", saved_config),
        ("dequantizer/dequantizer.json", trained_flow),
        ("protocol.json", lambda workdir: Parts(workdir, {})),
    ],
)
def test_damaged_records_are_named(tmp_path, name, read, content):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=rf"{name} .* Restore it") as error:
        read(tmp_path)
    assert "\n" not in str(error.value)
