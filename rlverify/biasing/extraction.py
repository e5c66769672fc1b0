"""The operator of somebody else's off-policy return, found by calling it on every trajectory.

A return is affine in its critic, so R 0 gives b, and R eᵢ − b the columns of M: a call for each
entry of the table, each on all trajectories that begin in each state. What it gives them is
averaged as the behaviour policy draws them, given the first state, or the first state and action.

In floats the truth is kept as far as can be seen where it moves by no more than rounding may do:
on every path from the numbers that go in to a target a function is granted ROUNDINGS roundings a
step, of terms no larger than the product of ratios before them allows.
"""

import contextlib
from dataclasses import replace
from typing import Any

import numpy as np

from rlverify.biasing.correction import Comparison, Measured
from rlverify.biasing.measurement import ROUNDINGS, UNITS
from rlverify.calling import CallError, Candidate, Here, planned
from rlverify.calling.isolation import Elsewhere
from rlverify.contract import Case, Contract
from rlverify.contracts import find
from rlverify.correction import Correction, OffPolicy, Operator
from rlverify.enumeration import Trajectories, enumerate_trajectories
from rlverify.tabular_envs.finite_mdp import FiniteMDP

# whose arguments the function may have: a contract, what of it may be lacking, the table it learns
LEVELS = ("rho_bar", "c_bar", "rho_bar_advantage")
FORMS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("retrace", (), "Q"),
    ("tree_backup", (), "Q"),
    ("vtrace", (), "V"),
    ("vtrace", ("rho_bar_advantage",), "V"),
    ("vtrace", LEVELS, "V"),
)
OUTPUT = {"Q": "returns", "V": "value_targets"}
COLUMNS = 20_000  # of a call


class Unusable(Exception):
    """Somebody's function gives no numbers."""


def floating(where: OffPolicy) -> OffPolicy:
    """Return the same in float64."""
    policy, behaviour = (array.astype(np.float64) for array in (where.policy, where.behaviour))
    return OffPolicy(where.mdp, policy, behaviour, float(where.gamma))


def recordings(where: OffPolicy, steps: int) -> Trajectories:
    """Return all trajectories from every state, with their probabilities given that state."""
    mdp, found = where.mdp, []
    for state in range(mdp.states):
        begins = np.eye(mdp.states)[state]
        alike = FiniteMDP(mdp.transition, mdp.reward, mdp.terminal, begins, mdp.name)
        found.append(
            enumerate_trajectories(
                alike, where.policy, horizon=steps, behaviour=where.behaviour, limit=COLUMNS * steps
            )
        )
    names = list(Trajectories.__dataclass_fields__)
    together = [np.concatenate([getattr(each, name) for each in found], axis=-1) for name in names]
    return Trajectories(*together)


def averages(where: OffPolicy, every: Trajectories, table: str) -> np.ndarray:
    """Return weights [N, columns] that average over what follows a pair, or a state."""
    states, actions = where.policy.shape
    first, taken, chances = every.states[0], every.actions[0], every.probabilities
    if table == "V":
        return np.asarray((np.arange(states)[:, None] == first) * chances)
    pairs = np.arange(states * actions)[:, None] == first * actions + taken
    return np.asarray(pairs * (chances / where.behaviour[first, taken]))


def form(name: str, lacking: tuple[str, ...]) -> Contract:
    """Return a contract without some of its arguments, and then without what needs them."""
    contract = find(name)
    if not lacking:
        return contract
    good = contract.good
    left = tuple(item for item in contract.arguments if item.name not in lacking)
    kept = None if good is None else Case({item.name: good[item.name] for item in left})
    return replace(contract, arguments=left, outputs=contract.outputs[:1], good=kept)


def case_of(
    report: Comparison, where: OffPolicy, every: Trajectories, contract: Contract,
    critic: np.ndarray,
) -> Case:  # fmt: skip
    """Return the recording of all trajectories, with a critic, as a contract has it."""
    entered, left = every.states[1:], every.states[:-1]
    shape = every.mask.shape
    known: dict[str, Any] = {
        "rewards": every.rewards, "terminated": every.terminated, "truncated": every.truncated,
        "gamma": where.gamma, "lam": float(report.lam), "log_ratios": every.log_ratios,
        "target_probabilities": where.policy[left, every.actions],
        "rho_bar": float(report.rho_bar), "c_bar": float(report.c_bar),
        "rho_bar_advantage": float(report.rho_bar),
    }  # fmt: skip
    names = {item.name for item in contract.arguments}
    if "q_taken" in names:
        table = critic.reshape(where.policy.shape)
        worth = (where.policy * table).sum(axis=1)
        known |= {"q_taken": table[left, every.actions], "next_state_values": worth[entered]}
    else:
        known |= {"values": critic[left], "next_values": critic[entered]}
    return Case(
        {name: known[name] for name in names}, label=f"{shape[1]} trajectories of {shape[0]} steps"
    )


def _candidate(
    engine: Any, call: str | None, arrays: str | None
) -> tuple[Candidate, Contract, str]:
    """Return the function as the first form has it whose arguments are its own."""
    refusals = []
    for name, lacking, table in FORMS:
        contract = form(name, lacking)
        try:
            return planned(engine, contract, call, arrays, None), contract, table
        except CallError as refusal:
            refusals.append(str(refusal))
    # the form that leaves the least to be guessed
    raise CallError(min(refusals, key=lambda told: told.count(": ")))


def extracted(
    report: Comparison,
    brought: tuple[Correction, ...],
    function: Any,
    *,
    call: str | None = None,
    arrays: str | None = None,
    time_limit: float = 10.0,
    memory_limit: int | None = 4 * 2**30,
) -> tuple[Measured | None, str]:
    """Return what was found out about a function, or why nothing was.

    Raises:
        CallError: it cannot be called without a declaration.
        ValueError: the behaviour does not act everywhere, or there are too many trajectories.
    """
    where = floating(report.where)
    if not (where.behaviour > 0).all():
        raise ValueError("behaviour never takes some action, so no target of it can be measured.")
    every = recordings(where, report.steps)
    if every.probabilities.size > COLUMNS:
        raise ValueError(
            f"horizon came as {report.steps}, which makes {every.probabilities.size} "
            f"trajectories, wanted at most {COLUMNS}; pass a shorter horizon."
        )
    engine: Any = (
        Elsewhere(function, time_limit, memory_limit) if isinstance(function, str)
        else Here(function)
    )  # fmt: skip
    try:
        candidate, contract, table = _candidate(engine, call, arrays)
        return _extracted(report, where, brought, every, candidate, contract, table), ""
    except Unusable as failure:
        return None, str(failure)
    finally:
        engine.close()


def _extracted(
    report: Comparison, where: OffPolicy, brought: tuple[Correction, ...],
    every: Trajectories, candidate: Candidate, contract: Contract, table: str,
) -> Measured:  # fmt: skip
    average = averages(where, every, table)
    # from fractions where there are some: then it is rounded once
    known = report.where.action_values if table == "Q" else report.where.values
    truth = known.astype(np.float64).ravel()
    critic = report.critics[table].astype(np.float64).ravel()
    size, dtype = truth.size, candidate.dtypes[0]
    asked = [np.zeros(size), *np.eye(size), truth, critic]
    if table == "V":
        with contextlib.suppress(ValueError):  # the policies have no action in common somewhere
            asked.append(_clipped_values(report, where))
    given = [case_of(report, where, every, contract, np.asarray(item)) for item in asked]
    results = candidate.run([candidate.project(case) for case in given], dtype)
    targets = []
    for result in results:
        if result.outputs is None:
            told = result.failure.sentence if result.failure else "returned nothing"
            raise Unusable(f"{candidate.name}: {told.removeprefix(f'{candidate.name}: ')}")
        if OUTPUT[table] not in result.outputs:
            came = ", ".join(result.outputs)
            raise Unusable(f"{candidate.name}: returned {came}, wanted {OUTPUT[table]}")
        targets.append(result.outputs[OUTPUT[table]][0])
        if not np.isfinite(targets[-1]).all():
            raise Unusable(f"{candidate.name}: its first targets came with NaN or infinity in them")
    means = [average @ row for row in targets]
    operator = Operator(np.array(means[1 : size + 1]).T - means[0][:, None], means[0])
    unit = UNITS[dtype]
    reach = [_allowed(where, every, average, item, unit) for item in asked]
    basis = np.sum(reach[: size + 1], axis=0)
    scatter = average @ targets[size + 2] ** 2 - means[size + 2] ** 2
    kept = [("policy", size + 1), *([("clipped", size + 3)] if len(asked) > size + 3 else [])]
    found = tuple(
        key for key, i in kept if bool((abs(means[i] - asked[i]) <= reach[i] + reach[0]).all())
    )
    fixed = operator.fixed_point
    # what it does to its arguments is no matter of numbers
    misuse = next((item.failure.sentence for item in results if item.failure), "")
    notes = candidate.notes + ((misuse,) if misuse else ())
    straight = abs(operator(truth) - means[size + 1])
    if (straight > size * (reach[size + 1] + basis)).any():
        notes += ("it is not affine in its critic: its factor is that of the first steps",)
    return Measured(
        candidate.name, candidate.mapping, "", table, operator,
        bias=means[size + 2] - truth,
        variance=np.maximum(scatter, 0),
        missed=None if fixed is None else fixed - truth,
        own=True,
        targets=found,
        diagnosis=_diagnosis(report, where, brought, operator, basis),
        notes=notes,
        printed=next((item.printed for item in results if item.printed), ""),
    )  # fmt: skip


def _clipped_values(report: Comparison, where: OffPolicy) -> np.ndarray:
    middle = where.clipped(float(report.rho_bar))
    return OffPolicy(where.mdp, middle, where.behaviour, where.gamma).values


def _allowed(
    where: OffPolicy, every: Trajectories, average: np.ndarray, critic: np.ndarray, unit: float
) -> np.ndarray:
    """Return what rounding may do to a mean of targets."""
    steps = len(every.mask)
    powers = where.gamma ** np.arange(steps)[:, None]
    products = np.multiply.accumulate(np.maximum(every.ratios, 1), axis=0)
    sizes = (powers * products * (abs(every.rewards) + 3 * abs(critic).max())).sum(axis=0)
    small = ROUNDINGS * (steps + 1) * unit
    return np.asarray(small / (1 - small) * (average @ sizes))


# --- mistakes that have a name -------------------------------------------------------------------


def _mistakes(brought: tuple[Correction, ...]) -> list[tuple[str, Correction]]:
    """Return returns with a mistake in them, and what it is."""
    found = []
    for item in brought:
        if item.table == "V":
            one = 1 + 0 * item.weight
            found += [
                ("its errors are not weighted with min(ρ̄, ρ)", replace(item, weight=one)),
                ("it clips with ρ̄ and c̄ exchanged",
                 replace(item, weight=item.carried, carried=item.weight)),
                ("it trusts the next action, not its own",
                 replace(item, carried=one, trust=item.carried)),
                ("Retrace's sum with errors of V: none has the ratio of its own action",
                 replace(item, carried=one, trust=item.carried, weight=one)),
            ]  # fmt: skip
        elif item.errors == "Q" and item.name not in ("one-step", "doubled-ratio"):
            one = 1 + 0 * item.trust
            found += [
                (f"{item.name} with the coefficient of step t in place of t + 1",
                 replace(item, trust=one, carried=item.trust)),
                (f"{item.name} with each error weighted with its own coefficient",
                 replace(item, weight=item.trust)),
                (f"{item.name} with the coefficient of step t on error and rest",
                 replace(item, trust=one, weight=item.trust, carried=item.trust)),
            ]  # fmt: skip
    return found


def _diagnosis(
    report: Comparison, where: OffPolicy, brought: tuple[Correction, ...], operator: Operator,
    allowed: np.ndarray,
) -> str:  # fmt: skip
    """Say whose operator it is, if it is a known one."""
    named = [(f"its mean is that of {item.name}", item) for item in brought]
    for told, item in [*named, *_mistakes(brought)]:
        other = report.where.operator(item, report.steps)
        if other is None or other.constant.size != operator.constant.size:
            continue
        off = [
            abs(operator.matrix - other.matrix.astype(np.float64)).max(axis=1),
            abs(operator.constant - other.constant.astype(np.float64)),
        ]
        if all((each <= 2 * allowed).all() for each in off):
            return told
    return ""
