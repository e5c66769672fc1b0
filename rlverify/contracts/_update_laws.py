"""Laws of whole updates, which need no reference of an update.

The strongest reads the gradient off the optimiser's state: after one step from an empty state
Adam's first moment is (1 − β₁) g. Along one direction g must be the derivative of the loss, which
is put together from the losses of other topics and carried through dual numbers: no backward
pass, and no derivative written by hand, is in it.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from rlverify.contract import Case, Claim, Law, Subject
from rlverify.contracts._measured import UNIT, exactly, known_within, measured, vanishes
from rlverify.contracts._recordings import same
from rlverify.contracts._update_cases import network, predictions
from rlverify.differentiation import Dual
from rlverify.reference._updates import evaluate
from rlverify.reference.a2c import a2c_loss
from rlverify.reference.advantages import normalize_advantages
from rlverify.reference.networks import mlp_forward
from rlverify.reference.ppo import clipped_value_loss, ppo_clip_loss
from rlverify.rounding import Tracked

MOVING = ("parameters", "first", "second")
SLOPES: dict[Any, Any] = {}
FREE = 2.0**15  # a range, a norm or a threshold that holds nothing back


def duals(array: np.ndarray, direction: np.ndarray | None = None) -> np.ndarray:
    """Return numbers that carry derivative and rounding, moving along a direction."""
    numbers = np.empty(array.shape, dtype=object)
    for i in np.ndindex(array.shape):
        slope = 0.0 if direction is None else float(direction[i])
        numbers[i] = Dual(Tracked(float(array[i]), UNIT), Tracked(slope, UNIT))
    return numbers


def dual(number: float) -> Any:
    """Return a number that does not move, and carries rounding."""
    return Dual(Tracked(number, UNIT), Tracked(0.0, UNIT))


def direction_of(array: np.ndarray) -> np.ndarray:
    """Return the direction along which gradients are looked at: all of it counts."""
    return (1.0 + np.arange(array.size) * 3 % 7) / 8


def single(case: Case, **changes: Any) -> Case:
    """Return the case with one epoch of one mini-batch, in order, which nothing stops.

    What its function does not take is left out.
    """
    samples = len(case.arguments.get("inputs", ()))
    plain: dict[str, Any] = {
        "permutations": np.arange(samples)[np.newaxis],
        "minibatch_size": samples,
    }
    plain["target_kl"] = None
    wanted = (plain | changes).items()
    return case.but(**{name: value for name, value in wanted if name in case.arguments})


def empty(case: Case) -> dict[str, np.ndarray]:
    """Return Adam's state before the first step."""
    return {name: np.zeros_like(case[name]) for name in ("first", "second")}


def along(array: np.ndarray, allowed: np.ndarray) -> Any:
    """Return a vector's component along the direction, with its bound."""
    numbers, direction = measured(array, allowed), direction_of(array)
    return sum(x * exactly(y) for x, y in zip(numbers, direction, strict=True))


# --- the gradient --------------------------------------------------------------------------------


def ppo_slope(case: Case) -> Any:
    """Return the derivative of PPO's loss along the direction, with its bound."""
    advantages = duals(case["advantages"])
    if case["normalize"]:
        eps = dual(case["advantage_eps"])
        advantages = normalize_advantages(advantages, None, ddof=case["ddof"], eps=eps)
    now = evaluated(case)
    clip_range = dual(case["clip_range"])
    loss = ppo_clip_loss(
        now.log_probs, duals(case["old_log_probs"]), advantages, None, clip_range=clip_range
    )[()]
    size = FREE if case["value_clip_range"] is None else case["value_clip_range"]
    old, returns = duals(case["old_values"]), duals(case["returns"])
    critic = clipped_value_loss(now.values, old, returns, None, clip_range=dual(size))[()]
    bonus = sum(now.entropies) / len(now.entropies)
    loss = loss + dual(case["value_coefficient"]) * critic
    return (loss - dual(case["entropy_coefficient"]) * bonus).slope


def evaluated(case: Case) -> Any:
    """Return what policy and critic say, with derivatives along the direction."""
    parameters = duals(case["parameters"], direction_of(case["parameters"]))
    actions = case["actions"]
    if case["distribution"] == "gaussian":
        actions = duals(actions)
    return evaluate(parameters, duals(case["inputs"]), actions, **network(case))


def value_slope(case: Case) -> Any:
    """Return the derivative of the critic's loss along the direction, with its bound."""
    array = case["critic_parameters"]
    parameters, sizes = duals(array, direction_of(array)), case["critic_sizes"]
    outputs = mlp_forward(
        parameters, duals(case["inputs"]), sizes=sizes, activation=case["activation"]
    )
    errors = outputs[:, 0] - duals(case["returns"])
    return (sum(x * x for x in errors) / len(errors) / 2).slope


def gradient_law(slope_of: Callable[[Case], Any]) -> Law:
    """Return the law that the gradient which Adam was given is the derivative of the loss."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        alone = single(case, **empty(case))
        if "max_norm" in case.arguments:
            alone = alone.but(max_norm=None)
        if alone.arguments.get("normalize") and len(case["inputs"]) <= case["ddof"]:
            return
        got = along(subject(alone)["first"], subject.bound(alone)["first"])
        key = (slope_of, alone.key())
        if key not in SLOPES:  # the same cases are asked for again, by every known bug
            SLOPES[key] = slope_of(alone)
        slope = SLOPES[key]
        yield vanishes(got - (1 - exactly(case["beta1"])) * slope)

    return Law("gradient", "the gradient is the derivative of the loss", check, ONE)


def a2c_slope(case: Case) -> Any:
    """Return the derivative of A2C's loss along the direction, with its bound."""
    now = evaluated(case)
    loss: Any = a2c_loss(
        now.log_probs,
        duals(case["advantages"]),
        now.values,
        duals(case["returns"]),
        now.entropies,
        None,
        value_coefficient=dual(case["value_coefficient"]),
        entropy_coefficient=dual(case["entropy_coefficient"]),
    )[()]
    return loss.slope


# --- steps ---------------------------------------------------------------------------------------


def powers(share: float, count: int) -> Any:
    """Return 1 − shareᶜᵒᵘⁿᵗ, tracked."""
    power = exactly(share)
    for _ in range(count - 1):
        power = power * exactly(share)
    return 1 - power


def check_step(subject: Subject, case: Case) -> Iterable[Claim]:
    """One step moves the parameters by what its moments say."""
    alone = single(case)
    names = ("parameters", "critic_parameters")
    before = alone[next(name for name in names if name in case.arguments)]
    got, allowed = subject(alone), subject.bound(alone)
    after, first, second = (measured(got[name], allowed[name]) for name in MOVING)
    count = case["count"] + 1
    for i in range(len(before)):
        if not float(second[i]) > allowed["second"][i]:
            continue  # of a root near 0 nothing is known
        spread = second[i] / powers(case["beta2"], count)
        divisor = np.sqrt(spread) + exactly(case["eps"])
        mean = first[i] / powers(case["beta1"], count)
        rate = exactly(case["learning_rate"])
        yield vanishes((after[i] - exactly(before[i])) * divisor + rate * mean)


def check_still(subject: Subject, case: Case) -> Iterable[Claim]:
    """With a learning rate of 0 no parameter changes a bit."""
    names = ("parameters", "critic_parameters")
    before = case[next(name for name in names if name in case.arguments)]
    got = subject(case.but(learning_rate=0.0))["parameters"]
    yield Claim(got, before, np.zeros(before.shape))


def check_counted(subject: Subject, case: Case) -> Iterable[Claim]:
    """Every mini-batch is one step, the smaller one at the end of an epoch too."""
    free = case.but(target_kl=None) if "target_kl" in case.arguments else case
    steps = np.array(float(sum(1 for _ in batches_of(case))))
    got = subject(free)
    zero = np.zeros(())
    if "steps" in got:
        yield Claim(got["steps"], steps, zero)
    yield Claim(got["count"], steps + case["count"], zero)


def batches_of(case: Case) -> Iterator[np.ndarray]:
    """Yield the samples of every mini-batch; one without a real token takes no step."""
    size, mask = case["minibatch_size"], case.arguments.get("mask")
    for order in case["permutations"]:
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            if mask is None or mask[rows].any():
                yield rows


SAMPLED = ("inputs", "actions", "old_log_probs", "advantages", "returns", "old_values",
           "reference_log_probs", "mask", "weights")  # fmt: skip


def taken(case: Case, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return the arrays of some samples."""
    found = {name: case.arguments.get(name) for name in SAMPLED}
    return {name: array[rows] for name, array in found.items() if array is not None}


def check_chained(subject: Subject, case: Case) -> Iterable[Claim]:
    """An update is its mini-batches, one update after the other."""
    free = case.but(target_kl=None) if "target_kl" in case.arguments else case
    parameters = "parameters" if "parameters" in case.arguments else "critic_parameters"
    whole, allowed = subject(free), subject.bound(free)
    state: dict[str, Any] = {}
    for k, rows in enumerate(batches_of(case)):
        part = single(free.but(**taken(case, rows)), count=case["count"] + k, **state)
        got = subject(part)
        state = {parameters: got["parameters"], "first": got["first"], "second": got["second"]}
    wanted = dict(zip(MOVING, state.values(), strict=True))
    for name in MOVING:  # both are ways of computing the same, within the same bound
        yield Claim(whole[name], wanted[name], 2 * allowed[name])


def check_renamed(subject: Subject, case: Case) -> Iterable[Claim]:
    """In which row a sample stands does not matter."""
    samples = len(case["inputs"])
    rows = np.arange(samples)[::-1]
    turned = case.but(**taken(case, rows), permutations=samples - 1 - case["permutations"])
    yield from same(subject, turned, subject(case), case)


# --- PPO -----------------------------------------------------------------------------------------


def check_kl(subject: Subject, case: Case) -> Iterable[Claim]:
    """The divergence is the mean of ρ − 1 − log ρ over the samples, before the step."""
    alone = single(case, learning_rate=0.0)
    now = evaluate(
        *(duals_of(alone, name) for name in ("parameters", "inputs", "actions")), **network(case)
    )
    terms = []
    for new, old in zip(now.log_probs, case["old_log_probs"], strict=True):
        log_ratio = new.value - exactly(old)
        terms.append(np.exp(log_ratio) - 1 - log_ratio)
    got = known_within(subject(alone)["kl"], subject.bound(alone)["kl"])
    yield vanishes(got - sum(terms) / len(terms))


def duals_of(case: Case, name: str) -> np.ndarray:
    """Return an argument with no derivative; integers as they are."""
    return duals(case[name]) if case[name].dtype.kind == "f" else case[name]


def single_precision(array: np.ndarray) -> np.ndarray:
    """Return numbers that float32 holds too."""
    return array.astype(np.float32).astype(np.float64)


def check_stopped(subject: Subject, case: Case) -> Iterable[Claim]:
    """A policy that is already too far away is not moved at all."""
    far = case.but(
        old_log_probs=single_precision(predictions(case).log_probs - 1.0), target_kl=0.125
    )
    got, zero = subject(far), np.zeros(())
    yield Claim(got["parameters"], case["parameters"], np.zeros(case["parameters"].shape))
    yield Claim(got["first"], case["first"], np.zeros(case["first"].shape))
    yield Claim(got["steps"], zero, zero)
    yield Claim(got["stopped"], zero + 1, zero)


def check_on_policy(subject: Subject, case: Case) -> Iterable[Claim]:
    """While the policy is the one that acted, the ratio is 1, so no range holds it back."""
    old = single_precision(predictions(case).log_probs)
    alone = single(case, old_log_probs=old)
    if alone["normalize"] and len(old) <= case["ddof"]:
        return
    narrow, wide = alone.but(clip_range=2.0**-12), alone.but(clip_range=FREE)
    yield from same(subject, narrow, subject(wide), wide)


def check_free(subject: Subject, case: Case) -> Iterable[Claim]:
    """A range, a norm and a threshold that are never reached are as good as none."""
    names = ("value_clip_range", "max_norm", "target_kl")
    none = case.but(**dict.fromkeys(names, None))
    yield from same(subject, case.but(**dict.fromkeys(names, FREE)), subject(none), none)


def check_scaled(subject: Subject, case: Case) -> Iterable[Claim]:
    """Normalised advantages have no unit: four times as large, with ε, is the same."""
    if case["normalize"]:
        larger = case.but(
            advantages=4 * case["advantages"], advantage_eps=4 * case["advantage_eps"]
        )
        yield from same(subject, larger, subject(case), case)


def check_norm(subject: Subject, case: Case) -> Iterable[Claim]:
    """Of all parameters together, gradients are made no longer than max_norm, by one factor."""
    plain = single(case, **empty(case), max_norm=None, normalize=False)
    short = plain.but(max_norm=0.25)
    long, bounds = subject(plain)["first"], subject.bound(plain)["first"]
    gradients, weight = measured(long, bounds), 1 - exactly(case["beta1"])
    clipped = measured(subject(short)["first"], subject.bound(short)["first"])
    norm = np.sqrt(sum(x * x for x in gradients))
    limit = exactly(0.25) * weight
    if float(norm) - norm.free_bound() > float(limit) * (1 + UNIT):
        for x, y in zip(clipped, gradients, strict=True):
            yield vanishes(x * norm - y * limit)


# what looks at one step is asked where there is one: the others would only cost time
ONE, MANY = ("single",), ("several",)
UPDATE_LAWS = (
    Law("counted", "every mini-batch is one step, a smaller last one too", check_counted, MANY),
    Law("still", "with a learning rate of 0 no parameter changes", check_still, ONE),
    Law("step", "one step moves the parameters by what its moments say", check_step, ONE),
    Law("renamed", "in which row a sample stands does not matter", check_renamed, MANY),
    Law(
        "chained", "an update is its mini-batches, one update after the other", check_chained, MANY
    ),
)
PPO_LAWS = (
    gradient_law(ppo_slope),
    Law("stopped", "a policy that is already too far away is not moved", check_stopped, ONE),
    *UPDATE_LAWS,
    Law("norm", "all gradients together are made no longer than max_norm", check_norm, ONE),
    Law("free", "ranges and thresholds never reached are as good as none", check_free, ONE),
    Law("unit-free", "normalised advantages have no unit", check_scaled, ONE),
    Law("divergence", "kl is the mean of ρ − 1 − log ρ before the step", check_kl, ONE),
    Law("on-policy", "while the ratio is 1, no range holds anything back", check_on_policy, ONE),
)
VALUE_LAWS = (gradient_law(value_slope), *UPDATE_LAWS)
