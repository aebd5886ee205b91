"""Sizes in words."""


def human_size(count: float) -> str:
    """Bytes for people."""
    number, unit = count / 2**20, "MiB"
    for greater in ("GiB", "TiB"):
        if number >= 1024:
            number, unit = number / 1024, greater
    return f"{number:.3g} {unit}" if number < 1000 else f"{number:.0f} {unit}"
