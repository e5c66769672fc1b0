"""The recurrences by CPU kernels: plain tensors in, plain tensors out.

Each function makes sure by a few comparisons that nothing watches the tensors, and that the
arguments are good; where anything is otherwise it returns None, and the caller goes the long
way, which checks again and says what is wrong. Nothing is refused here.

Arrays that lie column behind column are swept as they lie; others are copied row behind row.
Half precision is widened to float32 and rounded once.
"""

import math
from typing import Any

import torch
from torch import Tensor

from rlverify.fast.kernels import calling, loading
from rlverify.fast.kernels.calling import (
    HALVES,
    REALS,
    by_rows,
    discounts,
    good,
    rows_words,
    swept,
    watched,
)

_gae_words = rows_words[8]
_PLAIN = (Tensor, torch.nn.Parameter, float)


def gae(
    rewards: Any,
    values: Any,
    next_values: Any,
    terminated: Any,
    truncated: Any,
    gamma: Any,
    lam: Any,
) -> tuple[Tensor, Tensor] | None:
    """Return advantages and returns."""
    if (  # the usual case by itself: loops over the arguments take a fifth of a small call
        not watched()
        and type(rewards) is type(values) is type(next_values) is Tensor
        and type(terminated) is type(truncated) is Tensor
        and rewards.dtype is torch.float32
        and values.dtype is torch.float32
        and next_values.dtype is torch.float32
        and terminated.dtype is torch.bool
        and truncated.dtype is torch.bool
        and len(shape := rewards.shape) == 2
        and 0 < (elements := shape[0] * shape[1]) < calling.SHARED
        and values.shape == shape
        and next_values.shape == shape
        and terminated.shape == shape
        and truncated.shape == shape
        and rewards.is_cpu
        and values.is_cpu
        and next_values.is_cpu
        and terminated.is_cpu
        and truncated.is_cpu
        and rewards.is_contiguous()
        and values.is_contiguous()
        and next_values.is_contiguous()
        and terminated.is_contiguous()
        and truncated.is_contiguous()
        and elements > 1
        and not (
            torch.is_grad_enabled()
            and (rewards.requires_grad or values.requires_grad or next_values.requires_grad)
        )
        and type(gamma) is float
        and type(lam) is float
        and 0 <= gamma <= 1
        and 0 <= lam <= 1
        and (call := loading.kernel("gae", "float32")) is not None
    ):
        advantages, returns = torch.empty_like(rewards), torch.empty_like(rewards)
        steps, columns = shape
        beyond = next_values.data_ptr()
        call(
            _gae_words(
                steps,
                0,
                columns,
                columns,
                gamma,
                lam,
                0.0,
                0.0,
                0.0,
                rewards.data_ptr(),
                values.data_ptr(),
                beyond,
                terminated.data_ptr(),
                truncated.data_ptr(),
                advantages.data_ptr(),
                returns.data_ptr(),
                beyond + 4 * (elements - columns),
            )
        )
        return advantages, returns
    layout = good((rewards, values, next_values), (terminated, truncated))
    if not layout or not discounts(gamma, lam):
        return None
    given = (rewards, values, next_values, terminated, truncated)
    made = swept("gae", layout, (gamma, lam, 0.0, 0.0, 0.0), given, 2)
    return None if made is None else (made[0], made[1])


def gae_into(
    out: tuple[Any, Any],
    rewards: Any,
    values: Any,
    next_values: Any,
    terminated: Any,
    truncated: Any,
    gamma: Any,
    lam: Any,
) -> bool:
    """Write advantages and returns; V' may be its last row. Return whether that was possible."""
    row = type(next_values) is Tensor and next_values.dim() == 1
    floats = (rewards, values, *out, *(() if row else (next_values,)))
    if good(floats, (terminated, truncated)) != 1 or rewards.dtype not in REALS:
        return False
    if not discounts(gamma, lam):
        return False
    arrays = (rewards, values, values if row else next_values, terminated, truncated, *out)
    if not row:
        return by_rows("gae", (gamma, lam, 0.0, 0.0, 0.0), arrays)
    columns = rewards.shape[1]
    fits = (
        next_values.shape == (columns,)
        and next_values.dtype is rewards.dtype
        and next_values.is_cpu
        and next_values.is_contiguous()
        and not bool(truncated[:-1].any())
    )
    # V' of a row is V of the row behind it, but for the last
    return fits and by_rows(
        "gae",
        (gamma, lam, 0.0, 0.0, 0.0),
        arrays,
        (columns * rewards.element_size(), next_values.data_ptr()),
    )


def sequences(
    rewards: Any, values: Any, mask: Any, gamma: Any, lam: Any
) -> tuple[Tensor, Tensor] | None:
    """Return advantages and returns of the real tokens of sequences, each of which is a row."""
    layout = good((rewards, values), () if mask is None else (mask,))
    if not layout or not discounts(gamma, lam):
        return None
    if mask is None:
        mask = torch.ones_like(rewards, dtype=torch.bool)
    elif not mask.any():
        return None
    dtype = rewards.dtype
    r, v = (array.to(torch.float32) if dtype in HALVES else array for array in (rewards, values))
    r, v, mask = r.contiguous(), v.contiguous(), mask.contiguous()
    call = loading.kernel("sequences", REALS[r.dtype][0])
    if call is None:
        return None
    made = torch.empty_like(r), torch.empty_like(r)
    addresses = [array.data_ptr() for array in (r, v, mask, *made)]
    batch, length = r.shape

    def words(begin: int, end: int) -> bytes:
        return rows_words[5](length, begin, end, length, gamma, lam, 0.0, 0.0, 0.0, *addresses)

    threads = min(torch.get_num_threads(), batch // 4) if r.numel() >= calling.SHARED else 1
    if threads > 1:
        calling.shared(call, words, batch, threads)
    else:
        call(words(0, batch))
    return (made[0].to(dtype), made[1].to(dtype)) if dtype in HALVES else made


def returned(
    rewards: Any, next_values: Any, terminated: Any, truncated: Any, gamma: Any, lam: Any
) -> Tensor | None:
    """Return λ-returns; discounted returns where λ is None."""
    layout = good((rewards, next_values), (terminated, truncated))
    if not layout or not discounts(gamma, 1.0 if lam is None else lam):
        return None
    numbers = (gamma, 1.0, 0.0, 0.0, 0.0) if lam is None else (gamma, lam, 1.0, 0.0, 0.0)
    made = swept("returned", layout, numbers, (rewards, next_values, terminated, truncated), 1)
    return None if made is None else made[0]


def corrected(
    rewards: Any,
    q_taken: Any,
    next_state_values: Any,
    trust: Any,
    terminated: Any,
    truncated: Any,
    gamma: Any,
    lam: Any,
    most: float | None,
) -> Tensor | None:
    """Return targets for Q; `trust` are coefficients, or log-ratios where `most` bounds ratios."""
    layout = good((rewards, q_taken, next_state_values, trust), (terminated, truncated))
    if not layout or not discounts(gamma, lam):
        return None
    ratios = trust if most is None else _ratios(trust)
    numbers = (gamma, lam, math.inf if most is None else most, 0.0, 0.0)
    given = (rewards, q_taken, next_state_values, ratios, terminated, truncated)
    made = swept("corrected", layout, numbers, given, 1)
    return None if made is None else made[0]


def vtrace(
    rewards: Any,
    values: Any,
    next_values: Any,
    log_ratios: Any,
    terminated: Any,
    truncated: Any,
    gamma: Any,
    lam: Any,
    levels: tuple[Any, Any, Any],
) -> tuple[Tensor, Tensor] | None:
    """Return targets and advantages; the levels are ρ̄, c̄ and ρ̄ₐ."""
    layout = good((rewards, values, next_values, log_ratios), (terminated, truncated))
    if not layout or not discounts(gamma, lam):
        return None
    if not all(type(level) is float and level > 0 for level in levels):
        return None
    given = (rewards, values, next_values, _ratios(log_ratios), terminated, truncated)
    made = swept("vtrace", layout, (gamma, lam, *levels), given, 2)
    return None if made is None else (made[0], made[1])


def _ratios(log_ratios: Tensor) -> Tensor:
    return (log_ratios.float() if log_ratios.dtype in HALVES else log_ratios).exp()


def linear(x: Tensor, decay: float | Tensor, cut: Tensor, forwards: bool) -> Tensor | None:
    """Run the recurrence on x with decay and cut of the gaps; all lie row behind row."""
    if x.dtype not in REALS or not x.is_cpu:
        return None
    if any(type(array) not in _PLAIN for array in (x, cut, decay)):
        return None
    name, size = REALS[x.dtype]
    call = loading.kernel("linear", name)
    if call is None:
        return None
    y = torch.empty_like(x)
    steps, columns = len(x), x.numel() // len(x)
    array = isinstance(decay, Tensor)
    places = [x.data_ptr(), decay.data_ptr() if isinstance(decay, Tensor) else 0]
    places += [cut.data_ptr(), y.data_ptr()]
    row = columns
    if forwards:  # the last row first, and the last gap
        row = -columns
        offsets = (steps - 1, steps - 2, 0, steps - 1)
        places = [at + skip * columns * size for at, skip in zip(places, offsets, strict=True)]
        places[2] += (steps - 2) * columns
    numbers = (float(array), 0.0 if array else float(decay), 0.0, 0.0, 0.0)
    pack = rows_words[4]

    def words(begin: int, end: int) -> bytes:
        return pack(steps, begin, end, row, *numbers, *places)

    threads = (
        min(torch.get_num_threads(), columns // calling.SHARE) if x.numel() >= calling.SHARED else 1
    )
    if threads > 1:
        calling.shared(call, words, columns, threads)
    else:
        call(words(0, columns))
    return y
