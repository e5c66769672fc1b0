"""A stranger's function in a process of its own, which it may hang, crash or exhaust.

The worker is a fresh interpreter, not a fork: threads of PyTorch do not survive a fork. It
is given arrays and names only, and nothing that it sends can run code here. It ends with
this process, or when `close` is called, or when the candidate is collected as garbage.
"""

import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rlverify.calling import CallError, Candidate, Choice, planned
from rlverify.calling.description import Parameter, Signature
from rlverify.calling.invocation import Call, Leaf, Outcome
from rlverify.calling.supervision import GRACE, Ended, Worker
from rlverify.calling.transmission import sendable
from rlverify.contract import Contract

IMPORT_LIMIT = 120.0  # seconds; a cold disk and a large library take many
GIVE_UP = 2  # so often may a candidate hang or die before it is left alone
BATCH_CALLS, BATCH_BYTES = 512, 2**23


class Elsewhere:
    """The engine of functions that live in a worker process."""

    def __init__(self, target: str, time_limit: float, memory_limit: int | None) -> None:
        self.target = target
        self.time_limit = time_limit
        self.memory_limit = memory_limit
        self.strikes = 0
        self.last_strike: Outcome | None = None
        self.worker: Worker | None = None
        self.finalizer: weakref.finalize[Any, Any] | None = None
        self.known: dict[str, tuple[str, ...]] = {}
        self.signature = self._start()

    def _start(self) -> Signature:
        self.worker = worker = Worker()
        self.finalizer = weakref.finalize(self, worker.end)
        try:
            worker.tell({"do": "load", "target": self.target})
            answer = worker.hear(IMPORT_LIMIT)
        except Ended as ended:
            how, detail, _ = worker.epitaph(late=ended.late)
            self._forget()
            told = f"took more than {IMPORT_LIMIT:g} s" if how == "timeout" else f"ended by {how}"
            line = detail.strip().splitlines()[-1:] or [""]
            raise CallError(f"{self.target}: importing it {told}. {line[0]}".strip()) from None
        if "error" in answer:
            self.close()
            raise CallError(str(answer["error"]))
        found = answer["signature"]
        parameters = found["parameters"]
        return Signature(
            found["name"],
            None if parameters is None else tuple(Parameter(**item) for item in parameters),
            tuple(found["returned"]),
            tuple(found["libraries"]),
        )

    def _forget(self) -> None:
        if self.finalizer is not None:
            self.finalizer.detach()
        self.worker = None

    def close(self) -> None:
        """End the worker process."""
        if self.worker is not None:
            self.worker.end()
            self._forget()

    def dtypes(self, library: str) -> tuple[str, ...]:
        """Return the float dtypes a library computes in, in the worker."""
        if library not in self.known:
            if self.worker is None:
                self._start()
            assert self.worker is not None
            try:
                self.worker.tell({"do": "dtypes", "library": library})
                self.known[library] = tuple(self.worker.hear(IMPORT_LIMIT)["dtypes"])
            except Ended as ended:
                how, _, _ = self.worker.epitaph(late=ended.late)
                self._forget()
                raise CallError(f"{self.target}: importing {library} ended by {how}.") from None
        return self.known[library]

    def takes(self, value: Any) -> bool:
        """Return whether an argument is data; a function that counts its calls is not."""
        return sendable(value)

    def run(self, calls: Sequence[Call], library: str, dtype: str) -> list[Outcome]:
        """Make calls; a worker that is lost is replaced, up to a limit."""
        outcomes: list[Outcome] = []
        while len(outcomes) < len(calls):
            left = calls[len(outcomes) :]
            if (
                outcomes
                and outcomes[-1].failure
                and calls[len(outcomes) - 1].group == left[0].group
            ):
                outcomes.append(replace(outcomes[-1], ran=False))
            elif self.strikes >= GIVE_UP and self.last_strike is not None:
                outcomes.append(replace(self.last_strike, ran=False))
            else:
                self._run_batch(_batch(left), library, dtype, outcomes)
        return outcomes

    def _run_batch(
        self, calls: Sequence[Call], library: str, dtype: str, outcomes: list[Outcome]
    ) -> None:
        """Append the outcomes of calls, fewer where the worker is lost."""
        try:
            if self.worker is None:
                self._start()
        except CallError as error:
            return self._strike(Outcome("died", f"could not be loaded again ({error})"), outcomes)
        worker = self.worker
        assert worker is not None
        try:
            worker.tell(
                {
                    "do": "run",
                    "library": library,
                    "dtype": dtype,
                    "time_limit": self.time_limit,
                    "memory_limit": self.memory_limit,
                    "calls": [vars(call) for call in calls],
                }
            )
            for _ in calls:
                answer = worker.hear(self.time_limit + GRACE)
                outcomes.append(
                    replace(outcomes[-1], ran=False) if answer is None else self._outcome(answer)
                )
        except Ended as ended:
            self._strike(self._lost(*worker.epitaph(late=ended.late)), outcomes)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            worker.end()
            message = "wrote something of its own where its results are sent"
            self._strike(Outcome("died", message), outcomes)

    def _strike(self, outcome: Outcome, outcomes: list[Outcome]) -> None:
        self._forget()
        self.strikes += 1
        self.last_strike = outcome
        outcomes.append(outcome)

    def _outcome(self, answer: dict[str, Any]) -> Outcome:
        """Rebuild an outcome; anything else that a worker may send raises."""
        leaves = tuple(Leaf(**leaf) for leaf in answer.pop("leaves"))
        outcome = Outcome(
            **{
                **answer,
                "leaves": leaves,
                "overwrote": tuple(answer["overwrote"]),
                "aliased": tuple((label, name) for label, name in answer["aliased"]),
            }
        )
        if any(leaf.array is not None and leaf.array.dtype != np.float64 for leaf in leaves):
            raise TypeError
        return self._memory(outcome) if outcome.failure == "memory" else outcome

    def _memory(self, outcome: Outcome) -> Outcome:
        limit = f"{self.memory_limit / 2**30:.3g} GiB" if self.memory_limit else "what there is"
        return replace(
            outcome, message=f"{outcome.message}; it may use {limit} beyond what its imports take"
        )

    def _lost(self, how: str, detail: str, printed: str) -> Outcome:
        if how == "timeout":
            message = (
                f"did not return within {self.time_limit:g} s; raise the time limit if it is "
                "only slow"
            )
            return Outcome("hung", message, detail, printed=printed)
        if "bad_alloc" in printed + detail:
            return self._memory(Outcome("memory", f"ended by {how}", detail, printed=printed))
        hint = ", as the system does when memory runs out" if how == "SIGKILL" else ""
        return Outcome("died", f"ended its process by {how}{hint}", detail, printed=printed)


def _batch(calls: Sequence[Call]) -> Sequence[Call]:
    """Return the first calls, as many as one message should hold."""
    size = 0
    for i, call in enumerate(calls[:BATCH_CALLS]):
        size += sum(v.nbytes for _, v in call.arguments if isinstance(v, np.ndarray))
        if size > BATCH_BYTES and i:
            return calls[:i]
    return calls[:BATCH_CALLS]


def isolated(
    target: str,
    contract: Contract,
    *,
    call: str | None = None,
    arrays: str | None = None,
    layout: str | None = None,
    time_limit: float = 10.0,
    memory_limit: int | None = 4 * 2**30,
    choose: Choice | None = None,
) -> Candidate:
    """Return a function named by module or file as a candidate, in a worker process.

    Args:
        target: `MODULE:FUNCTION`, `PATH.py:FUNCTION` or `MODULE:CLASS.METHOD`.
        contract: what it is judged by.
        call: how it is called, where names do not say (`rlverify.calling.declaration`).
        arrays: `numpy`, `torch` or `jax`, where that should not be found out.
        layout: as `rlverify.calling.in_process` takes it.
        time_limit: seconds that one call may take.
        memory_limit: bytes that it may use beyond what its imports take; None for no limit.
            Kept on Linux.
        choose: as `rlverify.calling.in_process` takes it.

    Raises:
        CallError: the target cannot be imported, or its call is ambiguous or impossible.
    """
    engine = Elsewhere(target, time_limit, memory_limit)
    try:
        return planned(engine, contract, call, arrays, layout, choose)
    except BaseException:
        engine.close()
        raise
