"""Contract of the topic `reinforce`: its whole update."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from rlverify.contract import (
    Argument,
    Case,
    Claim,
    Contract,
    Convention,
    Equivalent,
    Example,
    KnownBug,
    Law,
    Subject,
)
from rlverify.contracts import _update_cases as cases
from rlverify.contracts._measured import exactly, measured, vanishes
from rlverify.contracts._refusals import bad
from rlverify.contracts._update_forms import Adam, forward, parameters_in, tensors
from rlverify.contracts._update_laws import (
    check_step,
    check_still,
    direction_of,
    dual,
    duals,
    empty,
    gradient_law,
)
from rlverify.contracts.ppo_update import ADAM_BUGS, PLAIN_ADAM
from rlverify.fast import reinforce as fast
from rlverify.reference import reinforce as reference
from rlverify.reference._updates import evaluate_policy

NETWORK = ("sizes", "activation", "distribution")
ADAM = ("learning_rate", "beta1", "beta2", "eps")
ARGUMENTS = (
    Argument("parameters", "float", "P"),
    Argument("inputs", "float", "N I"),
    Argument("actions", "integer", "N"),  # of a Gaussian policy floats [N, D]
    Argument("weights", "float", "N"),
    Argument("first", "float", "P"),
    Argument("second", "float", "P"),
    Argument("count", "count"),
    Argument("sizes", "sizes"),
    Argument("activation", "choice"),
    Argument("distribution", "choice"),
    *(Argument(name, "number") for name in ADAM),
)
ONE_STEP = {"permutations": np.zeros((1, 1)), "minibatch_size": 1}
NAMES = tuple(item.name for item in ARGUMENTS)
TIMED = {"count": 0, "learning_rate": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-5}


@st.composite
def weighted(draw: st.DrawFn) -> Case:
    """Draw an update; its kind says that it is a single step."""
    distribution = draw(st.sampled_from(("categorical", "gaussian")))
    samples, rng = draw(st.integers(1, 4)), cases.seeded(draw)
    drawn = cases.rollout(draw, rng, samples, distribution)
    count = cases.parameters_of(drawn["sizes"], None, distribution)
    drawn |= cases.moments(draw, rng, count, ONE_STEP)
    drawn |= {"parameters": drawn["parameters"][:count], "weights": drawn["advantages"]}
    return Case({name: drawn[name] for name in NAMES}, "single")


def plain(samples: int, sizes: tuple[int, ...], label: str, **knobs: Any) -> Case:
    """Return an update of a categorical policy with ordinary numbers."""
    rng, count = np.random.default_rng(0), cases.parameters_of(sizes, None, "categorical")
    drawn: dict[str, Any] = {
        "parameters": rng.normal(size=count) / np.sqrt(max(sizes)),
        "inputs": rng.normal(size=(samples, sizes[0])),
        "actions": rng.integers(0, sizes[-1], samples),
        "weights": rng.normal(size=samples),
        "first": np.zeros(count), "second": np.zeros(count), "sizes": sizes,
        "activation": "tanh", "distribution": "categorical", **knobs,
    }  # fmt: skip
    return Case({name: drawn[name] for name in NAMES}, "single", label)


def sized(shape: tuple[int, ...]) -> Case:
    """Return a case of a benchmark size: samples, then hidden widths."""
    samples, *hidden = shape
    return plain(samples, (4, *hidden, 2), "timing", **TIMED)


def slope(case: Case) -> Any:
    """Return the derivative of −mean w log π along the direction, with its bound."""
    parameters = duals(case["parameters"], direction_of(case["parameters"]))
    actions = case["actions"] if case["distribution"] == "categorical" else duals(case["actions"])
    network = {name: case[name] for name in NETWORK}
    log_probs, _ = evaluate_policy(parameters, duals(case["inputs"]), actions, **network)
    total = sum(dual(float(w)) * x for w, x in zip(case["weights"], log_probs, strict=True))
    return (-total / len(log_probs)).slope


def check_remembered(subject: Subject, case: Case) -> Iterable[Claim]:
    """What Adam remembers counts β times; the rest is what it makes of this gradient alone."""
    fresh = case.but(**empty(case))
    got, anew = subject(case), subject(fresh)
    allowed, slack = subject.bound(case), subject.bound(fresh)
    for name, share in (("first", case["beta1"]), ("second", case["beta2"])):
        pairs = zip(measured(got[name], allowed[name]), measured(anew[name], slack[name]),
                    case[name], strict=True)  # fmt: skip
        for new, alone, old in pairs:
            yield vanishes(new - alone - exactly(share) * exactly(old))


def autograd(
    parameters: np.ndarray, inputs: np.ndarray, actions: np.ndarray, weights: np.ndarray,
    first: np.ndarray, second: np.ndarray, **knobs: Any,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """Write the update with autograd and torch.optim.Adam."""
    moving = torch.tensor(parameters, requires_grad=True)
    states, taken, gains = tensors(inputs, actions, weights)
    end = parameters_in(knobs["sizes"])
    outputs = forward(moving[:end], states, knobs["sizes"], knobs["activation"])
    policy: torch.distributions.Distribution = torch.distributions.Categorical(logits=outputs)
    if knobs["distribution"] == "gaussian":
        normal = torch.distributions.Normal(outputs, moving[end:].exp())
        policy = torch.distributions.Independent(normal, 1)
    loss = -(gains * policy.log_prob(taken)).mean()
    (gradient,) = torch.autograd.grad(loss, moving)
    adam = Adam(moving, first, second, knobs["count"], knobs)
    adam.step(gradient)
    *state, count = adam.results
    return *state, np.array(float(count))  # torch counts in single precision


def refusal(argument: str, name: str, spoil: Callable[[Any], Any], error: type[Exception],
            message: str) -> Any:  # fmt: skip
    """Return one refusal of this function."""
    return bad("reinforce_update", argument, name, spoil, error, message)


SLOPE = "-weights[i] / len(weights)"

CONTRACT = Contract(
    name="reinforce_update",
    topic="reinforce",
    summary="REINFORCE's whole update: one gradient, one step of Adam",
    source="Williams 1992, Machine Learning 8, eq. 11",
    reference=reference.reinforce_update,
    fast=fast.reinforce_update,
    arguments=ARGUMENTS,
    outputs=("parameters", "first", "second", "count"),
    axes=("P", "P", "P", ""),
    inputs=weighted(),
    examples=(
        Example(
            "one step, two actions",  # the gradient in the logits is ∓1
            Case({"parameters": np.zeros(4), "inputs": np.zeros((1, 1)), "actions": np.array([0]),
                  "weights": np.array([2.0]), "first": np.zeros(4), "second": np.zeros(4),
                  "count": 0, "sizes": (1, 2), "activation": "tanh", "distribution": "categorical",
                  **PLAIN_ADAM}, "single", "worked by hand"),
            {"parameters": ["0", "0", "1/4", "-1/4"], "first": ["0", "0", "-1/2", "1/2"],
             "second": ["0", "0", "1/2", "1/2"], "count": "1"},
        ),
    ),
    laws=(
        gradient_law(slope),
        Law("step", "one step moves the parameters by what its moments say", check_step),
        Law("remembered", "what Adam remembers counts β times", check_remembered),
        Law("still", "with a learning rate of 0 no parameter changes", check_still),
    ),
    gradients=(),
    conventions=(
        Convention(
            "reduction", "sum", "the sum over the steps: its scale follows their number",
            edits=((SLOPE, "-weights[i]"),),
        ),
    ),
    known_bugs=(
        KnownBug("F3", "of_log_std[d] = total", "of_log_std[d] = 0 * total",
                 helper="policy_gradient"),
        KnownBug("O10", "count=count + 1,", "count=count + 1000,"),
        KnownBug("U1", "policy_gradient(parameters, inputs, actions",
                 "policy_gradient(parameters, np.roll(inputs, 1, axis=0), actions"),
        KnownBug("U2", "        first,\n        second,\n        count=count + 1,",
                 "        0 * first,\n        0 * second,\n        count=count + 1,"),
        *ADAM_BUGS,
    ),
    equivalents=(
        Equivalent("autograd", "the loss through PyTorch's autograd, torch.optim.Adam for the step",
                   autograd),
    ),
    bad_inputs=(
        refusal("parameters", "one short", lambda x: x[:-1], ValueError,
                "parameters came with shape (16,), wanted 17 along the last axis for sizes "
                "(2, 3, 2) and a categorical policy."),
        refusal("inputs", "a list", np.ndarray.tolist, TypeError,
                "inputs came as list, wanted a floating-point array [N, I]."),
        refusal("inputs", "a feature too many", lambda x: np.zeros((len(x), 3)), ValueError,
                "inputs came with shape (4, 3), wanted 2 along the last axis for sizes (2, 3, 2)."),
        refusal("actions", "beyond", lambda x: x + 2, ValueError,
                "actions came with 3 in it, wanted actions in [0, 2)."),
        refusal("weights", "one short", lambda x: x[:-1], ValueError,
                "weights has shape (3,), but inputs has shape (4, 2); they must agree."),
        refusal("first", "one short", lambda x: x[:-1], ValueError,
                "first has shape (16,), but parameters has shape (17,); they must agree."),
        refusal("sizes", "a list", lambda _: [2, 2], ValueError,
                "sizes came as [2, 2], wanted a tuple of at least two integers of at least 1."),
        refusal("activation", "unknown", lambda _: "gelu", ValueError,
                "activation came as 'gelu', wanted one of tanh, relu."),
        refusal("distribution", "unknown", lambda _: "beta", ValueError,
                "distribution came as 'beta', wanted one of categorical, gaussian."),
        refusal("count", "below 0", lambda _: -1, ValueError,
                "count came as -1, wanted an integer of at least 0."),
        refusal("learning_rate", "text", str, TypeError,
                "learning_rate came as str, wanted a number."),
        refusal("beta2", "one", lambda _: 1.0, ValueError,
                "beta2 came as 1.0, wanted a number below 1."),
        refusal("eps", "zero", lambda _: 0.0, ValueError,
                "eps came as 0.0, wanted a finite number above 0."),
    ),
    exact=False,
    sizes=((4, 3), (256, 64), (8192, 64, 64)),
    sized=sized,
    good=plain(4, (2, 3, 2), "good", count=0, **PLAIN_ADAM),
)  # fmt: skip

CONTRACTS = (CONTRACT,)
