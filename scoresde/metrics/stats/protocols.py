"""What statistics depend on besides the images, as a note in their file.

It is a dictionary of plain values (extractor, resize, type of numbers, hash of the weights), kept
as JSON. Published files have none, so only what both of two notes say is compared.
"""

import json
from collections.abc import Mapping
from typing import Any

from scoresde.metrics.moments import Moments
from scoresde.registry import UsageError, shown


def encoded(protocol: Mapping[str, Any] | None) -> str | None:
    """The note as JSON.

    Raises:
        UsageError: it is no dictionary of plain values.
    """
    if protocol is None:
        return None
    try:
        return json.dumps(dict(protocol), sort_keys=True)
    except (TypeError, ValueError):
        raise UsageError(
            "A protocol must be a dictionary of numbers, names, lists and dictionaries, not "
            f"{shown(protocol)}."
        ) from None


def decoded(text: Any, path: Any) -> dict[str, Any] | None:
    """The note in a file.

    Raises:
        UsageError: it is no JSON object.
    """
    if text is None:
        return None
    try:
        protocol = json.loads(str(text))
    except ValueError:
        protocol = None
    if not isinstance(protocol, dict):
        raise UsageError(f"{path} has a protocol that is no JSON object: {shown(str(text))}.")
    return protocol


def refuse_other_features(gen: Moments, ref: Moments) -> None:
    """Refuses statistics of features that do not compare.

    Raises:
        UsageError: their lengths differ, or something that both protocols say.
    """
    if len(gen.mean) != len(ref.mean):
        raise UsageError(
            f"The statistics are of other features: {len(gen.mean)} and {len(ref.mean)} numbers "
            "an image."
        )
    mine, others = (json.loads(encoded(m.protocol) or "{}") for m in (gen, ref))
    for name in sorted(mine.keys() & others.keys()):
        if mine[name] != others[name]:
            raise UsageError(
                f"The statistics are of other features: {name} is {shown(mine[name])} in one and "
                f"{shown(others[name])} in the other. Compute both alike."
            )
