"""Laws of off-policy returns, written for values of actions, and of V-trace."""

from collections.abc import Callable, Iterable
from fractions import Fraction

import numpy as np

from rlverify.contract import Case, Claim, Law, Outputs, Subject
from rlverify.contracts import _recordings as shared
from rlverify.contracts._measured import exactly, known_within
from rlverify.contracts._recordings import discounts, equals_exactly, exact, products, same, zeroed
from rlverify.contracts._return_laws import bootstrap_impulse, reward_impulse
from rlverify.contracts._trace_cases import OF_ACTIONS
from rlverify.inputs import cut_of

# --- laws of recordings, said of values of actions -----------------------------------------------


def _as_states(case: Case) -> Case:
    names = {ours: theirs for theirs, ours in OF_ACTIONS.items()}
    return Case({names.get(k, k): v for k, v in case.arguments.items()}, case.kind, case.label)


def _as_actions(case: Case) -> Case:
    return Case({OF_ACTIONS.get(k, k): v for k, v in case.arguments.items()}, case.kind, case.label)


class _OfStates:
    """A subject that takes values of states, and hands them on as values of actions."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    def __call__(self, case: Case) -> Outputs:
        return self.subject(_as_actions(case))

    def bound(self, case: Case) -> Outputs:
        return self.subject.bound(_as_actions(case))


def of_actions(law: Law) -> Law:
    """Return a law of values of states as one of values of actions."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        return law.check(_OfStates(subject), _as_states(case))

    return Law(law.name, law.sentence, check, law.holds_on, law.claim)


Coefficients = Callable[[Case], np.ndarray]


def given(case: Case) -> np.ndarray:
    """Return the coefficients as they are given."""
    return np.asarray(case["coefficients"])


def likelihood(case: Case) -> np.ndarray:
    """Return λρ."""
    return np.asarray(case["lam"] * np.exp(case["log_ratios"]))


def truncated_likelihood(case: Case) -> np.ndarray:
    """Return λ min(1, ρ)."""
    return np.asarray(case["lam"] * np.exp(np.minimum(case["log_ratios"], 0)))


def probability(case: Case) -> np.ndarray:
    """Return λπ."""
    return np.asarray(case["lam"] * case["target_probabilities"])


def _weights(coefficients: Coefficients) -> shared.Weights:
    def weights(case: Case, t: int, b: int) -> np.ndarray:
        return products(discounts(case)[:, b] * np.roll(coefficients(case)[:, b], -1), t)

    return weights


def one_step_target(case: Case, following: str) -> np.ndarray:
    """Return r + γV' as fractions."""
    later = exact(np.where(case["terminated"], 0, case[following]))
    return np.asarray(exact(case["rewards"]) + exact(discounts(case)) * later)


def check_value_impulse(coefficients: Coefficients) -> Callable[[Subject, Case], Iterable[Claim]]:
    """Return the law that Q(sₜ, aₜ) lowers the targets before t, and never its own."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        zero = np.zeros_like(case["rewards"])
        steps, batch = zero.shape
        cut, row = cut_of(case["terminated"], case["truncated"]), steps // 2
        values, wanted = zero.copy(), zero.copy()
        values[row] = 1
        for b in range(batch):
            ends = np.flatnonzero(cut[:row, b])
            first = int(ends[-1]) + 1 if ends.size else 0
            wanted[first:row, b] = -_weights(coefficients)(case, row, b)[first:row]
        impulse = case.but(rewards=zero, q_taken=values, next_state_values=zero)
        yield from same(subject, impulse, {"returns": wanted})

    return check


def check_first_unread(argument: str) -> Callable[[Subject, Case], Iterable[Claim]]:
    """Return the law that the coefficient of an episode's first action is never read."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        first = np.roll(cut_of(case["terminated"], case["truncated"]), 1, axis=0)
        spoiled = np.where(first, 1 - case[argument], case[argument])
        yield from same(subject, case.but(**{argument: spoiled}), subject(case), case)

    return check


def check_no_trust(name: str, value: float) -> Callable[[Subject, Case], Iterable[Claim]]:
    """Return the law that without any trust every target is the one-step one."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        none = np.full_like(case["rewards"], value) if name == "coefficients" else value
        changed = case.but(**{name: none})
        got, allowed = subject(changed), subject.bound(changed)
        wanted = one_step_target(case, "next_state_values")
        yield equals_exactly(got["returns"], wanted, allowed["returns"])

    return check


def lambda_returns(case: Case, values: np.ndarray, following: np.ndarray, lam: Fraction
                   ) -> np.ndarray:  # fmt: skip
    """Return λ-returns as fractions, of values of states chained from row to row."""
    cut = cut_of(case["terminated"], case["truncated"])
    rewards, gamma = exact(case["rewards"]), exact(discounts(case))
    values, following = exact(values), exact(following)
    returns = np.empty_like(rewards)
    for t in reversed(range(cut.shape[0])):
        for b in range(cut.shape[1]):
            if case["terminated"][t, b]:
                mixture = Fraction(0)
            elif cut[t, b]:
                mixture = following[t, b]
            else:
                mixture = (1 - lam) * values[t + 1, b] + lam * returns[t + 1, b]
            returns[t, b] = rewards[t, b] + gamma[t, b] * mixture
    return returns


def check_lambda_return(trusting: Callable[[Case], Case], lam: str | Fraction
                        ) -> Callable[[Subject, Case], Iterable[Claim]]:  # fmt: skip
    """Return the law that a constant coefficient on values that agree gives the λ-return."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        cut = cut_of(case["terminated"], case["truncated"])
        following = np.where(cut, case["next_state_values"], np.roll(case["q_taken"], -1, axis=0))
        agreed = trusting(case).but(next_state_values=following)
        share = Fraction(case[lam]) if isinstance(lam, str) else lam
        wanted = lambda_returns(case, case["q_taken"], following, share)
        got, allowed = subject(agreed), subject.bound(agreed)
        yield equals_exactly(got["returns"], wanted, allowed["returns"])

    return check


def return_laws(
    argument: str,
    coefficients: Coefficients,
    trusting: Callable[[Case], Case],
    lam: str | Fraction,
    distrust: tuple[str, float],
) -> tuple[Law, ...]:
    """Return the laws of an off-policy return.

    Args:
        argument: what the coefficients are made of.
        coefficients: the coefficients of a case.
        trusting: makes every coefficient `lam`.
        lam: name of a number, or the number.
        distrust: the argument, and its value, that makes every coefficient 0.
    """
    weights = _weights(coefficients)
    return (
        shared.SPLIT,
        shared.COLUMNS,
        of_actions(shared.UNREAD),
        of_actions(shared.ENDS),
        shared.TERMINATED_WINS,
        shared.PER_STEP_GAMMA,
        of_actions(reward_impulse(weights)),
        of_actions(bootstrap_impulse(weights)),
        Law("value-impulse", "a value lowers the targets before it by its weight, not its own",
            check_value_impulse(coefficients)),
        Law("first-coefficient-unread", "no target knows how likely an episode's first action was",
            check_first_unread(argument)),
        Law("no-trust", "with every coefficient 0 the target is the one-step one",
            check_no_trust(*distrust)),
        Law("lambda-return", "constant coefficients on values that agree give the λ-return",
            check_lambda_return(trusting, lam), claim="C29"),
    )  # fmt: skip


# --- V-trace -------------------------------------------------------------------------------------


def _limited_ratios(case: Case, level: str) -> np.ndarray:
    return np.asarray(np.minimum(np.exp(case["log_ratios"]), case[level]))


def check_vtrace_impulse(subject: Subject, case: Case) -> Iterable[Claim]:
    """A reward at t reaches s with ρ̄-weight of t and the c̄-weights of s … t − 1."""
    steps, batch = case["rewards"].shape
    cut, gamma = cut_of(case["terminated"], case["truncated"]), discounts(case)
    decay = gamma * case["lam"] * _limited_ratios(case, "c_bar")
    rho, acting = _limited_ratios(case, "rho_bar"), _limited_ratios(case, "rho_bar_advantage")
    for row in {steps - 1, steps // 2}:
        impulse = zeroed(case)
        rewards, targets = impulse["rewards"].copy(), np.zeros((steps, batch))
        rewards[row] = 1
        for b in range(batch):
            ends = np.flatnonzero(cut[:row, b])
            first = int(ends[-1]) + 1 if ends.size else 0
            targets[first : row + 1, b] = (products(decay[:, b], row) * rho[row, b])[
                first : row + 1
            ]
        later = np.where(cut, 0, np.roll(targets, -1, axis=0))
        wanted = {"value_targets": targets, "advantages": acting * (rewards + gamma * later)}
        yield from same(subject, impulse.but(rewards=rewards), wanted)


def check_vtrace_ends(subject: Subject, case: Case) -> Iterable[Claim]:
    """At a cut the target has moved by the clipped one-step error, and by nothing else."""
    cut = cut_of(case["terminated"], case["truncated"])
    got, allowed = subject(case), subject.bound(case)
    errors = (one_step_target(case, "next_values") - exact(case["values"])).astype(float)
    for name, level in (("value_targets", "rho_bar"), ("advantages", "rho_bar_advantage")):
        wanted = _limited_ratios(case, level) * errors
        if name == "value_targets":
            wanted = wanted + case["values"]
        yield Claim(got[name][cut], wanted[cut], allowed[name][cut])


def check_advantage_identity(subject: Subject, case: Case) -> Iterable[Claim]:
    """Advantages follow from the targets one step later, within an episode."""
    got, allowed = subject(case), subject.bound(case)
    cut, gamma = cut_of(case["terminated"], case["truncated"]), discounts(case)
    differences, slack = np.zeros(cut.shape), np.zeros(cut.shape)
    for t, b in np.argwhere(~cut):
        later = known_within(got["value_targets"][t + 1, b], allowed["value_targets"][t + 1, b])
        error = exactly(case["rewards"][t, b]) + exactly(gamma[t, b]) * later
        ratio = exactly(case["log_ratios"][t, b]).exp()
        # a ratio at its level is that level, or misses it by its own rounding
        ratio = ratio.limited(0, case["rho_bar_advantage"])
        advantage = ratio * (error - exactly(case["values"][t, b]))
        differences[t, b] = got["advantages"][t, b] - float(advantage)
        slack[t, b] = advantage.running_bound() + allowed["advantages"][t, b]
    yield Claim(differences, np.zeros(cut.shape), slack)


def check_on_policy(subject: Subject, case: Case) -> Iterable[Claim]:
    """On policy, with levels of at least 1, targets are λ-returns of values that agree."""
    cut = cut_of(case["terminated"], case["truncated"])
    following = np.where(cut, case["next_values"], np.roll(case["values"], -1, axis=0))
    agreed = case.but(
        log_ratios=np.zeros_like(case["rewards"]), next_values=following,
        rho_bar=1.0, c_bar=float("inf"), rho_bar_advantage=2.0,
    )  # fmt: skip
    wanted = lambda_returns(case, case["values"], following, Fraction(case["lam"]))
    got, allowed = subject(agreed), subject.bound(agreed)
    yield equals_exactly(got["value_targets"], wanted, allowed["value_targets"])


def check_unclipped(subject: Subject, case: Case) -> Iterable[Claim]:
    """Levels above every ratio are as good as infinite ones."""
    levels = ("rho_bar", "c_bar", "rho_bar_advantage")
    free = case.but(**dict.fromkeys(levels, float("inf")))
    yield from same(subject, case.but(**dict.fromkeys(levels, 64.0)), subject(free), free)


VTRACE_LAWS = (
    shared.SPLIT,
    shared.COLUMNS,
    shared.UNREAD,
    shared.TERMINATED_WINS,
    shared.PER_STEP_GAMMA,
    Law("reward-impulse", "a reward reaches each earlier step of its episode with its weight",
        check_vtrace_impulse),
    Law("one-step-at-ends", "at a cut the clipped one-step error is all", check_vtrace_ends),
    Law("advantage-identity", "advantages use the target of the next step of the same episode",
        check_advantage_identity),
    Law("on-policy", "with ρ = 1 the targets are λ-returns", check_on_policy, claim="C29"),
    Law("infinite-levels", "levels above every ratio clip nothing", check_unclipped),
)  # fmt: skip
