"""The recurrence in plain PyTorch: three orders of the same composition of maps.

The map of one row, z ↦ xₜ + aₜ z, composes with the map of the next to one of the same form:

    loop       row by row: the least arithmetic, but T short steps.
    doubling   pass k joins the window of 2ᵏ rows at t with the one behind it: log₂ T passes.
    halving    joins rows in pairs, solves for every second row, then fills in the others.

A strategy takes x of T rows with decay and cut of the T − 1 gaps between them.
"""

from collections.abc import Callable

import torch

Decay = float | torch.Tensor
Strategy = Callable[[torch.Tensor, Decay, torch.Tensor], torch.Tensor]

# a pass over fewer elements than this costs its launch, not its arithmetic (measured)
CHEAP_PASS = {"cpu": 2**13, "cuda": 2**20}


def plus_scaled(base: torch.Tensor, weight: Decay, array: torch.Tensor) -> torch.Tensor:
    """Return base + weight · array for a number or an array of weights."""
    if isinstance(weight, float):
        return torch.add(base, array, alpha=weight)
    return torch.addcmul(base, weight, array)


def part(decay: Decay, rows: slice) -> Decay:
    """Return some rows of an array of weights; a number is the same for all."""
    return decay if isinstance(decay, float) else decay[rows]


def _join(
    head: torch.Tensor, decay: Decay, cut: torch.Tensor, tail: torch.Tensor, out: torch.Tensor
) -> torch.Tensor:
    """Write head + (nothing if cut, else decay · tail) to `out`, which may be `head`."""
    continued = plus_scaled(head, decay, tail)
    if torch.compiler.is_compiling():  # it takes no out= with gaps, and fuses the copy away
        return out.copy_(torch.where(cut, head, continued))
    return torch.where(cut, head, continued, out=out)


def loop(x: torch.Tensor, decay: Decay, cut: torch.Tensor) -> torch.Tensor:
    """Run the recurrence row by row."""
    y = torch.empty_like(x)
    y[-1] = x[-1]
    ins, outs, cuts = x.unbind(0), y.unbind(0), cut.unbind(0)
    decays = [decay] * len(cuts) if isinstance(decay, float) else decay.unbind(0)
    for t in reversed(range(len(cuts))):
        _join(ins[t], decays[t], cuts[t], outs[t + 1], out=outs[t])
    return y


def doubling(x: torch.Tensor, decay: Decay, cut: torch.Tensor) -> torch.Tensor:
    """Run the recurrence in ⌈log₂ T⌉ passes over all rows."""
    y = x.clone()
    window = 1
    while window < len(y):
        # decay and cut now describe the windows that end before the last row
        head = y[:-window]
        _join(head, decay, cut, y[window:], out=head)
        if 2 * window < len(y):
            cut = cut[:-window] | cut[window:]
            decay = part(decay, slice(-window)) * part(decay, slice(window, None))
        window *= 2
    return y


def halving(x: torch.Tensor, decay: Decay, cut: torch.Tensor) -> torch.Tensor:
    """Run the recurrence on every second row, each joined with its successor; then fill in."""
    y = x.clone()
    cheap = CHEAP_PASS["cpu" if x.device.type == "cpu" else "cuda"]
    even, odd = slice(0, None, 2), slice(1, None, 2)
    rows, levels = y, []
    while rows.numel() > cheap and len(rows) > 1:
        head = rows[even][: len(rows) // 2]  # an odd last row has nothing to be joined with
        _join(head, part(decay, even), cut[even], rows[odd], out=head)
        levels.append((rows, part(decay, odd), cut[odd]))
        rows, gaps = rows[even], slice(0, len(cut[odd]))
        decay = part(part(decay, even), gaps) * part(decay, odd)
        cut = cut[even][gaps] | cut[odd]
    rows.copy_(doubling(rows.contiguous(), decay, cut))
    for rows, decay, cut in reversed(levels):
        head = rows[odd][: len(cut)]
        _join(head, decay, cut, rows[2::2], out=head)
    return y
