"""The arithmetic of the CUDA kernels, compiled by Triton.

    columns    one program for a block of columns: a loop from the last row to the first, with
               the row behind in registers. Reads and writes are of neighbouring columns. For
               wide recordings: enough columns to keep the machine busy.
    stretches  one program for one column: a block of rows at a time, composed as maps
               z ↦ x + a z by an associative scan, from the last block to the first with what
               stands behind it in a register. For long recordings of few columns.

Both take x, decay (an array, or a number) and cut, and run either way; addresses of rows are
computed in 64 bits. A cut selects; a number comes as an array of one element, because Triton
would hand over a float in single precision.
"""

import triton
import triton.language as tl


@triton.jit
def columns(
    x_at,
    decay_at,
    cut_at,
    y_at,
    steps,
    count,
    HAS_DECAY: tl.constexpr,
    FORWARDS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Run the recurrence of a block of columns, row by row."""
    column = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = column < count
    step = tl.full([BLOCK], count, tl.int64)
    at = column
    if not FORWARDS:
        at += step * (steps - 1)
        step = -step
    behind = tl.load(x_at + at, mask=inside, other=0)
    tl.store(y_at + at, behind, mask=inside)
    for _ in range(1, steps):
        # the gap between this row and the one behind it, which has the number of the upper one
        gap = at if FORWARDS else at + step
        at += step
        value = tl.load(x_at + at, mask=inside, other=0)
        stop = tl.load(cut_at + gap, mask=inside, other=1) != 0
        if HAS_DECAY:  # noqa: SIM108 - the compiler takes one branch only of a statement
            weight = tl.load(decay_at + gap, mask=inside, other=0)
        else:
            weight = tl.load(decay_at)
        behind = tl.where(stop, value, value + weight * behind)
        tl.store(y_at + at, behind, mask=inside)


@triton.jit
def composed(stop_behind, weight_behind, value_behind, stop, weight, value):
    """Return the map of a row after that of the rows behind it."""
    joined = value + weight * value_behind
    return stop | stop_behind, weight * weight_behind, tl.where(stop != 0, value, joined)


@triton.jit
def stretches(
    x_at,
    decay_at,
    cut_at,
    y_at,
    steps,
    count,
    HAS_DECAY: tl.constexpr,
    FORWARDS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Run the recurrence of one column, a block of rows at a time."""
    place = tl.arange(0, BLOCK).to(tl.int64)
    column = tl.program_id(0).to(tl.int64)
    behind = tl.load(x_at + column) * 0  # no row has been yet, and the first one is told to stop
    for start in range(0, steps, BLOCK):
        i = start + place
        inside = i < steps
        row = i if FORWARDS else steps - 1 - i
        at = row * count + column
        value = tl.load(x_at + at, mask=inside, other=0)
        gap = at - count if FORWARDS else at
        joined = inside & (i > 0)
        stop = tl.load(cut_at + gap, mask=joined, other=1) != 0
        if HAS_DECAY:
            weight = tl.load(decay_at + gap, mask=joined, other=0)
        else:
            weight = tl.load(decay_at) + tl.zeros_like(value)
        weight = tl.where(stop, 0, weight)
        stops, weight, value = tl.associative_scan((stop.to(tl.int32), weight, value), 0, composed)
        value = tl.where(stops != 0, value, value + weight * behind)
        tl.store(y_at + at, value, mask=inside)
        behind = tl.sum(tl.where(place == BLOCK - 1, value, 0), 0)
