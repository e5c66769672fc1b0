"""Verifying: every function of the suite, its fast version against its reference.

Each row judges one function at one dtype on drawn cases and on rollouts recorded from real
environments, counts the laws held and the known bugs killed, checks the gradient, and times
it beside a copy of the same bytes.
"""

import functools
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlverify.checking import drawn_cases, judge_case, truth
from rlverify.citations import citation
from rlverify.comparison import holds, rounded
from rlverify.contract import Case, Contract
from rlverify.contracts import find
from rlverify.demonstration import arguments_of_run
from rlverify.diagnosis import flagged_equivalents, row_of
from rlverify.differentiation import case_size, gradient_cases, worst_gradient
from rlverify.inputs import cut_of
from rlverify.judging import LAW_CASES, Verdict, judge
from rlverify.recording import Rollout, real_rollouts
from rlverify.twinning import Canonical, as_torch

DTYPES = ("float64", "float32")
TIMED_SHAPE = (2048, 8)
TIMED_SECONDS = 0.1


@dataclass(frozen=True)
class Mutants:
    """How the checks of a contract fare against its known bugs.

    Attributes:
        killed: how many bugs some check without the reference catches.
        total: how many there are.
        least_visible: id of the bug that the fewest draws show.
        visible: the share of draws that show it.
        unkilled: ids of bugs that no check catches.
        flagged: equivalents that some check flags.
        mistakes: ids of the mistakes behind the bugs; variants of one count once.
    """

    killed: int
    total: int
    least_visible: str
    visible: float
    unkilled: tuple[str, ...]
    flagged: tuple[str, ...]
    mistakes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One function at one dtype.

    Attributes:
        contract: its name.
        topic: its topic.
        verdict: the fast version on drawn cases.
        rollouts: the fast version on recorded rollouts; None where it takes no recording.
        gradient: worst error of its gradient in units of the bound; None where not judged.
        laws: how many laws hold, of how many.
        mutants: the known bugs.
        nanoseconds: time per element, the best of several runs.
        copies: that time over the time of a copy of the same bytes.
        ok: whether all of it holds.
    """

    contract: str
    topic: str
    verdict: Verdict
    rollouts: Verdict | None
    gradient: float | None
    laws: tuple[int, int]
    mutants: Mutants
    nanoseconds: float
    copies: float
    ok: bool


# what stands in where a recording has no such thing
STAND_INS = ("q_taken", "next_state_values", "log_ratios", "coefficients", "target_probabilities")
KNOBS = {"gamma": 0.99, "lam": 0.95, "n": 5, "ddof": 1, "eps": 1e-8, "mask": None,
         "rho_bar": 1.0, "c_bar": 1.0, "rho_bar_advantage": 1.0}  # fmt: skip


def takes_rollouts(contract: Contract) -> bool:
    """Whether a contract is about recordings, and not about something else."""
    names = {argument.name for argument in contract.arguments}
    known = {"rewards", "values", "next_values", "terminated", "truncated", *STAND_INS, *KNOBS}
    return contract.good is None or ("terminated" in names and names <= known)


def rollout_cases(contract: Contract, rollouts: Sequence[Rollout]) -> list[Case]:
    """Return recorded rollouts as cases of a contract, or none where it takes no recording."""
    names = [argument.name for argument in contract.arguments]
    cases: list[Case] = []
    if not takes_rollouts(contract):
        return cases
    for rollout in rollouts:
        knobs: dict[str, Any] = dict(KNOBS)
        rng, shape = np.random.default_rng(0), rollout.rewards.shape
        arrays = {
            "rewards": rollout.rewards,
            "values": rollout.values,
            "next_values": rollout.next_values,
            "terminated": rollout.terminated,
            "truncated": rollout.truncated,
            "q_taken": rollout.values,
            "next_state_values": rollout.next_values,
            "log_ratios": rng.normal(0, 0.5, shape),
            "coefficients": rng.random(shape),
            "target_probabilities": rng.random(shape),
        }
        if "advantages" in names:  # the errors of the rollout stand for advantages
            following = np.where(rollout.terminated, 0, rollout.next_values)
            arrays["advantages"] = rollout.rewards + 0.99 * following - rollout.values
        if "mask" in names and "rewards" in names:  # one sequence a column, up to its first end
            cut = cut_of(rollout.terminated, rollout.truncated)
            first = cut.argmax(axis=0)
            knobs["mask"] = (np.arange(cut.shape[0])[:, None] <= first).T.copy()
            arrays["rewards"], arrays["values"] = rollout.rewards.T.copy(), rollout.values.T.copy()
        everything = {**knobs, **arrays}
        cases.append(Case({name: everything[name] for name in names}, "free", rollout.name))
    return cases


def mutants_of(contract: Contract, budget: int, seed: int) -> Mutants:
    """Run the known bugs of a contract against its checks, up to the first that catches each."""
    cases = drawn_cases(contract, budget, seed)
    found = [
        row_of(contract, bug, cases, LAW_CASES, first_only=True) for bug in contract.known_bugs
    ]
    visible = {row.bug.id: row.visible for row in found}
    unkilled = [row.bug.id for row in found if not row.killed_by]
    least = min(visible, key=lambda bug_id: visible[bug_id])
    total = len(contract.known_bugs)
    flagged = flagged_equivalents(contract, cases, LAW_CASES)
    mistakes = dict.fromkeys(citation(bug.id).id for bug in contract.known_bugs)
    return Mutants(
        killed=total - len(unkilled),
        total=total,
        least_visible=least,
        visible=visible[least],
        unkilled=tuple(unkilled),
        flagged=tuple(flagged),
        mistakes=tuple(mistakes),
    )


def rows(
    contracts: Sequence[Contract],
    *,
    dtypes: Sequence[str] = DTYPES,
    budget: int,
    seed: int,
    device: str = "cpu",
    advance: Callable[[str], None] = lambda step: None,
) -> Iterator[Row]:
    """Verify functions, one row a function and dtype.

    Args:
        contracts: the functions.
        dtypes: the dtypes.
        budget: number of drawn cases.
        seed: of the draws and the rollouts.
        device: where the fast version runs.
        advance: told of every step, for a progress bar.
    """
    share = functools.partial(
        _rows_of, dtypes=tuple(dtypes), budget=budget, seed=seed, device=device
    )
    workers = min(os.cpu_count() or 1, len(contracts)) if device == "cpu" else 1
    if workers < 2:
        for contract in contracts:
            advance(contract.name)
            yield from share(contract.name)
        return
    # processes of their own: what they time is run by one thread, and none shares its memory
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context) as pool:
        try:
            found = [(contract, pool.submit(share, contract.name)) for contract in contracts]
            for contract, future in found:
                advance(contract.name)
                yield from future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@functools.cache
def _rollouts(seed: int) -> tuple[Rollout, ...]:
    return tuple(real_rollouts(seed=seed))


def _rows_of(
    name: str, *, dtypes: tuple[str, ...], budget: int, seed: int, device: str
) -> list[Row]:
    """Verify one function at every dtype."""
    contract = find(name)
    mutants = mutants_of(contract, budget, seed)
    drawn = drawn_cases(contract, budget, seed)
    rollouts = _rollouts(seed) if takes_rollouts(contract) else ()
    judged = dtypes if contract.fast is not None else ("float64",)
    return [row(contract, dtype, drawn, rollouts, mutants, device) for dtype in judged]


def row(
    contract: Contract,
    dtype: str,
    drawn: Sequence[Case],
    rollouts: Sequence[Rollout],
    mutants: Mutants,
    device: str,
) -> Row:
    """Verify one function at one dtype."""
    function = contract.fast or contract.reference  # alone, the reference has its laws to obey
    twin = Canonical(function, contract, "torch" if contract.fast else "numpy", device)
    where = f"{function.__module__}:{getattr(function, '__name__', contract.name)}"
    target = arguments_of_run(repr(where), contract)
    verdict = judge(contract, twin, [*drawn, *contract.long_cases], dtype, target=target)
    recorded = rollout_cases(contract, rollouts)
    judged = (
        judge(contract, twin, recorded, dtype, target=target, law_cases=3) if recorded else None
    )
    small = gradient_cases(contract, drawn)
    gradient = None
    if contract.gradients and contract.fast is not None:
        gradient = worst_gradient(
            contract, [rounded(case, dtype) for case in small if holds(case, dtype)], dtype, device
        )
    laws = [tally for tally in verdict.tallies if tally.check.startswith("law")]
    if dtype not in DTYPES:  # half precision cannot hold every input that a law asks for
        laws = [tally for tally in laws if tally.applied]
    held = sum(1 for tally in laws if tally.applied and not tally.failed)
    seconds, elements, copying = math.nan, 1, math.nan
    if contract.fast is not None:
        seconds, elements, copying = timed(contract, dtype, device)
    ok = (
        verdict.ok
        and (judged is None or judged.ok)
        and (gradient is None or gradient <= 1)
        and held == len(laws)
        and not mutants.unkilled
        and not mutants.flagged
    )
    return Row(
        contract.name,
        contract.topic,
        verdict,
        judged,
        gradient,
        (held, len(laws)),
        mutants,
        1e9 * seconds / elements,
        seconds / copying,
        ok,
    )


def timing_case(contract: Contract, shape: tuple[int, ...], seed: int = 0) -> Case:
    """Return a case of a given shape for timing: few ends, γ = 0.99, λ = 0.95, nothing masked."""
    if contract.sized is not None:
        return contract.sized(shape)
    rng = np.random.default_rng(seed)
    values: dict[str, object] = {}
    knobs = {"gamma": 0.99, "lam": 0.95, "n": 5, "ddof": 1, "eps": 1e-8}
    for argument in contract.arguments:
        if argument.kind == "float":
            values[argument.name] = rng.standard_normal(shape)
        elif argument.kind == "flag":
            values[argument.name] = rng.random(shape) < 0.02
        elif argument.kind == "mask":
            values[argument.name] = np.ones(shape, dtype=bool)
        else:
            values[argument.name] = knobs[argument.name]
    return Case(values, "free", "timing")


def timed(contract: Contract, dtype: str, device: str) -> tuple[float, int, float]:
    """Time the fast version beside a copy of the same bytes, in alternation, on one core.

    What is timed is first judged on a small case; where it is wrong the times are NaN.

    Returns:
        seconds a call, elements, seconds a copy; each the least of all rounds.
    """
    import torch

    shape: tuple[int, ...] = TIMED_SHAPE[::-1] if contract.first.axes == "B L" else TIMED_SHAPE
    small: tuple[int, ...] = (32, 4)
    if contract.sized is not None:
        small, shape = contract.sizes[0], contract.sizes[1]
    judged = rounded(timing_case(contract, small), dtype)
    assert contract.fast is not None
    result = Canonical(contract.fast, contract, "torch", device).run([judged], dtype)[0]
    found, _ = judge_case(judged, result, truth(contract, judged, dtype), "timing")
    if found is not None:
        return math.nan, 1, math.nan
    large = timing_case(contract, shape)
    arguments = as_torch(dict(large.arguments), dtype, device)
    outputs = contract.named(contract.fast(**arguments))
    tensors: list[Any] = [v for v in arguments.values() if isinstance(v, torch.Tensor)]
    moved = sum(t.numel() * t.element_size() for t in (*tensors, *outputs.values()))
    source = torch.ones(moved // 2, dtype=torch.uint8, device=device)  # a copy reads and writes
    target = torch.empty_like(source)

    def wait() -> None:
        if device != "cpu":
            torch.cuda.synchronize()

    def once(action: Callable[[], object]) -> float:
        wait()
        start = time.perf_counter()
        action()
        wait()
        return time.perf_counter() - start

    call: list[float] = []
    copy: list[float] = []
    fast = contract.fast
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # waiting for a second core that others use would be timed too
    try:
        deadline = time.perf_counter() + TIMED_SECONDS
        while time.perf_counter() < deadline or len(call) < 5:
            call.append(once(lambda: fast(**arguments)))
            copy.append(once(lambda: target.copy_(source)))
    finally:
        torch.set_num_threads(threads)
    return min(call), case_size(contract, large), min(copy)
