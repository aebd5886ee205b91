"""Images whose channels come first, as in PyTorch: noticed, and told how to get here.

Images are [batch, height, width, channels] here. The other order is not always told from the shape
alone; an error about a shape says so where it may be the cause.
"""

from collections.abc import Sequence


def channels_first(shape: Sequence[int]) -> bool:
    """Whether a shape (..., a, b, c) is that of ordinary images with channels before the rest.

    One to four channels of at least 8 by 8 pixels, at most four times as wide as high or the other
    way round: as images of one to four pixels' height with many channels they would be odd.
    """
    if len(shape) < 3:
        return False
    channels, height, width = shape[-3:]
    low, high = sorted((height, width))
    return 1 <= channels <= 4 and low >= 8 and high <= 4 * low


def hint(shape: Sequence[int], expected: Sequence[int] | None = None) -> str:
    """A sentence for the end of an error about `shape`, "" where the order is not its cause.

    Args:
        shape: [..., three axes], that of what was given.
        expected: (height, width, channels), where it is known.
    """
    if expected is not None:
        last = tuple(shape[-3:])
        fits = len(last) == len(expected) == 3 and (*last[1:], last[0]) == tuple(expected)
    else:
        fits = channels_first(shape)
    return f" {ADVICE}" if fits else ""


ADVICE = "Channels seem to come first: transpose to channels last, x.transpose(0, 2, 3, 1)."
