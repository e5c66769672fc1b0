"""Laws of dynamic programming."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from rlverify.contract import Case, Claim, Law, Subject
from rlverify.contracts._measured import exactly, known_within, measured, vanishes
from rlverify.contracts._process_cases import Array, Model, as_floats, best, capped, enough, worth
from rlverify.contracts._recordings import exact

MORE = 2.0  # what is added to every reward


def check_best(subject: Subject, case: Case) -> Iterable[Claim]:
    """No policy is worth more than the values say, one is worth as much, within the tolerance."""
    yield Claim(subject(case)["values"], as_floats(best(case)), subject.bound(case)["values"])


def check_worth(subject: Subject, case: Case) -> Iterable[Claim]:
    """The values solve the linear system of the policy, within the tolerance."""
    yield Claim(subject(case)["values"], as_floats(worth(case)), subject.bound(case)["values"])


def check_scaled(subject: Subject, case: Case) -> Iterable[Claim]:
    """Rewards and tolerance divided by 16: values are divided by 16, to the bit."""
    changes = {name: case[name] / 16 for name in ("reward", "tolerance") if name in case.arguments}
    wanted = subject(case)["values"] / 16
    yield Claim(subject(case.but(**changes))["values"], wanted, np.zeros(wanted.shape))


def check_shifted(subject: Subject, case: Case) -> Iterable[Claim]:
    """Where nothing ends, more for every step is worth that much in every step to come."""
    if case["gamma"] == 1 or ("tolerance" in case.arguments and capped(case)):
        return
    more = case.but(reward=case["reward"] + MORE)
    if "tolerance" in case.arguments:
        more = more.but(max_iterations=enough(more))
    got, before = subject(more)["values"], subject(case)["values"]
    allowed = subject.bound(more)["values"] + subject.bound(case)["values"]
    yield Claim(got - before, np.full(got.shape, MORE / (1 - case["gamma"])), allowed)


def check_possible(subject: Subject, case: Case) -> Iterable[Claim]:
    """What steps pay that never happen, and whether they end anything, does not matter."""
    never = case["transition"] == 0
    other = case.but(
        reward=np.where(never, 3 - case["reward"], case["reward"]),
        terminal=case["terminal"] ^ never,
    )
    name = "values" if "values" not in case.arguments else "action_values"
    allowed = subject.bound(case)[name] + subject.bound(other)[name]
    yield Claim(subject(other)[name], subject(case)[name], allowed)


def check_all_end(read: Callable[[Array, Case], Array]) -> Callable[..., Iterable[Claim]]:
    """Return the law that one step is all there is, where every step ends."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        last = case.but(terminal=np.ones_like(case["terminal"]))
        (name,) = subject(last)
        wanted = read(Model(last).pays, last)
        yield Claim(subject(last)[name], as_floats(wanted), subject.bound(last)[name])

    return check


def greatest(pays: Array, case: Case) -> Array:
    """Return the best reward of each state."""
    return np.asarray(pays.max(axis=1))


def average(pays: Array, case: Case) -> Array:
    """Return the policy's expected reward in each state."""
    return np.asarray((exact(case["policy"]) * pays).sum(axis=1))


def check_residual(subject: Subject, case: Case) -> Iterable[Claim]:
    """The values are what the best action is worth where they stand: V = maxₐ Q."""
    got, allowed = subject(case)["values"], subject.bound(case)["values"]
    values, gamma = measured(got, allowed), exactly(case["gamma"])
    for s, row in enumerate(case["transition"]):
        table = [_worth(case, values, gamma, s, a) for a in range(len(row))]
        yield vanishes(max(table, key=float) - values[s])


def _worth(case: Case, values: Array, gamma: Any, s: int, a: int) -> Any:
    total = exactly(0.0)
    for after, chance in enumerate(case["transition"][s, a]):
        going = 0 if case["terminal"][s, a, after] else gamma * values[after]
        total = total + exactly(chance) * (exactly(case["reward"][s, a, after]) + going)
    return total


# --- action values -------------------------------------------------------------------------------


def check_impulse(subject: Subject, case: Case) -> Iterable[Claim]:
    """V of 4 in one state adds 4γ times the probability of going on there."""
    nothing = case.but(values=np.zeros(case["values"].shape))
    model, before = Model(case), subject(nothing)["action_values"]
    for i, impulse in enumerate(4 * np.eye(len(case["values"]))):
        one = case.but(values=impulse)
        got = subject(one)["action_values"] - before
        bounds = [subject.bound(each)["action_values"] for each in (one, nothing)]
        # the difference is formed in float64, of numbers that carry these bounds
        allowed = bounds[0] + bounds[1] + np.abs(got) * 2.0**-53
        yield Claim(got, as_floats(4 * model.gamma * model.goes[:, :, i]), allowed)


def check_no_farther(subject: Subject, case: Case) -> Iterable[Claim]:
    """Two V that differ by 1 at most give Q that differ by γ at most, and in one direction."""
    raised = case["values"] + (np.arange(len(case["values"])) % 2)
    above = case.but(values=raised)
    got = subject(above)["action_values"] - subject(case)["action_values"]
    allowed = subject.bound(above)["action_values"] + subject.bound(case)["action_values"]
    yield Claim(got, np.clip(got, 0, case["gamma"]), allowed)


# --- greedy policies -----------------------------------------------------------------------------


def check_earns(subject: Subject, case: Case) -> Iterable[Claim]:
    """The policy earns the greatest action value of every state."""
    got, allowed = subject(case)["policy"], subject.bound(case)["policy"]
    for row, table, slack in zip(got, case["action_values"], allowed, strict=True):
        chances = measured(row, slack)
        earned = sum((p * exactly(q) for p, q in zip(chances, table, strict=True)), exactly(0.0))
        yield vanishes(earned - exactly(max(table)))


def check_shares(subject: Subject, case: Case) -> Iterable[Claim]:
    """Probabilities sum to one, and equal values have equal probabilities."""
    got, allowed = subject(case)["policy"], subject.bound(case)["policy"]
    for row, table, slack in zip(got, case["action_values"], allowed, strict=True):
        total = sum(measured(row, slack), exactly(0.0))
        yield vanishes(total - exactly(1.0))
        same = table[:, None] == table
        spread = np.abs(row[:, None] - row)[same]
        yield Claim(spread, np.zeros(spread.shape), (slack[:, None] + slack)[same])


# --- visitation ----------------------------------------------------------------------------------


def check_flow(subject: Subject, case: Case) -> Iterable[Claim]:
    """What enters a state, and what begins there, is what is counted: d = start + γ P_πᵀ d."""
    got, allowed = subject(case)["visits"], subject.bound(case)["visits"]
    chain = (exact(case["policy"])[:, :, None] * Model(case).goes).sum(axis=1)
    visits = [known_within(one, slack) for one, slack in zip(got, allowed, strict=True)]
    for after in range(len(got)):
        flow = exactly(case["start"][after])
        for s, one in enumerate(visits):
            flow = flow + exactly(case["gamma"]) * exactly(float(chain[s, after])) * one
        yield vanishes(flow - visits[after])


def check_total(subject: Subject, case: Case) -> Iterable[Claim]:
    """Where nothing ends the visits sum to 1/(1−γ)."""
    total = sum(measured(subject(case)["visits"], subject.bound(case)["visits"]), exactly(0.0))
    yield vanishes(total * (1 - exactly(case["gamma"])) - exactly(1.0))


def check_one_visit(subject: Subject, case: Case) -> Iterable[Claim]:
    """Where every step ends only the first state is visited."""
    last = case.but(terminal=np.ones_like(case["terminal"]))
    yield Claim(subject(last)["visits"], case["start"], subject.bound(last)["visits"])


SCALED = Law(
    "power-of-two", "rewards and tolerance / 16 give values / 16, to the bit", check_scaled
)
SHIFTED = Law(
    "shift", "where nothing ends c more for every step is worth c/(1−γ)", check_shifted,
    holds_on=("endless",),
)  # fmt: skip
POSSIBLE = Law(
    "only-what-happens", "rewards and ends of steps of probability 0 do not matter", check_possible
)
BEST = Law(
    "best-of-all", "within the tolerance of the best of all policies", check_best, claim="C33"
)
