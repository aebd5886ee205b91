"""Cases of which some guard in every run, and the others in `make test-all`."""

import pytest


def covering(cases, chosen):
    """`cases` for parametrize; those that are not `chosen`, a function or names, are thorough."""
    is_chosen = chosen if callable(chosen) else set(chosen).__contains__
    return [
        case
        if is_chosen(case)
        else pytest.param(
            *(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.thorough
        )
        for case in cases
    ]
