"""Inputs and laws of DQN's update: a few transitions, two networks of a few parameters."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import Case, Claim, Law, Subject
from rlverify.contracts import _update_cases as cases
from rlverify.contracts._recordings import same
from rlverify.contracts._update_laws import (
    FREE,
    check_norm,
    check_step,
    check_still,
    direction_of,
    dual,
    duals,
    gradient_law,
)
from rlverify.contracts.reinforce import ONE_STEP, check_remembered
from rlverify.errors import layer_parameters
from rlverify.inputs import GARBAGE, distinct
from rlverify.reference.networks import mlp_forward
from rlverify.reference.q_learning import double_q_target, q_learning_target, td_loss

SIZES = ((1, 2), (2, 2), (2, 3), (1, 1, 2), (1, 2, 2))
SAMPLED = ("observations", "actions", "rewards", "next_observations", "terminated")
# no target of such numbers makes an error that lies on one of these by more than chance
EDGES = (None, None, 0.8, 0.3, 2.1)


@st.composite
def batches(draw: st.DrawFn, names: tuple[str, ...]) -> Case:
    """Draw an update; garbage may stand in the observation after an end."""
    samples, rng = draw(st.sampled_from((3, 1, 2, 4, 3))), cases.seeded(draw)
    sizes = draw(st.sampled_from(SIZES))
    count = layer_parameters(sizes)
    width = (samples, sizes[0])
    parameters, target, before, after, rewards = distinct(
        rng, (count,), (count,), width, width, (samples,)
    )
    ended = rng.random(samples) < draw(st.sampled_from((0.0, 0.3, 0.3, 0.7)))
    garbage = draw(st.sampled_from((None, *GARBAGE, np.nan)))
    if garbage is not None:
        after = np.where(ended[:, None], 16 * garbage, after)
    drawn: dict[str, Any] = {
        "parameters": parameters / 32, "target_parameters": target / 32,
        "observations": before / 16, "actions": rng.integers(0, sizes[-1], samples),
        "rewards": rewards / 16, "next_observations": after / 16, "terminated": ended,
        "sizes": sizes, "activation": draw(st.sampled_from(("tanh", "relu"))),
        "gamma": draw(st.sampled_from((0.0, 1.0, 0.5, 0.9, 0.9, 0.75))),
        "double": draw(st.sampled_from((True, True, False))), "huber": draw(st.sampled_from(EDGES)),
        "max_norm": draw(st.sampled_from((None, 0.5, 64.0, 0.0625))),
    }  # fmt: skip
    drawn |= cases.moments(draw, rng, count, ONE_STEP)
    return Case({name: drawn[name] for name in names}, "single")


def plain(
    names: tuple[str, ...], samples: int, sizes: tuple[int, ...], label: str, **knobs: Any
) -> Case:
    """Return an update with ordinary numbers; one transition in eight ends its episode."""
    rng, count = np.random.default_rng(0), layer_parameters(sizes)
    drawn: dict[str, Any] = {
        "parameters": rng.normal(size=count) / np.sqrt(max(sizes)),
        "target_parameters": rng.normal(size=count) / np.sqrt(max(sizes)),
        "observations": rng.normal(size=(samples, sizes[0])),
        "actions": rng.integers(0, sizes[-1], samples),
        "rewards": rng.normal(size=samples),
        "next_observations": rng.normal(size=(samples, sizes[0])),
        "terminated": np.arange(samples) % 8 == 1,
        "first": np.zeros(count), "second": np.zeros(count), "sizes": sizes,
        "activation": "relu", **knobs,
    }  # fmt: skip
    return Case({name: drawn[name] for name in names}, "single", label)


def sized(names: tuple[str, ...], **knobs: Any) -> Callable[[tuple[int, ...]], Case]:
    """Return what makes cases of a benchmark size: transitions, then hidden widths."""

    def of(shape: tuple[int, ...]) -> Case:
        samples, *hidden = shape
        return plain(names, samples, (4, *hidden, 2), "timing", **knobs)

    return of


# --- laws ----------------------------------------------------------------------------------------


def sampled(case: Case, rows: np.ndarray) -> Case:
    """Return the case with some of its transitions, in that order."""
    return case.but(**{name: case[name][rows] for name in SAMPLED})


def loss_slope(case: Case) -> Any:
    """Return the derivative of the loss along the direction, its targets constant."""
    network = {name: case[name] for name in ("sizes", "activation")}
    moving = duals(case["parameters"], direction_of(case["parameters"]))
    values = mlp_forward(moving, duals(case["observations"]), **network)
    ended = case["terminated"]
    following = duals(np.where(ended[:, None], case["observations"], case["next_observations"]))
    worth = mlp_forward(duals(case["target_parameters"]), following, **network)
    rewards, gamma = duals(case["rewards"]), dual(case["gamma"])
    if case["double"]:
        picking = mlp_forward(duals(case["parameters"]), following, **network)
        targets = double_q_target(rewards, picking, worth, ended, None, gamma=gamma)
    else:
        targets = q_learning_target(rewards, worth, ended, None, gamma=gamma)
    taken = values[np.arange(len(values)), case["actions"]]
    huber = None if case["huber"] is None else dual(case["huber"])
    loss: Any = td_loss(taken, targets, None, huber=huber)[()]
    return loss.slope


def check_end(subject: Subject, case: Case) -> Iterable[Claim]:
    """Whatever was observed after an end does not matter: NaN neither."""
    ended = case["terminated"][:, None]
    if not ended.any():
        return
    clean = case.but(next_observations=np.where(ended, 0.0, case["next_observations"]))
    wanted = subject(clean)
    for garbage in (2.0**10, np.nan):
        there = case.but(next_observations=np.where(ended, garbage, case["next_observations"]))
        yield from same(subject, there, wanted, clean)


def check_short_sighted(subject: Subject, case: Case) -> Iterable[Claim]:
    """Without a future (γ = 0) neither the target network nor what follows matters."""
    blind = case.but(gamma=0.0)
    zeros = np.zeros_like(case["target_parameters"])
    other = blind.but(
        target_parameters=zeros, next_observations=case["observations"],
        terminated=np.zeros_like(case["terminated"]),
    )  # fmt: skip
    yield from same(subject, blind, subject(other), other)


def check_constant(subject: Subject, case: Case) -> Iterable[Claim]:
    """A target network that says 3 of everything is a reward of 3γ, and nothing else."""
    target = np.zeros_like(case["target_parameters"])
    target[-case["sizes"][-1] :] = 3.0
    known = case.but(target_parameters=target, gamma=0.5)
    earned = case["rewards"] + np.where(case["terminated"], 0.0, 1.5)
    paid = case.but(rewards=earned, terminated=np.ones_like(case["terminated"]))
    yield from same(subject, known, subject(paid), paid)


def check_twice(subject: Subject, case: Case) -> Iterable[Claim]:
    """A batch given twice is the batch: the gradient is a mean."""
    rows = np.arange(len(case["actions"]))
    twice = sampled(case, np.concatenate([rows, rows]))
    yield from same(subject, twice, subject(case), case)


def check_renamed(subject: Subject, case: Case) -> Iterable[Claim]:
    """In which row a transition stands does not matter."""
    turned = sampled(case, np.arange(len(case["actions"]))[::-1])
    yield from same(subject, turned, subject(case), case)


def check_free(subject: Subject, case: Case) -> Iterable[Claim]:
    """A largest error and a norm that are never reached are as good as none."""
    none = case.but(huber=None, max_norm=None)
    yield from same(subject, case.but(huber=FREE, max_norm=FREE), subject(none), none)


LAWS = (
    gradient_law(loss_slope),
    Law("step", "one step moves the parameters by what its moments say", check_step),
    Law("remembered", "what Adam remembers counts β times", check_remembered),
    Law("still", "with a learning rate of 0 no parameter changes", check_still),
    Law("norm", "gradients are made no longer than max_norm, by one factor", check_norm),
    Law("end-unread", "whatever was observed after an end does not matter", check_end),
    Law("short-sighted", "without a future neither target network nor what follows matters",
        check_short_sighted),
    Law("constant-target", "a target network that says 3 of everything is a reward of 3γ",
        check_constant),
    Law("given-twice", "a batch given twice is the batch: the gradient is a mean", check_twice),
    Law("renamed", "in which row a transition stands does not matter", check_renamed),
    Law("free", "a largest error and a norm never reached are as good as none", check_free),
)  # fmt: skip
