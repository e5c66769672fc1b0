"""Contracts of the topic `dynamic_programming`: values, best policies, visits."""

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import Argument, Case, Contract, Convention, Equivalent, KnownBug, Law
from rlverify.contracts import _planning_laws as laws
from rlverify.contracts._planning_shared import BACKUP_BUGS, PROCESS, arguments, example, refusals
from rlverify.contracts._process_cases import (
    evaluation_truth,
    good,
    iteration_truth,
    processes,
    sized,
)
from rlverify.contracts._refusals import bad_floats, instead
from rlverify.fast import dynamic_programming as fast
from rlverify.reference import dynamic_programming as reference

Array = np.ndarray
SIZES = ((8, 2), (32, 4), (128, 4), (512, 6))

# a coin that ends the game or brings it back, and one that pays
GAME = {
    "transition": np.array([[[0.5, 0.5], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]]),
    "reward": np.array([[[1.0, 3.0], [9.0, 1.0]], [[9.0, 2.0], [9.0, 4.0]]]),
    "terminal": np.array([[[False, True], [True, False]], [[False, True], [False, True]]]),
}

# --- action values -------------------------------------------------------------------------------

Q_NAMES = (*PROCESS, "values", "gamma")


def in_two_products(
    transition: Array, reward: Array, terminal: Array, values: Array, *, gamma: float
) -> Array:
    """Form the expected reward and the expected value of what follows apart."""
    goes = np.where(terminal, 0, transition)
    return np.asarray((transition * reward).sum(-1) + gamma * (goes @ values))


ACTION_VALUES = Contract(
    name="action_values",
    topic="dynamic_programming",
    summary="what each action is worth, by one backup of values",
    source="Puterman 1994, section 6.2; Sutton & Barto 2018, eq. 4.6",
    reference=reference.action_values,
    fast=fast.action_values,
    arguments=arguments(Q_NAMES),
    outputs=("action_values",),
    axes=("S A",),
    inputs=processes(Q_NAMES, gammas=(0.5, 0.75, 0.875, 1.0, 0.0)),
    examples=(
        # ½·(1 + ½·8) + ½·3, 1 + ½·6; the second state pays 2 or 4, and that is all
        example("a coin", {"action_values": [["4", "4"], ["2", "4"]]},
                **GAME, values=np.array([8.0, 6.0]), gamma=0.5),
    ),
    laws=(
        Law("all-end", "where every step ends Q is the expected reward",
            laws.check_all_end(lambda pays, case: pays)),
        Law("impulse", "V of one state adds γ P(s′|s,a) times it, unless the step ends",
            laws.check_impulse),
        Law("no-farther", "V that differ by at most 1 give Q that differ by at most γ",
            laws.check_no_farther),
        laws.POSSIBLE,
    ),
    gradients=("transition", "reward", "values"),
    known_bugs=BACKUP_BUGS,
    equivalents=(
        Equivalent("in two products", "expected reward and expected value apart", in_two_products),
    ),
    bad_inputs=refusals("action_values", Q_NAMES, discounted=False),
    sizes=SIZES,
    good=good(Q_NAMES),
    sized=sized(Q_NAMES),
)  # fmt: skip

# --- greedy policies -----------------------------------------------------------------------------


@st.composite
def tables(draw: st.DrawFn) -> Case:
    """Draw action values, with ties."""
    shape = draw(st.sampled_from(((1, 1), (1, 3), (2, 2), (3, 2), (2, 3), (3, 3), (2, 5))))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    few = draw(st.sampled_from((2, 3, 64)))
    return Case({"action_values": rng.integers(-few, few, shape) / 8})


GREATEST = "greatest = max(action_values[s])"
BEST = "best = [a for a in range(actions) if action_values[s, a] == greatest]"
SHARE = "(greatest - greatest + 1) / len(best)"
GREEDY = Contract(
    name="greedy_policy",
    topic="dynamic_programming",
    summary="probabilities of the policy that takes the best action, ties sharing",
    source="Sutton & Barto 2018, eq. 4.9 and section 4.2",
    reference=reference.greedy_policy,
    fast=fast.greedy_policy,
    arguments=(Argument("action_values", "float", "S A"),),
    outputs=("policy",),
    axes=("S A",),
    inputs=tables(),
    examples=(
        example("two tie", {"policy": [["0", "1/2", "1/2"], ["1", "0", "0"]]},
                action_values=np.array([[1.0, 3.0, 3.0], [2.0, 0.0, -1.0]])),
    ),
    laws=(
        Law("earns", "the policy earns the greatest action value", laws.check_earns),
        Law("shares", "probabilities sum to 1; equal values share", laws.check_shares),
    ),
    gradients=(),
    known_bugs=(
        KnownBug("P13", GREATEST, "greatest = max(action_values[:, 0])",
                 also=((BEST, "best = [a for a in range(actions) if action_values[s, a] == "
                        "max(action_values[i, a] for i in range(states))] or [0]"),)),
        KnownBug("P14", SHARE, "greatest - greatest + 1"),
    ),
    conventions=(
        Convention("ties", "first", "the first of several best actions is taken, as argmax does",
                   edits=((BEST, f"{BEST}[:1]"),)),
        Convention("ties", "last", "the last of several best actions is taken, as a sort does",
                   edits=((BEST, f"{BEST}[-1:]"),)),
    ),
    bad_inputs=(
        *bad_floats("greedy_policy", "action_values", "[S, A]"),
        instead("greedy_policy", "action_values", "NaN", np.full((2, 3), np.nan), ValueError,
                "action_values came with NaN in it, wanted finite numbers."),
        instead("greedy_policy", "action_values", "of one state", np.ones(3), ValueError,
                "action_values came with shape (3,), wanted [S, A]."),
    ),
    sizes=((8, 4), (1024, 4), (65536, 6)),
    good=good(("action_values",)),
    sized=lambda shape: Case(
        {"action_values": np.random.default_rng(0).integers(-16, 17, shape) / 4}, label="timing"
    ),
)  # fmt: skip

# --- sweeps --------------------------------------------------------------------------------------

V_NAMES = (*PROCESS, "policy", "gamma", "tolerance", "max_iterations")
STOP = "if gamma * residual <= tolerance * (1 - gamma):"
AVERAGE = "policy[s, a] * backup(transition, reward, terminal, values, gamma, s, a)"


def solved(
    transition: Array, reward: Array, terminal: Array, policy: Array, *, gamma: float,
    tolerance: float, max_iterations: int,
) -> Array:  # fmt: skip
    """Solve the linear system, which is better than any number of sweeps."""
    chain = np.einsum("ij,ijk->ik", policy, np.where(terminal, 0, transition))
    earned = np.einsum("ij,ijk,ijk->i", policy, transition, reward)
    return np.linalg.solve(np.eye(len(policy)) - gamma * chain, earned)


def in_place(
    transition: Array, reward: Array, terminal: Array, policy: Array, *, gamma: float,
    tolerance: float, max_iterations: int,
) -> Array:  # fmt: skip
    """Overwrite values as they are found, as the book's code does: it contracts no less."""
    values, goes = np.zeros(len(policy)), np.where(terminal, 0, transition)
    earned = (transition * reward).sum(-1)
    for _ in range(max_iterations):
        moved = 0.0
        for s in range(len(policy)):
            before, values[s] = values[s], policy[s] @ (earned[s] + gamma * (goes[s] @ values))
            moved = max(moved, abs(values[s] - before))
        if gamma * moved <= tolerance * (1 - gamma):
            break
    return values


EVALUATION = Contract(
    name="policy_evaluation",
    topic="dynamic_programming",
    summary="what a policy is worth, by sweeps until the error is within a tolerance",
    source="Sutton & Barto 2018, eq. 4.5; Puterman 1994, section 6.3",
    reference=reference.policy_evaluation,
    fast=fast.policy_evaluation,
    arguments=arguments(V_NAMES),
    outputs=("values",),
    axes=("S",),
    inputs=processes(V_NAMES),
    examples=(
        # V₁ = 2·½ + 4·½; V₀ = ½·(½·(1 + ½ V₀) + ½·3) + ½·(1 + ½ V₁) = 1 + V₀/8 + 1¼
        example("a coin", {"values": ["18/7", "3"]},
                **GAME, policy=np.full((2, 2), 0.5), gamma=0.5, tolerance=2.0**-30,
                max_iterations=99),
    ),
    laws=(
        Law("linear-system", "the values solve (I − γP) V = r", laws.check_worth),
        Law("all-end", "where every step ends V is the policy's expected reward",
            laws.check_all_end(laws.average)),
        laws.SCALED, laws.SHIFTED, laws.POSSIBLE,
    ),
    gradients=(),
    known_bugs=(
        *BACKUP_BUGS,
        KnownBug("P4a", STOP, "if residual <= tolerance:"),
        KnownBug("P4b", STOP, "if residual < tolerance:"),
        KnownBug("P11", "residual = max(", "residual = min("),
        KnownBug("P15", STOP, "if residual <= 0.25:"),
        KnownBug("P24", AVERAGE, AVERAGE.replace("policy[s, a]", "1 / actions")),
    ),
    equivalents=(
        Equivalent("linear solve", "the system solved at once", solved),
        Equivalent("in place", "Gauss–Seidel: values overwritten as they are found", in_place),
    ),
    bad_inputs=refusals("policy_evaluation", V_NAMES, discounted=False),
    sizes=SIZES,
    exact=False,
    good=good(V_NAMES),
    sized=sized(V_NAMES),
    truth=evaluation_truth,
)  # fmt: skip

VI_NAMES = (*PROCESS, "gamma", "tolerance", "max_iterations")
VI_STOP = "if 2 * gamma * residual <= tolerance * (1 - gamma):"
GREATEST_BACKUP = (
    "max(\n                backup(transition, reward, terminal, values, gamma, s, a) for a in "
    "range(actions)\n            )"
)


def by_policies(
    transition: Array, reward: Array, terminal: Array, *, gamma: float, tolerance: float,
    max_iterations: int,
) -> Array:  # fmt: skip
    """Iterate policies instead: better than any number of sweeps."""
    goes, earned = np.where(terminal, 0, transition), (transition * reward).sum(-1)
    states = np.arange(len(earned))
    choice = np.zeros(len(earned), dtype=np.int64)
    while True:
        matrix = np.eye(len(earned)) - gamma * goes[states, choice]
        values = np.linalg.solve(matrix, earned[states, choice])
        table = earned + gamma * (goes @ values)
        better = table.max(-1) > table[states, choice] + tolerance / 64
        if not better.any():
            return values
        choice = np.where(better, table.argmax(-1), choice)


VALUE_ITERATION = Contract(
    name="value_iteration",
    topic="dynamic_programming",
    summary="what the best policy is worth, by sweeps until a theorem says that it is near",
    source="Puterman 1994, section 6.3.2 and theorem 6.3.1",
    reference=reference.value_iteration,
    fast=fast.value_iteration,
    arguments=arguments(VI_NAMES),
    outputs=("values",),
    axes=("S",),
    inputs=processes(VI_NAMES),
    examples=(
        # V₁ = 4; V₀ = 1 + ½·4 beats ½·(1 + ½ V₀) + ½·3 = 2¾
        example("a coin", {"values": ["3", "4"]},
                **GAME, gamma=0.5, tolerance=2.0**-30, max_iterations=99),
    ),
    laws=(
        laws.BEST,
        Law("all-end", "where every step ends V is the best expected reward",
            laws.check_all_end(laws.greatest)),
        laws.SCALED, laws.SHIFTED, laws.POSSIBLE,
    ),
    gradients=(),
    known_bugs=(
        *BACKUP_BUGS,
        KnownBug("P4a", VI_STOP, "if residual <= tolerance:"),
        KnownBug("P4b", VI_STOP, "if residual < tolerance:"),
        KnownBug("P11", "residual = max(", "residual = min("),
        KnownBug("P15", VI_STOP, "if residual <= 0.25:"),
        KnownBug("P17", GREATEST_BACKUP, f"sum{GREATEST_BACKUP[3:]} / actions"),
    ),
    equivalents=(Equivalent("policy iteration", "policies instead of sweeps", by_policies),),
    bad_inputs=refusals("value_iteration", VI_NAMES, discounted=False),
    sizes=SIZES,
    exact=False,
    good=good(VI_NAMES),
    sized=sized(VI_NAMES),
    truth=iteration_truth,
)  # fmt: skip

# --- policies ------------------------------------------------------------------------------------

PI_NAMES = (*PROCESS, "gamma", "max_iterations")
SOLVED = "values = solved_values(transition, reward, terminal, policy, gamma)"
SWEPT = (
    "values = policy_evaluation(transition, reward, terminal, policy, gamma=gamma, tolerance=0, "
    "max_iterations=3).values"
)
CHAIN = "chain(transition, terminal, policy)"

POLICY_ITERATION = Contract(
    name="policy_iteration",
    topic="dynamic_programming",
    summary="the best policy, by solving and acting greedily in turn",
    source="Howard 1960; Puterman 1994, section 6.4.1",
    reference=reference.policy_iteration,
    fast=fast.policy_iteration,
    arguments=arguments(PI_NAMES),
    outputs=("values",),
    axes=("S",),
    inputs=processes((*PI_NAMES, "policy_iteration")),
    examples=(example("a coin", {"values": ["3", "4"]}, **GAME, gamma=0.5, max_iterations=9),),
    laws=(
        laws.BEST,
        Law("bellman", "V = maxₐ Q", laws.check_residual, claim="C33"),
        Law("all-end", "where every step ends V is the best expected reward",
            laws.check_all_end(laws.greatest)),
        laws.SCALED, laws.SHIFTED, laws.POSSIBLE,
    ),
    gradients=(),
    known_bugs=(
        KnownBug("P1", CHAIN, "chain(transition, terminal & False, policy)", "solved_values"),
        KnownBug("P5", CHAIN, "chain(transition.transpose(2, 1, 0), terminal, policy)",
                 "solved_values"),
        KnownBug("P7", "if all(keeps) or", "if not all(keeps) or"),
        KnownBug("P15", ">= table[s, greedy[s]]", "+ 0.5 >= table[s, greedy[s]]"),
        KnownBug("P16", SOLVED, SWEPT),
    ),
    bad_inputs=refusals("policy_iteration", PI_NAMES, discounted=True),
    sizes=SIZES,
    good=good(PI_NAMES),
    sized=sized(PI_NAMES),
)  # fmt: skip

# --- visitation ----------------------------------------------------------------------------------

D_NAMES = ("transition", "terminal", "start", "policy", "gamma")
FLOW = "discounted_solution(chain(transition, terminal, policy).T, gamma, start)"


def summed(
    transition: Array, terminal: Array, start: Array, policy: Array, *, gamma: float
) -> Array:
    """Add γᵗ P(sₜ = s) up, step after step, until nothing changes any more."""
    chain = np.einsum("ij,ijk->ik", policy, np.where(terminal, 0, transition))
    visits, present = np.zeros_like(start), start
    while (visits + present != visits).any():
        visits, present = visits + present, gamma * (present @ chain)
    return visits


VISITATION = Contract(
    name="visitation",
    topic="dynamic_programming",
    summary="how often a policy visits each state, discounted and not normalised",
    source="Sutton et al. 2000, NeurIPS 12, section 1",
    reference=reference.visitation,
    fast=fast.visitation,
    arguments=arguments(D_NAMES),
    outputs=("visits",),
    axes=("S",),
    inputs=processes(D_NAMES),
    examples=(
        # d₀ = 1 + ½·¼ d₀; d₁ = ½·½ d₀: what enters from d₁ has ended
        example("a coin", {"visits": ["8/7", "2/7"]},
                **{k: GAME[k] for k in ("transition", "terminal")}, start=np.array([1.0, 0.0]),
                policy=np.full((2, 2), 0.5), gamma=0.5),
    ),
    laws=(
        Law("flow", "d = start + γ Pᵀ d", laws.check_flow),
        Law("total", "where nothing ends the visits sum to 1/(1−γ)", laws.check_total,
            holds_on=("endless",)),
        Law("one-visit", "where every step ends only the first state is visited",
            laws.check_one_visit),
    ),
    gradients=(),
    known_bugs=(
        KnownBug("P1", "terminal, policy).T", "terminal & False, policy).T"),
        KnownBug("P9", FLOW, f"{FLOW} - start"),
        KnownBug("P10", "terminal, policy).T", "terminal, policy)"),
    ),
    conventions=(
        Convention("visitation", "normalised",
                   "(1−γ) Σ γᵗ P(sₜ = s), which sums to 1 where nothing ends (Kakade & Langford "
                   "2002); J and its gradient then need a factor 1/(1−γ)",
                   edits=((FLOW, f"{FLOW} * (1 - gamma)"),)),
    ),
    equivalents=(
        Equivalent("summed", "the sum over steps, added up until nothing changes", summed),
    ),
    bad_inputs=refusals("visitation", D_NAMES, discounted=True),
    sizes=SIZES,
    good=good(D_NAMES),
    sized=sized(D_NAMES),
)  # fmt: skip

CONTRACTS = (
    ACTION_VALUES, GREEDY, EVALUATION, VALUE_ITERATION, POLICY_ITERATION, VISITATION,
)  # fmt: skip
