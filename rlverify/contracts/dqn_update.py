"""Contract of the topic `dqn_update`: DQN's whole update."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from rlverify.contract import (
    Argument,
    BadInput,
    Case,
    Contract,
    Convention,
    Equivalent,
    Example,
    KnownBug,
)
from rlverify.contracts._dqn_update_laws import LAWS, batches, plain, sized
from rlverify.contracts._refusals import bad
from rlverify.contracts._update_forms import Adam, forward, shortened, tensors
from rlverify.contracts.ppo_update import ADAM_BUGS, NORM, PLAIN_ADAM
from rlverify.fast import dqn_update as fast
from rlverify.reference import dqn_update as reference

ARGUMENTS = (
    Argument("parameters", "float", "P"),
    Argument("target_parameters", "float", "P"),
    Argument("observations", "float", "N I"),
    Argument("actions", "integer", "N"),
    Argument("rewards", "float", "N"),
    Argument("next_observations", "float", "N I"),
    Argument("terminated", "flag", "N"),
    Argument("first", "float", "P"),
    Argument("second", "float", "P"),
    Argument("count", "count"),
    Argument("sizes", "sizes"),
    Argument("activation", "choice"),
    Argument("gamma", "number"),
    Argument("double", "switch"),
    Argument("huber", "number"),
    Argument("max_norm", "number"),
    Argument("learning_rate", "number"),
    Argument("beta1", "number"),
    Argument("beta2", "number"),
    Argument("eps", "number"),
)
NAMES = tuple(item.name for item in ARGUMENTS)
KNOBS = {
    "count": 0, "gamma": 0.5, "double": False, "huber": 1.0, "max_norm": 0.5, **PLAIN_ADAM,
}  # fmt: skip
TIMED = {
    **KNOBS, "gamma": 0.99, "double": True, "max_norm": 10.0, "learning_rate": 0.01, "beta1": 0.9,
    "beta2": 0.999, "eps": 1e-5,
}  # fmt: skip


def autograd(
    parameters: np.ndarray, target_parameters: np.ndarray, observations: np.ndarray,
    actions: np.ndarray, rewards: np.ndarray, next_observations: np.ndarray,
    terminated: np.ndarray, first: np.ndarray, second: np.ndarray, **knobs: Any,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """Write DQN with torch's losses, autograd and torch.optim.Adam."""
    weights = torch.tensor(parameters, requires_grad=True)
    (target, states, taken, earned, following, ended) = tensors(
        target_parameters, observations, actions, rewards, next_observations, terminated
    )
    network = knobs["sizes"], knobs["activation"]
    with torch.no_grad():
        after = forward(target, following, *network)
        picking = forward(weights, following, *network) if knobs["double"] else after
        worth = after.gather(1, picking.nan_to_num(0.0, 0.0, 0.0).argmax(1, keepdim=True))[:, 0]
        wanted = earned + knobs["gamma"] * torch.where(ended, 0.0, worth)
    values = forward(weights, states, *network).gather(1, taken[:, None])[:, 0]
    if knobs["huber"] is None:
        loss = 0.5 * torch.nn.functional.mse_loss(values, wanted)
    else:
        loss = torch.nn.functional.huber_loss(values, wanted, delta=knobs["huber"])
    (gradient,) = torch.autograd.grad(loss, weights)
    adam = Adam(weights, first, second, knobs["count"], knobs)
    adam.step(shortened(gradient, knobs["max_norm"]))
    *state, count = adam.results
    return *state, np.array(float(count))  # torch counts in single precision


# --- refusals ------------------------------------------------------------------------------------


def refusal(argument: str, name: str, spoil: Callable[[Any], Any], error: type[Exception],
            message: str) -> BadInput:  # fmt: skip
    """Return one refusal of this function."""
    return bad("dqn_update", argument, name, spoil, error, message)


BAD = (
    refusal("parameters", "one short", lambda x: x[:-1], ValueError,
            "target_parameters has shape (17,), but parameters has shape (16,); they must agree."),
    BadInput(
        "parameters: both one short",
        lambda case: {x: case[x][:-1] for x in ("parameters", "target_parameters")}, ValueError,
        "dqn_update: parameters came with shape (16,), wanted 17 along the last axis for sizes "
        "(2, 3, 2).",
    ),
    refusal("target_parameters", "a list", np.ndarray.tolist, TypeError,
            "target_parameters came as list, wanted a floating-point array [P]."),
    BadInput(
        "observations: a feature too many",
        lambda case: dict.fromkeys(("observations", "next_observations"), np.zeros((4, 3))),
        ValueError,
        "dqn_update: observations came with shape (4, 3), wanted 2 along the last axis for sizes "
        "(2, 3, 2).",
    ),
    refusal("next_observations", "a row short", lambda x: x[1:], ValueError,
            "next_observations has shape (3, 2), but observations has shape (4, 2); they must "
            "agree."),
    refusal("actions", "beyond", lambda x: 0 * x + 2, ValueError,
            "actions came with 2 in it, wanted actions in [0, 2)."),
    refusal("actions", "floats", lambda x: x * 1.0, TypeError,
            "actions came as dtype float64, wanted int64."),
    refusal("rewards", "a column", lambda x: x[:, None], ValueError,
            "rewards came with shape (4, 1), wanted [N]."),
    refusal("terminated", "numbers", lambda x: x * 1.0, TypeError,
            "terminated came as dtype float64, wanted bool."),
    refusal("first", "one short", lambda x: x[:-1], ValueError,
            "first has shape (16,), but parameters has shape (17,); they must agree."),
    refusal("count", "below 0", lambda _: -1, ValueError,
            "count came as -1, wanted an integer of at least 0."),
    refusal("sizes", "a list", lambda _: [2, 2], ValueError,
            "sizes came as [2, 2], wanted a tuple of at least two integers of at least 1."),
    refusal("activation", "unknown", lambda _: "gelu", ValueError,
            "activation came as 'gelu', wanted one of tanh, relu."),
    refusal("gamma", "above 1", lambda _: 1.5, ValueError,
            "gamma came as 1.5, wanted a number in [0, 1]."),
    refusal("double", "a number", lambda _: 1, TypeError, "double came as int, wanted a bool."),
    refusal("huber", "zero", lambda _: 0.0, ValueError,
            "huber came as 0.0, wanted a finite number above 0."),
    refusal("max_norm", "below 0", lambda _: -0.5, ValueError,
            "max_norm came as -0.5, wanted a finite number above 0."),
    refusal("learning_rate", "text", lambda _: "0.1", TypeError,
            "learning_rate came as str, wanted a number."),
    refusal("beta1", "one", lambda _: 1.0, ValueError,
            "beta1 came as 1.0, wanted a number below 1."),
    refusal("eps", "zero", lambda _: 0.0, ValueError,
            "eps came as 0.0, wanted a finite number above 0."),
)  # fmt: skip

# --- conventions and known bugs ------------------------------------------------------------------

SLOPE = "error / len(slopes) if a == actions[n] else 0 * error"
ERROR = "error = q_values[n, actions[n]] - targets[n]"
TARGET_NETWORK = '"next_q_target": mlp_forward(target_parameters, following, **network)'
ONLINE = 'said["next_q_online"] = mlp_forward(parameters, following, **network)'
JUDGE = "double_q_target(rewards, picking, after, terminated"
GREEDY = "q_learning_target(rewards, after, terminated"
OTHERS = "np.roll({}, 1, axis=0)"
CLIPPED = 'gradient = trace("clip", clipped._asdict())["gradients"]'
GRADIENT = "gradient = mlp_backward(parameters, observations, slopes, **network)"
UNREAD = "following[terminated] = observations[terminated]"
TARGETS = 'targets = trace("targets", {"targets": targets})["targets"]'
# the gradient of −γ Q(s′, b) at the action that the target takes, as if its network learnt too
THROUGH = (
    GRADIENT + "\n"
    "    picked = said.get('next_q_online', after)\n"
    "    pulls = np.array([[-gamma * (0 if terminated[n] or a != int(np.argmax(picked[n]))\n"
    "                                 else slopes[n, actions[n]])\n"
    "                       for a in range(sizes[-1])] for n in range(len(actions))])\n"
    "    gradient = gradient + mlp_backward(target_parameters, following, pulls, **network)"
)
KNOWN_BUGS = (
    KnownBug("E26", "error / len(slopes)", "error", helper="_td_slopes"),
    KnownBug("E39", CLIPPED, CLIPPED.removeprefix("gradient = ")),
    KnownBug("H1", TARGET_NETWORK, TARGET_NETWORK.replace("target_parameters", "parameters")),
    KnownBug("H2", JUDGE, JUDGE.replace("picking", "after", 1)),
    KnownBug("H3", JUDGE, JUDGE.replace("picking", OTHERS.format("picking"), 1),
             also=((GREEDY, JUDGE.replace("picking", OTHERS.format("after"), 1)),)),
    KnownBug("H6", GRADIENT, THROUGH),
    KnownBug("H21", UNREAD, "pass",
             also=((TARGETS, "end = np.where(terminated, 1, 0) * after[:, 0]\n"
                    f"    targets = targets + 0 * end\n    {TARGETS}"),)),
    KnownBug("H31", "next_observations.copy()", "next_observations.copy()\n"
             "    terminated = np.zeros_like(terminated)"),
    KnownBug("O10", "count=count + 1,\n        learning_rate",
             "count=count + 1000,\n        learning_rate"),
    KnownBug("O16", "max_norm / norm if norm > max_norm else 1",
             "max_norm / norm if norm > 0 else 1", helper="clip_grad_norm"),
    KnownBug("Q3", TARGETS,
             "targets = np.array([rewards[n] + gamma * (0 if terminated[n]\n"
             "                        else sum(after[n]) / len(after[n]))\n"
             f"                        for n in range(len(rewards))])\n    {TARGETS}"),
    KnownBug("Q5", "error = limited(error, -huber, huber)",
             "error = error if abs(error) <= huber else 0 * error", helper="_td_slopes"),
    KnownBug("Q8", "following = next_observations.copy()", "following = observations.copy()"),
    KnownBug("Q11", SLOPE, "error / len(slopes)", helper="_td_slopes"),
    KnownBug("U1", ERROR, ERROR.replace("targets[n]", "targets[n - 1]"), helper="_td_slopes"),
    KnownBug("U2", "        first,\n        second,\n        count=count + 1,",
             "        0 * first,\n        0 * second,\n        count=count + 1,"),
    *ADAM_BUGS,
)  # fmt: skip

CONTRACT = Contract(
    name="dqn_update",
    topic="dqn_update",
    summary="DQN's whole update, double or not: targets, a gradient and a step of Adam",
    source="Mnih et al. 2015, algorithm 1; van Hasselt, Guez & Silver 2016, eq. 4",
    reference=reference.dqn_update,
    fast=fast.dqn_update,
    arguments=ARGUMENTS,
    outputs=("parameters", "first", "second", "count"),
    axes=("P", "P", "P", ""),
    counted=("count",),
    inputs=batches(NAMES),
    examples=(
        Example(
            "one transition",  # y is 1 + 4/2, the error −3, and m̂/(√v̂ + 1) is −3/4
            Case({"parameters": np.zeros(4), "target_parameters": np.array([0.0, 0.0, 2.0, 4.0]),
                  "observations": np.ones((1, 1)), "actions": np.array([0]),
                  "rewards": np.ones(1), "next_observations": np.ones((1, 1)),
                  "terminated": np.array([False]), "first": np.zeros(4), "second": np.zeros(4),
                  "sizes": (1, 2), "activation": "tanh",
                  **KNOBS, "huber": None, "max_norm": None}, "single", "worked by hand"),
            {"parameters": ["3/8", "0", "3/8", "0"], "first": ["-3/2", "0", "-3/2", "0"],
             "second": ["9/2", "0", "9/2", "0"], "count": "1"},
        ),
    ),
    laws=LAWS,
    gradients=(),
    conventions=(
        Convention(
            "value-loss", "without-half", "the squared error without its ½: twice the gradient",
            edits=((SLOPE, SLOPE.replace("error /", "(2 if huber is None else 1) * error /")),),
            helper="_td_slopes",
        ),
        Convention(
            "huber", "smooth", "Huber's loss over δ (torch's SmoothL1Loss)",
            edits=((SLOPE, SLOPE.replace("error /", "error / (1 if huber is None else huber) /")),),
            helper="_td_slopes",
        ),
        NORM,
    ),
    known_bugs=KNOWN_BUGS,
    equivalents=(
        Equivalent("autograd", "the loss through PyTorch's autograd, torch.optim.Adam for the step",
                   autograd),
    ),
    bad_inputs=BAD,
    exact=False,
    sizes=((8, 2), (64, 64, 64), (512, 128, 128)),
    sized=sized(NAMES, **TIMED),
    good=plain(NAMES, 4, (2, 3, 2), "good", **KNOBS),
)  # fmt: skip

CONTRACTS = (CONTRACT,)
