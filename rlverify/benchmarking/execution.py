"""The worker that times calls: fresh arguments for each, poison for whoever keeps something.

It is started by `rlverify.benchmarking.contention`, one process for each contender, so that two
versions of a module cannot meet in one interpreter. Around every call, outside the clock,

    the arguments are new, every other time in the memory of those before
    afterwards they are overwritten with NaN, and the results may not change by that
    results of the call before may not have changed either; then they too become NaN
"""

import contextlib
import gc
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rlverify.calling.execution import NotFound, find
from rlverify.calling.invocation import array_bits, arrays_in, build, failed, read_result
from rlverify.calling.transmission import receive, send

REUSED = "wrote to the result of an earlier call; return a new array from each"
ALIASED = "its result changed when its arguments were overwritten; return a copy"

# what a process is given counts, not what others take meanwhile; where it may use several
# cores, only the clock on the wall tells what they save
CLOCKS = {"processor": time.process_time, "wall": time.perf_counter}


def poison(value: Any) -> None:
    """Overwrite an array with what nobody takes for a result; leave alone what cannot change."""
    with contextlib.suppress(ValueError, RuntimeError, TypeError, OverflowError):
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Tensor):
            value.detach().fill_(float("nan") if value.is_floating_point() else 1)
        elif isinstance(value, np.ndarray):
            value.fill(np.nan if value.dtype.kind == "f" else 1)


def refill(old: Any, new: Any) -> Any:
    """Return an array like `new` in the memory of `old`, if that can hold it; else `new`."""
    same = type(old) is type(new) and getattr(old, "shape", 0) == getattr(new, "shape", 1)
    if not same or old.dtype != new.dtype:
        return new
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(new, torch.Tensor):
        return old.detach().copy_(new)
    if isinstance(new, np.ndarray):
        np.copyto(old, new)
        return old
    return new


class Stopwatch:
    """Calls one function, times it, and remembers what the call before left behind."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.count = 0
        self.arguments: list[list[Any]] = []
        self.results: list[tuple[Any, bytes]] = []

    def time(
        self,
        parts: Sequence[Sequence[tuple[str, Any]]],
        positional: int,
        library: str,
        dtype: str,
        clock: Callable[[], float] = time.perf_counter,
    ) -> dict[str, Any]:
        """Make the calls that one case takes; return seconds, outcomes and a remark."""
        given = [[(name, build(value, library, dtype)) for name, value in part] for part in parts]
        if self.count % 2 and len(self.arguments) == len(given):
            given = [
                [
                    (name, refill(before, value))
                    for before, (name, value) in zip(kept, part, strict=True)
                ]
                for kept, part in zip(self.arguments, given, strict=True)
            ]
        self.count += 1
        self.arguments = [[value for _, value in part] for part in given]
        calls = [
            (tuple(value for _, value in part[:positional]), dict(part[positional:]))
            for part in given
        ]
        function, results = self.function, []
        wait = sys.modules["jax"].block_until_ready if library == "jax" else None
        gc.disable()
        try:
            start = clock()
            for by_position, by_name in calls:
                results.append(function(*by_position, **by_name))
            if wait is not None:
                wait(results)
            seconds = clock() - start
        except BaseException as error:
            return {"seconds": 0.0, "outcomes": [plain_outcome(failed(error))], "remark": ""}
        finally:
            gc.enable()
        outcomes = [plain_outcome(read_result(result)) for result in results]
        return {"seconds": seconds, "outcomes": outcomes, "remark": self._remark(results)}

    def _remark(self, results: Sequence[Any]) -> str:
        """Poison what is over; return what somebody kept and should not have kept."""
        arrays = [array for result in results for array in arrays_in(result)]
        bits = [array_bits(array) for array in arrays]
        remark = ""
        if any(array_bits(array) != known for array, known in self.results):
            remark = REUSED
        for array in (value for kept in self.arguments for value in kept):
            poison(array)
        if [array_bits(array) for array in arrays] != bits:
            remark = remark or ALIASED
        for array, _ in self.results:
            poison(array)
        self.results = [(array, array_bits(array)) for array in arrays]
        return remark


def plain_outcome(outcome: Any) -> dict[str, Any]:
    """Return an outcome as plain data; its arrays are not copied."""
    return {**vars(outcome), "leaves": [vars(leaf) for leaf in outcome.leaves]}


def _loaded(target: str) -> tuple[Stopwatch | None, dict[str, Any]]:
    sys.argv = [target]
    try:
        return Stopwatch(find(target)), {"ready": True}
    except NotFound as error:
        return None, {"error": str(error)}


def main() -> None:
    """Answer orders until the other side is gone."""
    inbox, outbox = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    watch: Stopwatch | None = None
    while True:
        try:
            order = receive(inbox)
        except EOFError:
            os._exit(0)
        if order["do"] == "load":
            watch, answer = _loaded(order["target"])
            warnings.simplefilter("ignore")
            if "torch" in sys.modules:
                sys.modules["torch"].set_num_threads(order["threads"])
            send(outbox, answer)
        elif watch is not None:
            how = order["positional"], order["library"], order["dtype"], CLOCKS[order["clock"]]
            send(outbox, [watch.time(parts, *how) for parts in order["cases"]])
