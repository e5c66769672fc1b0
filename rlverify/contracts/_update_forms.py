"""Whole updates as people write them: autograd for the gradient, torch.optim for the step."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch.optim.adam import adam as torch_adam

Tensor = torch.Tensor


def tensors(*arrays: np.ndarray) -> tuple[Tensor, ...]:
    """Return arrays as tensors of their own."""
    return tuple(torch.tensor(array) for array in arrays)


def forward(vector: Tensor, inputs: Tensor, sizes: tuple[int, ...], activation: str) -> Tensor:
    """Return a perceptron's outputs."""
    hidden, start = inputs, 0
    for k, (width, following) in enumerate(pairwise(sizes)):
        if k:
            hidden = torch.tanh(hidden) if activation == "tanh" else torch.relu(hidden)
        weight = vector[start : start + width * following].view(following, width)
        start += width * following
        hidden = hidden @ weight.T + vector[start : start + following]
        start += following
    return hidden


def parameters_in(sizes: tuple[int, ...]) -> int:
    """Return how many parameters a perceptron has."""
    return sum(width * following + following for width, following in pairwise(sizes))


def evaluated(
    vector: Tensor, inputs: Tensor, actions: Tensor, network: dict[str, Any]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return log-probabilities, entropies and values."""
    sizes, activation = network["sizes"], network["activation"]
    end = parameters_in(sizes)
    outputs = forward(vector[:end], inputs, sizes, activation)
    policy: torch.distributions.Distribution
    if network["distribution"] == "gaussian":
        log_std = vector[end : end + sizes[-1]]
        end += sizes[-1]
        normal = torch.distributions.Normal(outputs, log_std.exp())
        policy = torch.distributions.Independent(normal, 1)
    else:
        policy = torch.distributions.Categorical(logits=outputs)
    values = forward(vector[end:], inputs, network["critic_sizes"], activation)[:, 0]
    log_probs, entropies = policy.log_prob(actions), policy.entropy()  # type: ignore[no-untyped-call]
    return log_probs, entropies, values


def shortened(slope: Tensor, max_norm: float | None) -> Tensor:
    """Return a gradient no longer than a norm."""
    if max_norm is None:
        return slope
    return slope * min(1.0, max_norm / max(float(slope.norm()), 1e-300))


class Adam:
    """torch's Adam, which begins with given moments."""

    def __init__(self, weights: Tensor, first: np.ndarray, second: np.ndarray, count: int,
                 knobs: dict[str, Any]) -> None:  # fmt: skip
        self.weights, self.steps, self.knobs = weights, torch.tensor(float(count)), knobs
        self.first, self.second = tensors(first, second)

    def step(self, slope: Tensor) -> None:
        """Take a step."""
        knobs = self.knobs
        with torch.no_grad():  # the class would be made anew for every update, which costs more
            torch_adam(
                [self.weights], [slope], [self.first], [self.second], [], [self.steps],
                amsgrad=False, beta1=knobs["beta1"], beta2=knobs["beta2"],
                lr=knobs["learning_rate"], weight_decay=0.0, eps=knobs["eps"], maximize=False,
            )  # fmt: skip

    @property
    def results(self) -> tuple[np.ndarray, ...]:
        """Return parameters, both moments and the number of steps."""
        moments = self.first, self.second, self.steps.double()
        return tuple(x.detach().numpy() for x in (self.weights, *moments))


def batches(permutations: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Yield the samples of every mini-batch."""
    for order in permutations:
        yield from np.split(order, range(size, len(order), size))


def autograd_ppo(
    parameters: np.ndarray, inputs: np.ndarray, actions: np.ndarray, old_log_probs: np.ndarray,
    advantages: np.ndarray, returns: np.ndarray, old_values: np.ndarray,
    permutations: np.ndarray, first: np.ndarray, second: np.ndarray, **knobs: Any,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """Write PPO with one loss and autograd."""
    weights = torch.tensor(parameters, requires_grad=True)
    adam = Adam(weights, first, second, knobs["count"], knobs)
    states, taken, old, gains, targets, known = tensors(
        inputs, actions, old_log_probs, advantages, returns, old_values
    )
    kl, stopped, steps, low, high = 0.0, 0.0, 0, 1 - knobs["clip_range"], 1 + knobs["clip_range"]
    for rows in batches(permutations, knobs["minibatch_size"]):
        weight = gains[rows]
        if knobs["normalize"]:
            deviation = weight.std(correction=knobs["ddof"])
            weight = (weight - weight.mean()) / (deviation + knobs["advantage_eps"])
        log_probs, entropies, values = evaluated(weights, states[rows], taken[rows], knobs)
        log_ratios = log_probs - old[rows]
        ratios = log_ratios.exp()
        kl = float((ratios - 1 - log_ratios).detach().mean())
        if knobs["target_kl"] is not None and kl > knobs["target_kl"]:
            stopped = 1.0
            break
        surrogate = torch.minimum(ratios * weight, ratios.clamp(low, high) * weight).mean()
        errors = (values - targets[rows]).square()
        if knobs["value_clip_range"] is not None:
            edge = knobs["value_clip_range"]
            held = known[rows] + (values - known[rows]).clamp(-edge, edge)
            errors = torch.maximum(errors, (held - targets[rows]).square())
        critic, bonus = 0.5 * errors.mean(), entropies.mean()
        loss = -surrogate + knobs["value_coefficient"] * critic
        loss = loss - knobs["entropy_coefficient"] * bonus
        (slope,) = torch.autograd.grad(loss, weights)
        adam.step(shortened(slope, knobs["max_norm"]))
        steps += 1
    numbers = (np.array(float(number)) for number in (kl, stopped, steps))
    return (*adam.results, *numbers)


def autograd_value(
    critic_parameters: np.ndarray, inputs: np.ndarray, returns: np.ndarray,
    permutations: np.ndarray, first: np.ndarray, second: np.ndarray, **knobs: Any,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """Write the fit of a critic with autograd."""
    weights = torch.tensor(critic_parameters, requires_grad=True)
    adam = Adam(weights, first, second, knobs["count"], knobs)
    states, targets = tensors(inputs, returns)
    for rows in batches(permutations, knobs["minibatch_size"]):
        values = forward(weights, states[rows], knobs["critic_sizes"], knobs["activation"])[:, 0]
        loss = 0.5 * (values - targets[rows]).square().mean()
        (slope,) = torch.autograd.grad(loss, weights)
        adam.step(slope)
    return adam.results


def autograd_a2c(
    parameters: np.ndarray, inputs: np.ndarray, actions: np.ndarray, advantages: np.ndarray,
    returns: np.ndarray, squares: np.ndarray, **knobs: Any,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """Write A2C with autograd, and RMSprop as it stands in books."""
    weights = torch.tensor(parameters, requires_grad=True)
    states, taken, gains, targets, average = tensors(inputs, actions, advantages, returns, squares)
    log_probs, entropies, values = evaluated(weights, states, taken, knobs)
    policy, critic = -(gains * log_probs).mean(), 0.5 * (values - targets).square().mean()
    loss = policy + knobs["value_coefficient"] * critic
    loss = loss - knobs["entropy_coefficient"] * entropies.mean()
    (slope,) = torch.autograd.grad(loss, weights)
    slope = shortened(slope, knobs["max_norm"])
    average = knobs["decay"] * average + (1 - knobs["decay"]) * slope.square()
    inside = knobs["eps"] if knobs["eps_inside"] else 0.0
    outside = 0.0 if knobs["eps_inside"] else knobs["eps"]
    divisor = (average + inside).sqrt() + outside
    moved = weights.detach() - knobs["learning_rate"] * slope / divisor
    return moved.numpy(), average.numpy()
