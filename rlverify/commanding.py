"""Commanding: what each command does, once its words are understood.

A command takes what was asked for and a `Desk`, prints there what it found out, and returns
whether all of it holds. What cannot be done as asked is refused as `Usage`, before long work.
"""

import functools
import time
from collections.abc import Sequence

import rlverify
from rlverify import reporting, verifying
from rlverify.checking import drawn_cases
from rlverify.contract import Contract
from rlverify.contracts import contracts, find
from rlverify.diagnosis import matrix
from rlverify.examination import BUDGET, refuse_unknown
from rlverify.judging import LAW_CASES, Verdict
from rlverify.machine import machine, refuse_device
from rlverify.preparation import check_names, refuse_unknown_checks, usage
from rlverify.presentation import Desk, Progression
from rlverify.serialization import (
    contract_record,
    left_out_record,
    matrix_record,
    row_record,
    verdict_record,
)
from rlverify.settings import Task
from rlverify.tabulation import text


def named(names: Sequence[str]) -> list[Contract]:
    """Return the contracts of some names; all of them for none."""
    with usage():
        return [find(name) for name in dict.fromkeys(names)] if names else list(contracts())


def verify(
    desk: Desk, names: Sequence[str], dtypes: Sequence[str], device: str, budget: int, seed: int
) -> bool:
    """Judge every fast version against its reference, in one table."""
    chosen = named(names)
    dtypes = list(dict.fromkeys(dtypes)) or list(verifying.DTYPES)
    with usage():
        for dtype in dtypes:
            refuse_unknown(chosen[0], (), dtype)
        refuse_device(device)
    start, rows = time.perf_counter(), []
    with desk.progression(len(chosen)) as progress:
        for row in verifying.rows(
            chosen, dtypes=dtypes, budget=budget, seed=seed, device=device, advance=progress.step
        ):
            rows.append(row)
            last = dtypes[-1] if find(row.contract).fast is not None else "float64"
            if row.verdict.dtype == last:
                right = all(each.ok for each in rows if each.contract == row.contract)
                progress.done(f"{row.contract}: {_told(right)}")
    seconds, ran_on, ok = time.perf_counter() - start, machine(device), all(r.ok for r in rows)
    asked = {
        "names": [contract.name for contract in chosen],
        "dtypes": dtypes,
        "device": device,
        "budget": budget,
        "seed": seed,
    }
    desk.write(asked, [row_record(row) for row in rows], ok=ok, machine=ran_on, seconds=seconds)
    desk.say(reporting.row_lines(rows, ran_on, seconds, desk.width))
    return ok


def check(desk: Desk, tasks: Sequence[Task], budget: int, seed: int, time_limit: float) -> bool:
    """Judge candidates."""
    with usage():
        for task in tasks:
            contract = find(task.contract)
            refuse_unknown(contract, task.conventions, task.dtype)
            refuse_unknown_checks(f"{task.target}: excused", task.excused, check_names(contract))
    verdicts = []
    with desk.progression(len(tasks)) as progress:
        for task in tasks:
            verdicts.append(_checked(task, budget, seed, time_limit, progress))
            progress.done(f"{task.target}: {_told(verdicts[-1].ok)}")
    asked = {
        "candidates": [vars(task) for task in tasks],
        "budget": budget,
        "seed": seed,
        "time_limit": time_limit,
    }
    ok = all(verdict.ok for verdict in verdicts)
    desk.write(asked, [verdict_record(verdict) for verdict in verdicts], ok=ok)
    for i, verdict in enumerate(verdicts):
        desk.say([text("")] if i else [])
        desk.say(reporting.verdict_lines(verdict, desk.width))
    return ok


def _checked(
    task: Task, budget: int, seed: int, time_limit: float, progress: Progression
) -> Verdict:
    options = {k: v for k, v in vars(task).items() if k not in ("target", "contract")}
    step = functools.partial(_step, progress, task.target)
    with usage():
        verdict: Verdict = rlverify.check(
            task.target, task.contract, **options,
            budget=budget, seed=seed, time_limit=time_limit, advance=step,
        )  # fmt: skip
    return verdict


def _step(progress: Progression, target: str, step: str) -> None:
    progress.step(f"{target}: {step}")


def _told(ok: bool) -> str:
    return "ok" if ok else "not ok"


def explain(desk: Desk, name: str) -> bool:
    """Tell what an estimator is."""
    (contract,) = named([name])
    told = reporting.explanation(contract, min(desk.width or reporting.WIDTH, reporting.WIDTH))
    desk.write({"name": name}, [{**contract_record(contract), "text": told}])
    desk.say(reporting.headed(told))
    return True


def mutants(desk: Desk, names: Sequence[str], budget: int, seed: int) -> bool:
    """Run every known bug against every check."""
    chosen, found = named(names), []
    with desk.progression(len(chosen)) as progress:
        for contract in chosen:
            progress.step(contract.name)
            found.append(matrix(contract, drawn_cases(contract, budget, seed), LAW_CASES))
            progress.done(f"{contract.name}: {_told(not found[-1].holes)}")
    ok = not any(each.holes for each in found)
    asked = {"names": [contract.name for contract in chosen], "budget": budget, "seed": seed}
    records = [{**matrix_record(each), "holes": each.holes} for each in found]
    desk.write(asked, records, ok=ok, left_out=left_out_record())
    for each in found:
        desk.say([*reporting.matrix_lines(each, desk.width), text("")])
    desk.say(reporting.left_out_lines(desk.width))
    return ok


def drawn(*wanted: int | None) -> int:
    """Return the number of cases to draw: the first that is given, or the usual one."""
    return next((number for number in wanted if number is not None), BUDGET)
