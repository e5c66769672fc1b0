"""Contracts of the topic `policy_comparison`: gains, their surrogate, and the gap between."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from rlverify.contract import Case, Claim, Contract, Convention, Equivalent, KnownBug, Law, Subject
from rlverify.contracts._measured import exactly, measured, vanishes
from rlverify.contracts._planning_shared import PROCESS, arguments, example, refusals
from rlverify.contracts._process_cases import Array, Model, good, processes, sized
from rlverify.contracts._recordings import exact, gap
from rlverify.fast import policy_comparison as fast
from rlverify.reference import policy_comparison as reference

SIZES = ((8, 2), (32, 4), (128, 4), (512, 6))
NAMES = (*PROCESS, "start", "policy", "old_policy", "gamma")
BOUND_NAMES = (*PROCESS, "policy", "old_policy", "gamma")

# --- laws ----------------------------------------------------------------------------------------


def gains(case: Case) -> Array:
    """Return V − V_old of every state, in fractions."""
    model = Model(case)
    return np.asarray(model.values(exact(case["policy"])) - model.values(exact(case["old_policy"])))


def slopes(case: Case) -> Array:
    """Return the derivative of V at the old policy, in the direction of the new, in fractions.

    (I − γP) V′ = Σₐ (π − π_old) Q_old, which follows from V = r + γPV without any visits.
    """
    model, old = Model(case), exact(case["old_policy"])
    table = model.q(model.values(old))
    return model.resolvent(old, ((exact(case["policy"]) - old) * table).sum(axis=1))


def check_difference(subject: Subject, case: Case) -> Iterable[Claim]:
    """The difference of the objectives, each from its own linear system."""
    yield from _against(subject, case, "difference", exact(case["start"]) @ gains(case))


def check_slope(subject: Subject, case: Case) -> Iterable[Claim]:
    """The derivative of J at the old policy, in the direction of the new one."""
    yield from _against(subject, case, "surrogate", exact(case["start"]) @ slopes(case))


def _against(subject: Subject, case: Case, name: str, wanted: object) -> Iterable[Claim]:
    got, allowed = subject(case)[name], subject.bound(case)[name]
    away = gap(np.reshape(got, 1), np.array([wanted], dtype=object))
    yield Claim(away, np.zeros(1), np.reshape(allowed, 1))


def check_exchanged(subject: Subject, case: Case) -> Iterable[Claim]:
    """What one policy gains over the other, the other loses against the one."""
    other = case.but(policy=case["old_policy"], old_policy=case["policy"])
    allowed = subject.bound(case)["difference"] + subject.bound(other)["difference"]
    yield Claim(subject(case)["difference"], -subject(other)["difference"], allowed)


def check_last_step(subject: Subject, case: Case) -> Iterable[Claim]:
    """Where every step ends, both are the difference of the expected rewards."""
    last = case.but(terminal=np.ones_like(case["terminal"]))
    (name,) = subject(last)
    change = exact(last["policy"]) - exact(last["old_policy"])
    wanted = exact(last["start"]) @ (change * Model(last).pays).sum(axis=1)
    yield from _against(subject, last, name, wanted)


def check_nothing(subject: Subject, case: Case) -> Iterable[Claim]:
    """The old policy neither gains anything nor differs from itself."""
    same = case.but(policy=case["old_policy"])
    (name,) = subject(same)
    yield Claim(subject(same)[name], np.zeros(()), subject.bound(same)[name])


def check_halfway(subject: Subject, case: Case) -> Iterable[Claim]:
    """Half of the way to a policy seems to gain half as much."""
    half = case.but(policy=(case["policy"] + case["old_policy"]) / 2)
    allowed = subject.bound(half)["surrogate"] + subject.bound(case)["surrogate"] / 2
    yield Claim(subject(half)["surrogate"], subject(case)["surrogate"] / 2, allowed)


def check_bound(subject: Subject, case: Case) -> Iterable[Claim]:
    """J − J_old − L is within the bound from wherever one starts."""
    got, allowed = subject(case)["bound"], subject.bound(case)["bound"]
    off = np.array([float(abs(x)) for x in gains(case) - slopes(case)])
    beyond = np.maximum(off - got, 0) if np.isfinite(got) else 0 * off
    yield Claim(beyond, np.zeros(beyond.shape), allowed + off * 2.0**-52)


def check_scaled(subject: Subject, case: Case) -> Iterable[Claim]:
    """Rewards / 16 give a bound / 16, to the bit; rewards with the other sign the same bound."""
    small = case.but(reward=case["reward"] / 16)
    yield Claim(subject(small)["bound"], subject(case)["bound"] / 16, np.zeros(()))
    negated = case.but(reward=-case["reward"])
    allowed = subject.bound(negated)["bound"] + subject.bound(case)["bound"]
    yield Claim(subject(negated)["bound"], subject(case)["bound"], allowed)


def check_one_state(subject: Subject, case: Case) -> Iterable[Claim]:
    """Only the state where the policies differ most matters: the others may be left as they were.

    One of them is it, so the greatest bound of these is the bound.
    """
    alone, allowed = [], [subject.bound(case)["bound"]]
    for s in range(len(case["policy"])):
        policy = case["old_policy"].copy()
        policy[s] = case["policy"][s]
        only = case.but(policy=policy)
        alone.append(subject(only)["bound"])
        allowed.append(subject.bound(only)["bound"])
    yield Claim(np.asarray(max(alone)), subject(case)["bound"], np.asarray(sum(allowed)))


def check_closed_form(subject: Subject, case: Case) -> Iterable[Claim]:
    """In one state where every step ends: C from the rewards, KL from the policies."""
    new, old = case["policy"][0], case["old_policy"][0]
    if not (new[old > 0] > 0).all() or case["gamma"] == 0:
        return
    actions = len(new)
    pays = Model(case).pays[0]
    reward = np.array([[[float(p)] for p in pays]])
    small = case.but(
        transition=np.ones((1, actions, 1)), reward=reward,
        terminal=np.ones((1, actions, 1), dtype=bool), policy=new[None], old_policy=old[None],
    )  # fmt: skip
    pays, gamma = exact(reward)[0, :, 0], exact(np.array([case["gamma"]]))[0]
    greatest = max(abs(pays - exact(old) @ pays))
    constant = 4 * gamma * greatest / (1 - gamma) ** 2
    divergence = exactly(0.0)
    for p, q in zip(old, new, strict=True):
        ratio: Any = exactly(p) / exactly(q) if p > 0 else exactly(1.0)
        divergence = divergence + exactly(p) * np.log(ratio)
    got = measured(np.reshape(subject(small)["bound"], 1), np.reshape(
        subject.bound(small)["bound"], 1))[0]  # fmt: skip
    yield vanishes(got - exactly(float(constant)) * divergence)


NOTHING = Law("nothing", "0 where the new policy is the old one", check_nothing)
LAST_STEP = Law("last-step", "where every step ends it is the change of reward", check_last_step)

# --- contracts -----------------------------------------------------------------------------------

# to stay, paid 0 or 1; the second state pays 2 whatever is done, and there it ends
GAME = {
    "transition": np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]]),
    "reward": np.array([[[1.0, 9.0], [9.0, 0.0]], [[9.0, 2.0], [9.0, 2.0]]]),
    "terminal": np.array([[[False, True], [True, False]], [[False, True], [True, True]]]),
    "start": np.array([1.0, 0.0]),
    "policy": np.array([[0.5, 0.5], [0.5, 0.5]]),
    "old_policy": np.array([[1.0, 0.0], [0.5, 0.5]]),
    "gamma": 0.5,
}
NEW = "chain(transition, terminal, policy).T"
OLD = "chain(transition, terminal, old_policy).T"
ADVANTAGES = "_advantages(transition, reward, terminal, old_policy, gamma)"
OF_THE_NEW = (ADVANTAGES, ADVANTAGES.replace("old_policy", "policy"))
RESULT = "return _number(_weighted(visits, policy, advantages), policy)"
NORMALISED = RESULT.replace("_weighted", "(1 - gamma) * _weighted")


def by_objectives(
    transition: Array, reward: Array, terminal: Array, start: Array, policy: Array,
    old_policy: Array, *, gamma: float,
) -> Array:  # fmt: skip
    """Add the gains of the old policy's Q up backwards: (I − γP) x = Σₐ (π − π_old) Q_old."""
    goes, pays = np.where(terminal, 0, transition), (transition * reward).sum(-1)

    def solve(table: Array, right: Array) -> Array:
        chain = np.einsum("ij,ijk->ik", table, goes)
        return np.linalg.solve(np.eye(len(right)) - gamma * chain, right)

    values = solve(old_policy, (old_policy * pays).sum(-1))
    table = pays + gamma * (goes @ values) - values[:, None]
    return np.asarray(start @ solve(policy, (policy * table).sum(-1)))


DIFFERENCE = Contract(
    name="performance_difference",
    topic="policy_comparison",
    summary="how much more a policy earns than another",
    source="Kakade & Langford 2002, lemma 6.1; Schulman et al. 2015, arXiv:1502.05477, eq. 1",
    reference=reference.performance_difference,
    fast=fast.performance_difference,
    arguments=arguments(NAMES),
    outputs=("difference",),
    axes=("",),
    inputs=processes(NAMES),
    examples=(
        # J_old = 1/(1 − ½) = 2; J = ½·(1 + ½ J) + ½·½·2, so J = 4/3
        example("to stay or to go", {"difference": "-2/3"}, **GAME),
    ),
    laws=(
        Law("objectives", "J(π) − J(π_old), each from its own system", check_difference,
            claim="C15"),
        Law("exchanged", "what one gains the other loses", check_exchanged),
        NOTHING, LAST_STEP,
    ),
    gradients=(),
    known_bugs=(
        KnownBug("P1", NEW, NEW.replace("terminal", "terminal & False")),
        KnownBug("P8", RESULT, NORMALISED),
        KnownBug("P10", NEW, NEW.removesuffix(".T")),
        KnownBug("P18", NEW, OLD),
        KnownBug("P19", *OF_THE_NEW),
        KnownBug("P20", "worth - values[s]", "worth", "_advantages"),
    ),
    equivalents=(Equivalent("backwards", "gains added up backwards", by_objectives),),
    bad_inputs=refusals("performance_difference", NAMES, discounted=True),
    sizes=SIZES,
    good=good(NAMES),
    sized=sized(NAMES),
)  # fmt: skip

SURROGATE = Contract(
    name="surrogate_objective",
    topic="policy_comparison",
    summary="what a policy seems to gain where states are visited as the old one visits them",
    source="Kakade & Langford 2002, section 4; Schulman et al. 2015, arXiv:1502.05477, eq. 3",
    reference=reference.surrogate_objective,
    fast=fast.surrogate_objective,
    arguments=arguments(NAMES),
    outputs=("surrogate",),
    axes=("",),
    inputs=processes(NAMES),
    examples=(
        # d_old = 2 in the first state, A_old(go) = ½·2 − 2 = −1, taken half of the time
        example("to stay or to go", {"surrogate": "-1"}, **GAME),
    ),
    laws=(
        Law("slope", "the derivative of J at the old policy", check_slope, claim="C16"),
        Law("halfway", "half of the way seems to gain half as much", check_halfway),
        NOTHING, LAST_STEP,
    ),
    gradients=("policy",),
    known_bugs=(
        KnownBug("P1", OLD, OLD.replace("terminal", "terminal & False")),
        KnownBug("P8", RESULT, NORMALISED),
        KnownBug("P10", OLD, OLD.removesuffix(".T")),
        KnownBug("P18", OLD, NEW),
        KnownBug("P19", *OF_THE_NEW),
        KnownBug("P20", "worth - values[s]", "worth", "_advantages"),
    ),
    bad_inputs=refusals("surrogate_objective", NAMES, discounted=True),
    sizes=SIZES,
    good=good(NAMES),
    sized=sized(NAMES),
)  # fmt: skip

DIVERGENCE = "divergence = max(_divergence(old_policy[s], policy[s]) for s in range(len(policy)))"
BOUND = Contract(
    name="surrogate_bound",
    topic="policy_comparison",
    summary="how far the surrogate may be from the truth",
    source="Schulman et al. 2015, arXiv:1502.05477, theorem 1 and eqs. 8 and 9",
    reference=reference.surrogate_bound,
    fast=fast.surrogate_bound,
    arguments=arguments(BOUND_NAMES),
    outputs=("bound",),
    axes=("",),
    inputs=processes(BOUND_NAMES),
    examples=(
        example("the same policy", {"bound": "0"},
                **{k: GAME[k] for k in PROCESS}, policy=GAME["policy"], old_policy=GAME["policy"],
                gamma=0.5),
    ),
    laws=(
        Law("holds", "|J − J_old − L| is within the bound", check_bound, claim="C17"),
        Law("scale-and-sign", "of the scale of the rewards, whatever their sign", check_scaled),
        Law("one-state", "only the state where the policies differ most matters",
            check_one_state),
        Law("closed-form", "in one state that ends: 4γ max|A|/(1−γ)² · KL", check_closed_form),
        NOTHING,
    ),
    gradients=(),
    known_bugs=(
        KnownBug("P20", "worth - values[s]", "worth", "_advantages"),
        KnownBug("P21", "((1 - gamma) * (1 - gamma))", "(1 - gamma)"),
        KnownBug("P22", DIVERGENCE, f"divergence = sum{DIVERGENCE[16:]} / len(policy)"),
        KnownBug("P23", "max(abs(advantage) for", "max(advantage for"),
        KnownBug("P25", "(np.log(old[a]) - np.log(new[a]))", "-np.log(new[a])", "_divergence"),
        KnownBug("F18", "(old_policy[s], policy[s])", "(policy[s], policy[s])"),
    ),
    conventions=(
        Convention("divergence", "new-from-old", "KL(π ‖ π_old): as good a bound, by Pinsker's "
                   "inequality", edits=(("(old_policy[s], policy[s])",
                                         "(policy[s], old_policy[s])"),)),
    ),
    bad_inputs=refusals("surrogate_bound", BOUND_NAMES, discounted=True),
    sizes=SIZES,
    exact=False,
    good=good(BOUND_NAMES),
    sized=sized(BOUND_NAMES),
)  # fmt: skip

CONTRACTS = (DIFFERENCE, SURROGATE, BOUND)
