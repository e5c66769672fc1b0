"""The operator of somebody else's off-policy return, found by calling it on every trajectory.

A return is affine in its critic, so R 0 gives b, and R eᵢ − b the columns of M: a call for each
entry of the table, each on all trajectories that begin in each state. What it gives them is
averaged as the behaviour policy draws them, given the first state, or the first state and action.

In floats the truth is kept as far as can be seen where it moves by no more than rounding may do:
on every path from the numbers that go in to a target a function is granted ROUNDINGS roundings a
step, of terms no larger than the product of ratios before them allows.
"""

import contextlib
from typing import Any

import numpy as np

from rlverify.biasing.correction import Comparison, Measured
from rlverify.biasing.measurement import ROUNDINGS, UNITS
from rlverify.calling import CallError, Candidate, in_process
from rlverify.calling.isolation import isolated
from rlverify.contract import Case
from rlverify.contracts import find
from rlverify.correction import Correction, OffPolicy, Operator
from rlverify.enumeration import Trajectories, enumerate_trajectories
from rlverify.tabular_envs.finite_mdp import FiniteMDP

# whose arguments the function may have, by the table that it learns
CALLED_AS = {"retrace": "Q", "tree_backup": "Q", "vtrace": "V"}
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
            enumerate_trajectories(alike, where.policy, horizon=steps, behaviour=where.behaviour)
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


def case_of(
    report: Comparison, where: OffPolicy, every: Trajectories, name: str, critic: np.ndarray
) -> Case:
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
    if CALLED_AS[name] == "Q":
        table = critic.reshape(where.policy.shape)
        worth = (where.policy * table).sum(axis=1)
        known |= {"q_taken": table[left, every.actions], "next_state_values": worth[entered]}
    else:
        known |= {"values": critic[left], "next_values": critic[entered]}
    arguments = {item.name: known[item.name] for item in find(name).arguments}
    return Case(arguments, label=f"{shape[1]} trajectories of {shape[0]} steps")


def _candidate(function: Any, **calling: Any) -> tuple[Candidate, str]:
    """Return the function as the first contract has it whose arguments are its own."""
    limits = {key: calling.pop(key) for key in ("time_limit", "memory_limit") if key in calling}
    refusals = []
    for name in CALLED_AS:
        try:
            if isinstance(function, str):
                return isolated(function, find(name), **calling, **limits), name
            return in_process(function, find(name), **calling), name
        except CallError as refusal:
            refusals.append(f"as {name}: {refusal}")
    raise CallError("\n".join(refusals))


def extracted(
    report: Comparison, brought: tuple[Correction, ...], function: Any, **calling: Any
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
    candidate, name = _candidate(function, **calling)
    try:
        return _extracted(report, where, brought, every, candidate, name), ""
    except Unusable as failure:
        return None, f"{candidate.name}: {failure}"
    finally:
        candidate.close()


def _extracted(
    report: Comparison, where: OffPolicy, brought: tuple[Correction, ...],
    every: Trajectories, candidate: Candidate, name: str,
) -> Measured:  # fmt: skip
    table = CALLED_AS[name]
    average = averages(where, every, table)
    truth = (where.action_values if table == "Q" else where.values).ravel()
    critic = report.critics[table].astype(np.float64).ravel()
    size, dtype = truth.size, candidate.dtypes[0]
    asked = [np.zeros(size), *np.eye(size), truth, critic]
    if table == "V":
        with contextlib.suppress(ValueError):  # the policies have no action in common somewhere
            asked.append(_clipped_values(report, where))
    given = [case_of(report, where, every, name, np.asarray(item)) for item in asked]
    results = candidate.run([candidate.project(case) for case in given], dtype)
    targets = []
    for result in results:
        if result.failure is not None or result.outputs is None:
            raise Unusable(result.failure.sentence if result.failure else "returned nothing")
        if OUTPUT[table] not in result.outputs:
            raise Unusable(f"returned {', '.join(result.outputs)}, wanted {OUTPUT[table]}")
        targets.append(result.outputs[OUTPUT[table]][0])
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
    notes = candidate.notes
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
            swapped = {"weight": item.carried, "carried": item.weight}
            found += [
                ("its errors are not weighted with min(ρ̄, ρ)", _but(item, weight=one)),
                ("it clips with ρ̄ and c̄ exchanged", _but(item, **swapped)),
                ("it trusts the next action, not its own", _but(item, carried=one,
                                                                 trust=item.carried)),
            ]  # fmt: skip
        elif item.errors == "Q" and item.name not in ("one-step", "doubled-ratio"):
            one = 1 + 0 * item.trust
            found += [
                (f"{item.name} with the coefficient of step t in place of t + 1",
                 _but(item, trust=one, carried=item.trust)),
                (f"{item.name} with each error weighted with its own coefficient",
                 _but(item, weight=item.trust)),
                (f"{item.name} with the coefficient of step t on error and rest",
                 _but(item, trust=one, weight=item.trust, carried=item.trust)),
            ]  # fmt: skip
    return found


def _but(item: Correction, **changes: Any) -> Correction:
    return Correction(**{**item.__dict__, **changes})


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
