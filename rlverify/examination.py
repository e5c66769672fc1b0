"""Examination: the functions that users call, `rlverify.check` and `rlverify.run`."""

import functools
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from rlverify.calling import Candidate, in_process
from rlverify.calling.isolation import isolated
from rlverify.checking import drawn_cases, expressed
from rlverify.contract import Case, Contract
from rlverify.contracts import find
from rlverify.demonstration import arguments_of_run
from rlverify.differentiation import cotangents, differentiable, exact_gradient
from rlverify.fitting import fit
from rlverify.judging import Verdict, judge
from rlverify.rounding import PRECISIONS

BUDGET = 200


def open_candidate(
    function: Callable[..., Any] | str,
    contract: Contract,
    *,
    call: str | None = None,
    arrays: str | None = None,
    layout: str | None = None,
    time_limit: float = 10.0,
) -> tuple[Candidate, str]:
    """Return the candidate for a function or `MODULE:FUNCTION`, and how a program runs it."""
    how: dict[str, Any] = {"call": call, "arrays": arrays, "layout": layout}
    choose = functools.partial(fit, contract)
    if isinstance(function, str):
        name = repr(function)
        candidate = isolated(function, contract, **how, time_limit=time_limit, choose=choose)
    else:
        name = getattr(function, "__name__", "function")
        candidate = in_process(function, contract, **how, choose=choose)
    # a program says what was found by trial
    return candidate, arguments_of_run(name, contract, **{**how, "call": candidate.call or call})


def check(
    function: Callable[..., Any] | str,
    name: str,
    *,
    call: str | None = None,
    arrays: str | None = None,
    layout: str | None = None,
    dtype: str | None = None,
    budget: int = BUDGET,
    seed: int = 0,
    conventions: Sequence[str] = (),
    factor: Fraction | None = None,
    excused: Mapping[str, str] | None = None,
    time_limit: float = 10.0,
    advance: Callable[[str], None] = lambda step: None,
) -> Verdict:
    """Judge a function against the contract `name`.

    A string names a function as `MODULE:FUNCTION` or `file.py:FUNCTION`; it runs in a worker
    process under time and memory limits. A Python function runs in this process: an endless
    loop or a crash in it cannot be survived.

    Args:
        function: the function, or the string that names it.
        name: the contract, such as `"gae"` (see `rlverify.list_contracts`).
        call: how to call it, where its argument names do not say so.
        arrays: `"numpy"`, `"torch"` or `"jax"`, where trial calls should not find out.
        layout: `"time-major"`, `"batch-major"` or `"columns"`, likewise.
        dtype: dtype to judge it in; by default the widest it computes in.
        budget: number of drawn cases.
        seed: of the draws.
        conventions: declared readings, `"axis=value"`.
        factor: declared constant bias.
        excused: check name → reason why it may fail.
        time_limit: seconds for one call, where it runs in a worker.
        advance: told of every step, for a progress bar.

    Returns:
        The verdict.

    Raises:
        ValueError: no such contract, convention or dtype, or the call is ambiguous.
        TypeError: `function` is neither callable nor a string.
    """
    contract = find(name)
    if not (callable(function) or isinstance(function, str)):
        raise TypeError(
            f"check: function came as {type(function).__name__}, wanted a function or a "
            "'MODULE:FUNCTION' string."
        )
    if isinstance(budget, bool) or not isinstance(budget, int) or budget < 1:
        raise ValueError(f"check: budget came as {budget!r}, wanted an integer of at least 1.")
    refuse_unknown(contract, conventions, dtype)
    candidate, target = open_candidate(
        function, contract, call=call, arrays=arrays, layout=layout, time_limit=time_limit
    )
    try:
        chosen = dtype or candidate.dtypes[0]
        advance("drawing")
        cases = [*drawn_cases(contract, budget, seed), *contract.long_cases]
        return judge(
            contract, candidate, cases, chosen,
            target=target, conventions=conventions, factor=factor, excused=excused,
            advance=advance,
        )  # fmt: skip
    finally:
        candidate.close()


def refuse_unknown(contract: Contract, conventions: Sequence[str], dtype: str | None) -> None:
    """Refuse conventions and dtypes that do not exist.

    Raises:
        ValueError: with the names that do.
    """
    known = [convention.name for convention in contract.conventions]
    for name in conventions:
        if name not in known:
            there = ", ".join(known) or "none"
            raise ValueError(
                f"check: convention came as {name!r}, wanted one that {contract.name} knows: "
                f"{there}."
            )
    if dtype is not None and dtype not in PRECISIONS:
        raise ValueError(f"check: dtype came as {dtype!r}, wanted one of {', '.join(PRECISIONS)}.")


def run(
    function: Callable[..., Any] | str,
    inputs: Mapping[str, Any],
    *,
    contract: str | None = None,
    call: str | None = None,
    arrays: str | None = None,
    layout: str | None = None,
    dtype: str = "float64",
    gradient: bool = False,
) -> dict[str, np.ndarray]:
    """Run a function on canonical inputs, called as `check` would call it.

    With `gradient`, the derivative of Σ weights · results is wanted instead, with the weights
    that `check` takes (`rlverify.differentiation.cotangents`): of a contract's reference in the
    arrays through which gradients flow, of a candidate, by its own autograd, in all it is given.

    Args:
        function: the name of a contract (its reference runs), a function, or a string that
            names one as `MODULE:FUNCTION`.
        inputs: the contract's arguments by canonical name.
        contract: the contract that a stranger's function is called by.
        call: as for `check`.
        arrays: as for `check`.
        layout: as for `check`.
        dtype: as for `check`.
        gradient: whether the gradient is wanted instead of the result.

    Returns:
        The outputs by canonical name, as float64; the gradient by canonical argument.

    Raises:
        ValueError: the function cannot be called, or failed.
    """
    if contract is None:
        if not isinstance(function, str):
            raise ValueError("run: contract came as None, wanted the name of a contract.")
        known = find(function)
        if gradient:
            case = Case(inputs)
            names = differentiable(known, case)
            return {name: exact_gradient(known, case, name, dtype)[0] for name in names}
        return known.named(known.reference(**inputs))
    candidate, _ = open_candidate(function, find(contract), call=call, arrays=arrays, layout=layout)
    try:
        (case,) = expressed(candidate, [Case(inputs)], dtype)
        if gradient:
            return _gradient(candidate, find(contract), case, dtype)
        result = candidate.run([case], dtype)[0]
        if result.outputs is None:
            raise ValueError(result.failure.sentence if result.failure else "no arrays returned")
        return result.outputs
    finally:
        candidate.close()


def _gradient(
    candidate: Candidate, contract: Contract, case: Case, dtype: str
) -> dict[str, np.ndarray]:
    found = candidate.gradients([case], dtype, lambda given: cotangents(contract, given))
    if found is None or found[0].arrays is None:
        failure = found[0].failure if found else None
        raise ValueError(failure.sentence if failure else f"{candidate.name}: has no gradient.")
    return found[0].arrays
