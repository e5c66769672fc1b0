"""How a CPU kernel is called: which arguments it takes as they are, and its words.

PyTorch's dispatcher takes longer than a small kernel, so kernels are given addresses. That is for
tensors that nothing watches: no gradient, no compiler, no transform, no subclass.
"""

import os
import struct
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from rlverify.fast.kernels import loading

REALS = {torch.float32: ("float32", 4), torch.float64: ("float64", 8)}
HALVES = (torch.float16, torch.bfloat16)
# elements from which a second thread is worth waking, and columns that each must get
SHARED, SHARE = 2**19, 64
PLACES = 11  # addresses that the words of a strided kernel have room for
rows_words = {count: struct.Struct(f"=4q5d{count}q").pack for count in range(3, 9)}
strided_words = struct.Struct(f"=4q5d{3 * PLACES}q").pack
_transforms = torch._C._functorch.peek_interpreter_stack
_modes, _tracing = torch._C._len_torch_dispatch_stack, torch._C._get_tracing_state
_pools: dict[int, ThreadPoolExecutor] = {}  # by process: threads do not survive a fork


def watched() -> bool:
    """Return whether a compiler, a transform or a mode wants to see every operation."""
    return (
        torch.compiler.is_compiling()
        or _transforms() is not None
        or _modes() > 0
        or forward_ad._current_level >= 0
        or _tracing() is not None
    )


def good(floats: tuple[Any, ...], flags: tuple[Any, ...]) -> int:
    """Return 0 if these arguments must go the long way, 1 if they lie row by row, else 2."""
    first = floats[0]
    if type(first) is not Tensor or watched():
        return 0
    dtype, shape = first.dtype, first.shape
    if len(shape) != 2 or (dtype not in REALS and dtype not in HALVES):
        return 0
    recording, layout = torch.is_grad_enabled(), 1
    for array in floats:
        if (
            type(array) is not Tensor
            or array.dtype is not dtype
            or array.shape != shape
            or not array.is_cpu
            or (recording and array.requires_grad)
        ):
            return 0
        if not array.is_contiguous():
            layout = 2
    for array in flags:
        if (
            type(array) is not Tensor
            or array.dtype is not torch.bool
            or array.shape != shape
            or not array.is_cpu
        ):
            return 0
        if not array.is_contiguous():
            layout = 2
    elements = shape[0] * shape[1]
    if elements == 0:
        return 0
    # a negated view of a complex number's part is not contiguous unless it is one element
    if (layout == 2 or elements == 1) and any(array.is_neg() for array in floats):
        return 0
    return layout


def discounts(gamma: Any, lam: Any) -> bool:
    """Return whether γ and λ are floats in [0, 1]; arrays of γ go the long way."""
    return type(gamma) is float and type(lam) is float and 0 <= gamma <= 1 and 0 <= lam <= 1


def shared(call: loading.Call, words: Any, columns: int, threads: int) -> None:
    """Run a kernel on as many pieces of the columns as there are threads."""
    if os.getpid() not in _pools:
        _pools.clear()
        _pools[os.getpid()] = ThreadPoolExecutor(os.cpu_count() or 1, "rlverify")
    pool = _pools[os.getpid()]
    # whole cache lines, so that no two threads write to one
    size = -(-columns // threads)
    size += -size % SHARE
    tasks: list[Future[Any]] = [
        pool.submit(call, words(first, min(first + size, columns)))
        for first in range(size, columns, size)
    ]
    call(words(0, min(size, columns)))
    for task in tasks:
        task.result()


def by_rows(
    name: str,
    numbers: tuple[float, ...],
    arrays: tuple[Tensor, ...],
    beyond: tuple[int, int] | None = None,
) -> bool:
    """Run a kernel on arrays that lie row behind row; return whether there is one.

    GAE reads V' of the last row from a place of its own. `beyond` says how many bytes the other
    rows lie behind the start of the array, and where the last one is.
    """
    first = arrays[0]
    call = loading.kernel(name, REALS[first.dtype][0])
    if call is None:
        return False
    steps, columns = first.shape
    addresses = [array.data_ptr() for array in arrays]
    if beyond is not None:
        addresses[2] += beyond[0]
        addresses.append(beyond[1])
    elif name == "gae":
        addresses.append(addresses[2] + (steps - 1) * columns * first.element_size())
    pack = rows_words[len(addresses)]
    if steps * columns >= SHARED:
        threads = min(torch.get_num_threads(), columns // SHARE)
        if threads > 1:

            def words(begin: int, end: int) -> bytes:
                return pack(steps, begin, end, columns, *numbers, *addresses)

            shared(call, words, columns, threads)
            return True
    call(pack(steps, 0, columns, columns, *numbers, *addresses))
    return True


def as_they_lie(name: str, numbers: tuple[float, ...], arrays: tuple[Tensor, ...]) -> bool:
    """Run a kernel on arrays of any strides; return whether there is one."""
    first = arrays[0]
    call = loading.kernel(name, REALS[first.dtype][0], strided=True)
    if call is None:
        return False
    steps, columns = first.shape
    if name == "gae":
        arrays = (*arrays, arrays[2][-1:])
    gaps = [0] * (PLACES - len(arrays))
    lists = [
        [array.data_ptr() for array in arrays],
        [array.stride(0) * array.element_size() for array in arrays],
        [array.stride(1) * array.element_size() for array in arrays],
    ]
    places = [word for each in lists for word in (*each, *gaps)]
    call(strided_words(steps, 0, columns, 0, *numbers, *places))
    return True


def swept(
    name: str, layout: int, numbers: tuple[float, ...], given: tuple[Tensor, ...], results: int
) -> tuple[Tensor, ...] | None:
    """Run a kernel on good arguments, and return its results in their dtype."""
    dtype = given[0].dtype
    if dtype in HALVES:
        given = tuple(array.float() if array.dtype is dtype else array for array in given)
    if layout == 2:
        if all(array.stride(0) == 1 for array in given):
            made = tuple(torch.empty_like(given[0]) for _ in range(results))
            if not as_they_lie(name, numbers, (*given, *made)):
                return None
            return tuple(array.to(dtype) for array in made) if dtype in HALVES else made
        given = tuple(array.contiguous() for array in given)
    first = given[0]
    made = (
        (torch.empty_like(first),)
        if results == 1
        else (
            torch.empty_like(first),
            torch.empty_like(first),
        )
    )
    if not by_rows(name, numbers, (*given, *made)):
        return None
    return tuple(array.to(dtype) for array in made) if dtype in HALVES else made
