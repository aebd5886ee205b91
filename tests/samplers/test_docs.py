"""What docs/samplers.md shows runs as it stands."""

import pathlib
import re

PAGE = pathlib.Path(__file__).parent.parent.parent / "docs" / "samplers.md"


def test_the_page_on_samplers_runs():
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    names = {"__name__": "page"}
    exec(compile(code, str(PAGE), "exec"), names)
    assert names["drawn"].x.shape == (2, 2)
