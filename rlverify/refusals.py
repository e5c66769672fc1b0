"""Refusals of settings that more than one function takes; standard library only."""

from typing import Any

from rlverify.errors import Arguments


def clip_edges(check: Arguments, clip_range: Any) -> tuple[Any, Any]:
    """Return how far below and above 1 a ratio may lie: one number, or a pair (low, high)."""
    if not isinstance(clip_range, tuple):
        check.positive("clip_range", clip_range)
        return clip_range, clip_range
    if len(clip_range) != 2:
        raise ValueError(
            f"{check.function}: clip_range came with {len(clip_range)} numbers, wanted one, or a "
            f"pair (low, high)."
        )
    for number in clip_range:
        check.positive("clip_range", number)
    return clip_range
