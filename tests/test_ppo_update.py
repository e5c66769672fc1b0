"""PPO's whole update and the fit of a critic: the contract tests, and what only these have."""

import functools
import itertools

import numpy as np
import pytest
import torch

import rlverify
from rlverify.checking import drawn_cases, truth
from rlverify.comparison import VACUOUS_SHARE, rounded
from rlverify.contracts import find
from rlverify.contracts._update_cases import plain, predictions
from rlverify.contracts.ppo_update import PPO_CONTRACT, TIMED, names_of
from rlverify.fast import _updates as fast_updates
from rlverify.fast import ppo_update as fast
from rlverify.reference import _updates as reference_updates
from rlverify.reference import ppo_update as reference
from rlverify.rounding import PRECISIONS, Tracked
from rlverify.twinning import as_torch
from support import *  # noqa: F403

TOPIC = "ppo_update"
FAR = 2.0**15
PPO = names_of(PPO_CONTRACT.arguments)
TWINS = [reference.ppo_update, fast.ppo_update]
twins = pytest.mark.parametrize("function", TWINS, ids=["reference", "fast"])


def arguments_of(**knobs):
    """Return an update of six samples in mini-batches of four, as NumPy has it."""
    widths = {"sizes": (2, 3, 2), "critic_sizes": (2, 3, 1)}
    return plain(PPO, 6, 4, widths, **{**TIMED, **knobs})


def run(function, arguments, trace=None):
    """Call one twin on NumPy arguments; return named NumPy arrays."""
    if function is fast.ppo_update:
        arguments = as_torch(arguments, "float64")
    result = function(**arguments, trace=trace)
    return {name: np.asarray(value) for name, value in result._asdict().items()}


@twins
def test_stages_in_order(function):
    """Every stage is handed over by name, epochs and mini-batches counted from 1."""
    names = []
    orders = np.array([[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0]])
    run(
        function,
        arguments_of(permutations=orders),
        lambda name, outputs: names.append(name) or outputs,
    )
    kinds = ("normalize", "evaluate", "stop", "gradient", "clip", "optimize")
    wanted = [
        f"epoch {e}, mini-batch {b}: {kind}" for e in (1, 2) for b in (1, 2) for kind in kinds
    ]
    assert names == wanted


@twins
def test_goes_on_with_what_the_trace_gives_back(function):
    """A trace that decides to stop ends the update; one that answers for a stage is believed."""

    def stopping(name, outputs):
        return {**outputs, "stop": 1.0 + 0 * outputs["kl"]} if name.endswith("stop") else outputs

    arguments = arguments_of(target_kl=FAR)
    stopped = run(function, arguments, stopping)
    assert stopped["steps"] == 0
    assert stopped["stopped"] == 1
    assert (stopped["parameters"] == arguments["parameters"]).all()

    def silent(name, outputs):
        return {"gradient": 0 * outputs["gradient"]} if name.endswith("gradient") else outputs

    assert (run(function, arguments, silent)["parameters"] == arguments["parameters"]).all()


def test_first_mini_batch_has_ratio_one():
    """Where the old log-probabilities are the policy's own, kl is 0 before the first step."""
    arguments = arguments_of(minibatch_size=6)
    arguments["old_log_probs"] = predictions(arguments).log_probs
    assert run(reference.ppo_update, arguments)["kl"] == 0


@pytest.mark.parametrize("distribution", ["categorical", "gaussian"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_gradient_is_autograds(distribution, activation):
    """The hand-written backward pass of all three parts gives what autograd gives."""
    rng, sizes, critic_sizes = np.random.default_rng(1), (3, 5, 2), (3, 4, 1)
    knobs = {"sizes": sizes, "critic_sizes": critic_sizes, "activation": activation,
             "distribution": distribution}  # fmt: skip
    gaussian = distribution == "gaussian"
    vector = torch.tensor(rng.normal(size=53 + 2 * gaussian), requires_grad=True)
    inputs = torch.tensor(rng.normal(size=(7, 3)))
    actions = torch.tensor(rng.normal(size=(7, 2)) if gaussian else rng.integers(0, 2, 7))
    weights = [torch.tensor(rng.normal(size=7)) for _ in range(3)]
    found = fast_updates.evaluate(vector, inputs, actions, **knobs)
    total = sum((weight * array).sum() for weight, array in zip(weights, found, strict=True))
    (wanted,) = torch.autograd.grad(total, vector)
    samples = (vector.detach(), inputs, actions)
    got = fast_updates.gradient(*samples, *weights, **knobs)
    ours = reference_updates.gradient(*(x.numpy() for x in (*samples, *weights)), **knobs)
    tracked = reference_updates.gradient(
        *(numbers(x.numpy()) for x in (*samples, *weights)), **knobs
    )
    for i, number in enumerate(tracked):
        allowed = number.free_bound()
        assert abs(got[i].item() - wanted[i].item()) <= 2 * allowed
        assert abs(ours[i] - wanted[i].item()) <= 2 * allowed


def numbers(array):
    """Return floats as numbers that count their roundings; integers as they are."""
    if array.dtype.kind == "i":
        return array
    return np.vectorize(lambda x: Tracked(x, PRECISIONS["float64"].unit), otypes=[object])(array)


def test_no_gradient_comes_out():
    """An update is no part of a graph, whatever was handed over."""
    arguments = as_torch(arguments_of(), "float64")
    for name in ("parameters", "advantages", "old_log_probs", "returns"):
        arguments[name].requires_grad_()
    assert not any(array.requires_grad for array in fast.ppo_update(**arguments))


def test_inputs_are_left_alone():
    """Neither twin writes to what it was given."""
    arguments = arguments_of()
    kept = {k: v.copy() for k, v in arguments.items() if isinstance(v, np.ndarray)}
    tensors = as_torch(arguments, "float64")
    reference.ppo_update(**arguments)
    fast.ppo_update(**tensors)
    for name, value in kept.items():
        assert (arguments[name] == value).all()
        assert (tensors[name].numpy() == value).all()


def test_a_pair_clips_each_side():
    """A clip range of two numbers is one for each side, as in the loss."""
    arguments = arguments_of(max_norm=None, normalize=False)
    same = {**arguments, "clip_range": (0.2, 0.2)}
    wider = {**arguments, "clip_range": (0.2, 0.9)}
    for function in TWINS:
        one, two, three = (run(function, x)["parameters"] for x in (arguments, same, wider))
        assert (one == two).all()
        assert (one != three).any()


def test_few_draws_are_undecidable():
    """The bounds of whole updates stay far below the parameters, in float32 too."""
    contract, wide = find("ppo_update"), 0
    cases = drawn_cases(contract, 100, 0)
    for case in cases:
        known = truth(contract, rounded(case, "float32"), "float32")
        size = np.sqrt(np.mean(known.value["parameters"] ** 2))
        wide += not (known.allowed["parameters"] <= VACUOUS_SHARE * size).all()
    assert wide <= len(cases) / 20


# how strangers write it


def strangers_ppo(
    parameters, inputs, actions, old_log_probs, advantages, returns, old_values, permutations,
    first, second, *, count, sizes, critic_sizes, activation, distribution, minibatch_size,
    normalize, ddof, advantage_eps, clip_range, value_clip_range, value_coefficient,
    entropy_coefficient, max_norm, learning_rate, beta1, beta2, eps, target_kl,
    after=False, half=0.5, extra=0.0,
):  # fmt: skip
    """Write PPO with modules, one loss, torch.optim.Adam and torch's clipping of the norm."""

    def body(widths):
        layers = []
        for width, following in itertools.pairwise(widths):
            layers += [torch.nn.Linear(width, following, dtype=parameters.dtype),
                       torch.nn.Tanh() if activation == "tanh" else torch.nn.ReLU()]  # fmt: skip
        return torch.nn.Sequential(*layers[:-1])

    actor, critic = body(sizes), body(critic_sizes)
    log_std = torch.nn.Parameter(torch.zeros(sizes[-1], dtype=parameters.dtype))
    weights = list(actor.parameters())
    weights += [log_std] if distribution == "gaussian" else []
    weights += list(critic.parameters())
    torch.nn.utils.vector_to_parameters(parameters.clone(), weights)
    optimiser = torch.optim.Adam(weights, lr=learning_rate, betas=(beta1, beta2), eps=eps)
    ends = np.cumsum([w.numel() for w in weights])[:-1].tolist()
    for w, m, v in zip(weights, first.tensor_split(ends), second.tensor_split(ends), strict=True):
        optimiser.state[w] = {"step": torch.tensor(float(count)),
                              "exp_avg": m.reshape(w.shape).clone(),
                              "exp_avg_sq": v.reshape(w.shape).clone()}  # fmt: skip
    steps, kl, stopped = 0, torch.zeros(()), False
    for order in permutations:
        for rows in order.split(minibatch_size):
            if stopped:
                break
            outputs, values = actor(inputs[rows]), critic(inputs[rows])[:, 0]
            if distribution == "gaussian":
                policy = torch.distributions.Normal(outputs, log_std.exp())
                log_probs = policy.log_prob(actions[rows]).sum(-1)
                entropy = policy.entropy().sum(-1).mean()
            else:
                policy = torch.distributions.Categorical(logits=outputs)
                log_probs, entropy = policy.log_prob(actions[rows]), policy.entropy().mean()
            weight = advantages[rows]
            if normalize:
                weight = (weight - weight.mean()) / (weight.std(correction=ddof) + advantage_eps)
            log_ratio = log_probs - old_log_probs[rows]
            ratio = log_ratio.exp()
            kl = (ratio - 1 - log_ratio).mean().detach()
            stopped = target_kl is not None and bool(kl > target_kl)
            if stopped and not after:
                break
            policy_loss = -torch.min(
                ratio * weight, ratio.clamp(1 - clip_range, 1 + clip_range) * weight
            ).mean()
            errors = (values - returns[rows]) ** 2
            if value_clip_range is not None:
                change = (values - old_values[rows]).clamp(-value_clip_range, value_clip_range)
                errors = torch.max(errors, (old_values[rows] + change - returns[rows]) ** 2)
            loss = policy_loss + value_coefficient * half * errors.mean()
            loss = loss - entropy_coefficient * entropy
            optimiser.zero_grad()
            loss.backward()
            if max_norm is not None:
                flat = torch.cat([w.grad.flatten() for w in weights])
                factor = min(1.0, max_norm / (float(flat.norm()) + extra)) if flat.any() else 1.0
                for w in weights:
                    w.grad.mul_(factor)
            optimiser.step()
            steps += 1
    moments = [torch.cat([optimiser.state[w][key].flatten() for w in weights])
               for key in ("exp_avg", "exp_avg_sq")]  # fmt: skip
    moved = torch.nn.utils.parameters_to_vector(weights).detach()
    return (moved, *moments, count + steps, kl.to(parameters.dtype), stopped, steps)


def strangers(name):
    """Return a variant of the stranger's update with the canonical signature."""
    settings = {"right": {}, "late": {"after": True}, "unhalved": {"half": 1.0},
                "torchs norm": {"extra": 1e-6}}[name]  # fmt: skip
    scope = {"write": functools.partial(strangers_ppo, **settings)}
    given = ", ".join(f"{x}={x}" for x in PPO)
    exec(f"def update({', '.join(PPO)}):\n    return write({given})", scope)
    return scope["update"]


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("right", None),
        ("late", "WRONG(E29)"),
        ("unhalved", "CONVENTION(value-loss=without-half)"),
        ("torchs norm", "CONVENTION(norm=epsilon-beside)"),
    ],
)
def test_update_of_a_stranger(name, title):
    """A right one passes, a known mistake and a convention are named."""
    verdict = rlverify.check(strangers(name), "ppo_update", arrays="torch", budget=60)
    assert verdict.ok == (title is None), verdict.title
    assert verdict.title.startswith(title or "")
