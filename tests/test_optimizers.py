"""Optimisers: the contract tests, and what only these functions have."""

import numpy as np
import pytest
import torch

import rlverify
from rlverify.fast import optimizers as fast
from rlverify.reference import optimizers as reference
from rlverify.rounding import PRECISIONS, Tracked
from support import *  # noqa: F403

TOPIC = "optimizers"
U = PRECISIONS["float64"].unit
STEPS = 6
RULES = {
    "sgd": ({"learning_rate": 0.1, "momentum": 0.9}, {}),
    "adam": ({"learning_rate": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}, {}),
    "rmsprop": (
        {"learning_rate": 0.01, "decay": 0.99, "eps": 1e-8, "eps_inside": False},
        {"start": 0.0},
    ),
}
TORCHS = {
    "sgd": lambda x: torch.optim.SGD([x], lr=0.1, momentum=0.9),
    "adam": lambda x: torch.optim.Adam([x], lr=0.1, betas=(0.9, 0.999), eps=1e-8),
    "rmsprop": lambda x: torch.optim.RMSprop([x], lr=0.01, alpha=0.99, eps=1e-8),
}
rules = pytest.mark.parametrize("rule", RULES)


def gradients_of(rule):
    rng = np.random.default_rng(len(rule))
    return rng.normal(size=(STEPS, 5))


def tracked(array):
    return np.vectorize(lambda x: Tracked(x, U), otypes=[object])(array)


def run(module, rule, parameters, gradients):
    """Return the parameters after every step."""
    knobs, start = RULES[rule]
    init, update = getattr(module, f"{rule}_init"), getattr(module, f"{rule}_update")
    state, path = init(parameters, **start), []
    for slope in gradients:
        parameters, state = update(parameters, slope, state, **knobs)
        path.append(parameters)
    return path


@rules
def test_as_torch_optimises(rule):
    """A few steps from one start lie within rounding of torch.optim, in both twins."""
    start, gradients = np.linspace(-1, 1, 5), gradients_of(rule)
    ours = run(reference, rule, start, gradients)
    twins = run(fast, rule, torch.from_numpy(start), torch.from_numpy(gradients))
    bounds = run(reference, rule, tracked(start), [tracked(row) for row in gradients])
    weights = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimiser = TORCHS[rule](weights)
    for k in range(STEPS):
        weights.grad = torch.from_numpy(gradients[k].copy())
        optimiser.step()
        for i in range(5):
            allowed = bounds[k][i].free_bound()
            assert abs(float(bounds[k][i]) - ours[k][i]) <= allowed
            assert abs(twins[k][i].item() - ours[k][i]) <= allowed
            assert abs(weights[i].item() - ours[k][i]) <= allowed


@rules
@pytest.mark.parametrize("module", [reference, fast], ids=["reference", "fast"])
def test_update_is_the_step(module, rule):
    """The state as one value changes no bit."""
    make = np.array if module is reference else torch.tensor
    knobs, start = RULES[rule]
    parameters, slope = make([1.0, -2.0]), make([0.5, 3.0])
    state = getattr(module, f"{rule}_init")(parameters, **start)
    moved, after = getattr(module, f"{rule}_update")(parameters, slope, state, **knobs)
    fields = [getattr(state, name) for name in state._fields if name != "steps"]
    extra = {"count": 1} if rule == "adam" else {}
    step = getattr(module, rule)(parameters, slope, *fields, **extra, **knobs)
    assert moved.tolist() == step.parameters.tolist()
    kept = [getattr(after, name).tolist() for name in after._fields if name != "steps"]
    assert kept == [array.tolist() for array in step[1:]]


def test_torchs_clipping_stays_below():
    """torch adds 1e-6 to the norm: it ends shorter than max_norm, ours ends at it."""
    slope = torch.tensor([3.0, 4.0], dtype=torch.float64)
    weights = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    weights.grad = slope.clone()
    assert torch.nn.utils.clip_grad_norm_([weights], 2.5).item() == 5.0
    ours = fast.clip_grad_norm(slope, max_norm=2.5)
    assert ours.gradients.tolist() == [1.5, 2.0]
    assert weights.grad.norm() < 2.5 == ours.gradients.norm()


def test_nothing_learns_from_nan():
    """A NaN among the gradients is seen in the norm, and nothing hides it."""
    found = fast.clip_grad_norm(torch.tensor([1.0, float("nan")]), max_norm=0.5)
    assert found.norm.isnan()


def test_first_step_shows_where_epsilon_stands():
    """One step, a tiny gradient and ε = 1/100: TensorFlow's RMSprop is another optimiser."""
    one, slope = torch.ones(1), torch.full((1,), 2.0**-10)
    knobs = {"learning_rate": 1.0, "decay": 0.5, "eps": 0.01}
    torchs = fast.rmsprop_init(one, start=0.0)
    tensorflows = fast.rmsprop_init(one, start=1.0)
    beside, _ = fast.rmsprop_update(one, slope, torchs, **knobs, eps_inside=False)
    under, _ = fast.rmsprop_update(one, slope, tensorflows, **knobs, eps_inside=True)
    assert (1 - beside).item() > 32 * (1 - under).item()


# how strangers write it


def adam(params, grads, m, v, t, lr, beta1, beta2, eps):
    """Write Adam as in the paper."""
    m = beta1 * m + (1 - beta1) * grads
    v = beta2 * v + (1 - beta2) * grads**2
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return params - lr * m_hat / (np.sqrt(v_hat) + eps), m, v


def uncorrected(params, grads, m, v, t, lr, beta1, beta2, eps):
    """Write Adam without corrections."""
    m = beta1 * m + (1 - beta1) * grads
    v = beta2 * v + (1 - beta2) * grads**2
    return params - lr * m / (np.sqrt(v) + eps), m, v


def tensorflows(params, grads, m, v, t, lr, beta1, beta2, eps):
    """Put the corrections into the rate and forget ε."""
    m = beta1 * m + (1 - beta1) * grads
    v = beta2 * v + (1 - beta2) * grads**2
    rate = lr * np.sqrt(1 - beta2**t) / (1 - beta1**t)
    return params - rate * m / (np.sqrt(v) + eps), m, v


@pytest.mark.parametrize(
    ("function", "title"),
    [
        (adam, None),
        (uncorrected, "WRONG(O10c)"),
        (tensorflows, "CONVENTION(epsilon=uncorrected)"),
    ],
)
def test_adam_of_a_stranger(function, title):
    """A right one passes, others are named, under the names that people use."""
    verdict = rlverify.check(function, "adam", budget=80)
    assert verdict.ok == (title is None), verdict.title
    assert verdict.title.startswith(title or "")
