"""Inputs of the topic `trpo`: directions, problems of a line search, and whole updates."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import Case
from rlverify.errors import layer_parameters
from rlverify.inputs import distinct
from rlverify.objectives import Polynomial
from rlverify.reference._trust_region import Policy

# --- a direction and its product -----------------------------------------------------------------

DELTAS = (0.0078125, 0.01, 0.05, 0.5, 2.0)


@st.composite
def directions(draw: st.DrawFn) -> Case:
    """Draw a direction and its product with a matrix along which the curvature is positive."""
    length = draw(st.sampled_from((1, 2, 3, 5, 8)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    direction, product = distinct(rng, (length,), (length,))
    mixed = draw(st.booleans())
    product = np.abs(product) * np.sign(direction)
    if mixed and length > 1:  # one term is negative, and half of the others' sum at most
        rest = float((direction * product)[1:].sum())
        direction[0] = np.copysign(min(abs(direction[0]), 8.0), direction[0])
        most = np.floor(4 * rest / abs(direction[0])) / 8
        product[0] = -np.sign(direction[0]) * min(most, abs(product[0]))
    scale = draw(st.sampled_from((1.0, 1.0, 2.0**-10, 2.0**10)))
    arrays = {"direction": direction * scale, "curvature_product": product}
    return Case({**arrays, "delta": draw(st.sampled_from(DELTAS))}, "mixed" if mixed else "free")


def sized_direction(shape: tuple[int, ...]) -> Case:
    """Return a direction of a benchmark size."""
    rng = np.random.default_rng(0)
    direction = rng.integers(1, 256, shape) / 128
    arrays = {"direction": direction, "curvature_product": 2 * direction}
    return Case({**arrays, "delta": 0.01}, "free", "timing")


# --- a line search -------------------------------------------------------------------------------

BACKTRACKS = (0.5, 0.5, 0.75, 0.25, 0.8)


@st.composite
def searches(draw: st.DrawFn) -> Case:
    """Draw a line and two polynomials whose signs and sizes change along it.

    `first`: the full step will do; `later`: a shorter one; `never`: none.
    """
    count = draw(st.sampled_from((1, 2, 3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    parameters, step = distinct(rng, (count,), (count,))
    parameters, step = parameters / 16, step / 8
    knobs: dict[str, Any] = {
        "backtrack": draw(st.sampled_from(BACKTRACKS)),
        "max_backtracks": draw(st.sampled_from((1, 2, 3, 4, 6))),
    }
    line = [parameters + knobs["backtrack"] ** j * step for j in range(knobs["max_backtracks"])]
    units = np.eye(count, dtype=int)
    squares = tuple((int(rng.integers(1, 4)), tuple(map(int, 2 * unit))) for unit in units)
    constraint = Polynomial(squares)
    slopes = tuple((int(rng.choice((-3, -2, -1, 1, 2, 3))), tuple(map(int, u))) for u in units)
    bends = tuple((int(rng.integers(-1, 2)), tuple(map(int, 2 * unit))) for unit in units)
    objective = Polynomial((*slopes, *bends))
    # the objective vanishes near some trial, and the bound lies between two
    heights = [objective(place) for place in line]
    level = round(heights[int(rng.integers(len(heights)))] + rng.choice((-1, 1)))
    if draw(st.booleans()):  # all trials improve
        level = int(np.floor(min(heights))) - 1
    objective = Polynomial((*objective.terms, (-level, (0,))))
    sizes = sorted(float(constraint(place)) for place in line)
    place = int(rng.integers(-1, len(sizes)))
    above = sizes[place + 1] if place + 1 < len(sizes) else 2 * sizes[-1] + 1
    below = sizes[place] if place >= 0 else sizes[0] / 2
    knobs["delta"] = float(np.float32((above + below) / 2 if place >= 0 else below))
    knobs["delta"] = max(knobs["delta"], 2.0**-6)
    kind = "never"
    for j, x in enumerate(line):
        if objective(x) > 0 and constraint(x) <= knobs["delta"]:
            kind = "later" if j else "first"
            break
    functions = {"objective": objective, "constraint": constraint}
    return Case({**functions, "parameters": parameters, "step": step, **knobs}, kind)


def sized_search(shape: tuple[int, ...]) -> Case:
    """Return a search of a benchmark size, which takes four trials."""
    (count,) = shape
    rng = np.random.default_rng(0)
    step = rng.normal(size=count)
    step[0] = 8
    arguments = {
        "objective": Polynomial(((1, (1,)),)), "constraint": Polynomial(((1, (2,)),)),
        "parameters": np.zeros(count), "step": step, "delta": 2.0, "backtrack": 0.5,
        "max_backtracks": 10,
    }  # fmt: skip
    return Case(arguments, "later", "timing")


# --- whole updates -------------------------------------------------------------------------------

SIZES = {
    "categorical": ((1, 2), (2, 2), (1, 3), (1, 2, 2), (2, 1, 2)),
    "gaussian": ((1, 1), (2, 1), (1, 2), (1, 1, 1), (1, 2, 1)),
}
# narrowing: actions at the mean are good, σ shrinks, and the divergence outgrows its prediction;
# overshoot: δ is so large that the step passes the good actions, and worsens the surrogate
REGIMES = (*["plain"] * 4, "narrowing", "narrowing", "narrowing", "overshoot", "overshoot",
           "stale", "zero")  # fmt: skip
FAR = {"narrowing": 0.25, "overshoot": 1.5}


def taken(rng: np.random.Generator, policy: Policy, parameters: np.ndarray, far: float) -> Any:
    """Return actions: any number, or the mean and at most `far` deviations from it."""
    outputs = policy.outputs(parameters)
    if policy.distribution == "categorical":
        return rng.integers(0, outputs.shape[1], len(outputs))
    away = far * rng.choice((-1.0, 1.0), outputs.shape) * (0.75 + rng.random(outputs.shape) / 4)
    return outputs + away * np.exp(policy.parts(parameters)[1])


@st.composite
def updates(draw: st.DrawFn) -> Case:
    """Draw a small policy, samples of it, and what its update is told."""
    regime = draw(st.sampled_from(REGIMES))
    bold = regime in FAR
    distribution = draw(st.sampled_from(("categorical", "gaussian")))
    distribution = "gaussian" if bold else distribution
    sizes = draw(st.sampled_from(SIZES[distribution]))
    activation = draw(st.sampled_from(("tanh", "relu")))
    samples = draw(st.sampled_from((1, 1, 2) if bold else (1, 2, 3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = layer_parameters(sizes) + (sizes[-1] if distribution == "gaussian" else 0)
    parameters, inputs, advantages = distinct(rng, (count,), (samples, sizes[0]), (samples,))
    parameters, inputs, advantages = parameters / 32, inputs / 16, advantages / 8
    if distribution == "gaussian":  # σ is 1/2 to 2
        parameters[-sizes[-1] :] *= 0.5
    policy = Policy(inputs, sizes, activation, distribution)
    actions = taken(rng, policy, parameters, FAR.get(regime, 1.0))
    log_probs = policy.log_probs(parameters, policy.outputs(parameters), actions)
    if bold:
        advantages = np.abs(advantages)
    if regime == "zero":
        advantages = 0 * advantages
    if regime == "stale":  # the rollout is older than the policy
        log_probs = log_probs + rng.integers(-4, 5, samples) / 8
    deltas = {"narrowing": (1.0,), "overshoot": (8.0,)}.get(regime, (0.015625, 0.05, 0.25))
    dampings = (0.25,) if bold else (0.25, 0.5, 1.0, 2.0)
    tries = {"narrowing": (1, 1, 1, 2, 3), "overshoot": (2, 3, 4)}.get(regime, (1, 2, 4))
    knobs = {
        "sizes": sizes, "activation": activation, "distribution": distribution,
        "delta": draw(st.sampled_from(deltas)), "damping": draw(st.sampled_from(dampings)),
        "cg_iterations": 2 * count + 8,
        "cg_tolerance": draw(st.sampled_from((1e-6, 1e-8))),
        "backtrack": draw(st.sampled_from((0.5, 0.8, 0.25))),
        "max_backtracks": draw(st.sampled_from(tries)),
    }  # fmt: skip
    arrays = {
        "parameters": parameters, "inputs": inputs, "actions": actions, "log_probs": log_probs,
        "advantages": advantages,
    }  # fmt: skip
    return Case({**arrays, **knobs}, regime)


def sized_update(shape: tuple[int, ...]) -> Case:
    """Return an update of a benchmark size: samples, then the widths of a Gaussian policy."""
    samples, *widths = shape
    sizes, rng = tuple(widths), np.random.default_rng(0)
    parameters = rng.normal(size=layer_parameters(sizes) + sizes[-1]) / np.sqrt(max(sizes))
    inputs = rng.normal(size=(samples, sizes[0]))
    policy = Policy(inputs, sizes, "tanh", "gaussian")
    actions = taken(rng, policy, parameters, 1.5)
    arguments = {
        "parameters": parameters, "inputs": inputs, "actions": actions,
        "log_probs": policy.log_probs(parameters, policy.outputs(parameters), actions),
        "advantages": rng.normal(size=samples), "sizes": sizes, "activation": "tanh",
        "distribution": "gaussian", "delta": 0.01, "damping": 0.5, "cg_iterations": 10,
        "cg_tolerance": 1e-6, "backtrack": 0.5, "max_backtracks": 10,
    }  # fmt: skip
    return Case(arguments, "plain", "timing")


def good_update() -> Case:
    """Return the good case that bad inputs spoil: four samples, sizes (2, 3), 9 parameters."""
    inputs = np.arange(8.0).reshape(4, 2) / 8
    parameters = np.arange(9.0) / 16
    policy = Policy(inputs, (2, 3), "tanh", "categorical")
    actions = np.array([0, 1, 2, 0])
    arguments = {
        "parameters": parameters, "inputs": inputs, "actions": actions,
        "log_probs": policy.log_probs(parameters, policy.outputs(parameters), actions),
        "advantages": np.array([1.0, -2.0, 0.5, 3.0]), "sizes": (2, 3), "activation": "tanh",
        "distribution": "categorical", "delta": 0.25, "damping": 0.5, "cg_iterations": 30,
        "cg_tolerance": 1e-6, "backtrack": 0.5, "max_backtracks": 3,
    }  # fmt: skip
    return Case(arguments, "plain", "good")
