"""What every update within a trust region does, whatever its policy is made of."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from jaxtyping import Bool, Float, Int

from rlverify.errors import layer_parameters
from rlverify.fast._curvature import Pass, forward_pass, outputs_of
from rlverify.fast._operators import module_fisher_operator, pass_fisher_operator
from rlverify.fast._systems import Matvec
from rlverify.fast._updates import Trace
from rlverify.fast.categorical import categorical_kl, categorical_log_prob, categorical_score
from rlverify.fast.gaussian import gaussian_kl, gaussian_log_prob, gaussian_score
from rlverify.fast.natural_gradient import conjugate_gradient

Outputs = tuple[torch.Tensor, ...]  # logits, or mean and log σ


class TrpoUpdate(NamedTuple):
    """What an update did.

    Attributes:
        parameters: after it; those that came in, to the bit, where no trial was accepted.
        accepted: whether a trial was accepted.
        tries: how many trials were made.
        surrogate: by how much L has risen; 0 where no trial was accepted.
        kl: mean KL(old ‖ new); 0 where no trial was accepted.
    """

    parameters: Float[torch.Tensor, "P"]
    accepted: Bool[torch.Tensor, ""]
    tries: Int[torch.Tensor, ""]
    surrogate: Float[torch.Tensor, ""]
    kl: Float[torch.Tensor, ""]


class Knobs(NamedTuple):
    """What an update is told, rounded to what its policy computes in."""

    delta: float
    damping: float
    cg_iterations: int
    cg_tolerance: float
    backtrack: float
    max_backtracks: int


class Policy(Protocol):
    """A policy on its inputs, a function of one vector of parameters."""

    @property
    def distribution(self) -> str:
        """Return `categorical` or `gaussian`."""
        ...

    @property
    def start(self) -> torch.Tensor:
        """Return the parameters that the update starts from."""
        ...

    def outputs(self, vector: torch.Tensor) -> Outputs:
        """Return what the distribution is made of."""
        ...

    def gradient(self, old: Outputs, actions: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return the gradient of Σ weights · log π(actions) at the start, whose outputs come in."""
        ...

    def products(self, damping: float) -> Matvec:
        """Return v ↦ (F + μI) v at the start."""
        ...


@dataclass(frozen=True)
class FlatPolicy:
    """A perceptron whose parameters are one vector, with log σ behind it."""

    start: torch.Tensor
    inputs: torch.Tensor
    sizes: tuple[int, ...]
    activation: str
    distribution: str

    @functools.cached_property
    def run(self) -> Pass:
        """Return the forward pass at the start, which everything there shares."""
        network, _ = self._parts(self.start)
        return forward_pass(network, self.inputs, self.sizes, self.activation)

    def _parts(self, vector: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the network and log σ have of a vector."""
        count = layer_parameters(self.sizes)
        return vector[:count], vector[count:]

    def outputs(self, vector: torch.Tensor) -> Outputs:
        """Return logits, or mean and log σ."""
        network, log_std = self._parts(vector)
        if vector is self.start:
            made = self.run.outputs
        else:
            made = outputs_of(network, self.inputs, self.sizes, self.activation)
        return (made,) if self.distribution == "categorical" else (made, log_std)

    def gradient(self, old: Outputs, actions: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return the gradient, from the scores in closed form."""
        if self.distribution == "categorical":
            return self.run.pulled(weights[:, None] * categorical_score(old[0], actions, None))
        score = gaussian_score(old[0], old[1], actions)
        pulled = self.run.pulled(weights[:, None] * score.mean)
        return torch.cat([pulled, weights @ score.log_std])

    def products(self, damping: float) -> Matvec:
        """Return the products."""
        _, log_std = self._parts(self.start)
        return pass_fisher_operator(self.run, log_std, self.distribution, damping)


class _Paired(torch.nn.Module):
    """A Gaussian policy whose log σ is a parameter of its own, as one that returns both."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: torch.Tensor) -> Outputs:
        return self.module(inputs), self.module.log_std  # type: ignore[return-value]


class ModulePolicy:
    """Any module: its parameters that require a gradient, as one vector."""

    def __init__(self, module: torch.nn.Module, inputs: torch.Tensor, distribution: str) -> None:
        with torch.no_grad():
            lone = isinstance(module(inputs), torch.Tensor)
        self.module = _Paired(module) if distribution == "gaussian" and lone else module
        self.inputs, self.distribution = inputs, distribution
        self.moving = {n: p for n, p in self.module.named_parameters() if p.requires_grad}
        self.start = torch.cat([p.detach().reshape(-1) for p in self.moving.values()])

    def outputs(self, vector: torch.Tensor) -> Outputs:
        """Return logits, or mean and log σ, for a vector in place of the module's parameters."""
        sizes = [p.numel() for p in self.moving.values()]
        pieces = vector.split(sizes)  # type: ignore[no-untyped-call]
        given = {
            name: piece.view_as(p)
            for (name, p), piece in zip(self.moving.items(), pieces, strict=True)
        }
        returned = torch.func.functional_call(self.module, given, (self.inputs,))
        return (returned,) if isinstance(returned, torch.Tensor) else tuple(returned)

    def gradient(self, old: Outputs, actions: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return the gradient, by autograd."""
        with torch.enable_grad():
            vector = self.start.clone().requires_grad_()
            total = (weights * log_probs(self, self.outputs(vector), actions)).sum()
            return torch.autograd.grad(total, vector)[0]

    def products(self, damping: float) -> Matvec:
        """Return the products, which share a graph."""
        return module_fisher_operator(
            self.module, self.inputs, distribution=self.distribution, damping=damping
        )

    def put(self, vector: torch.Tensor) -> None:
        """Write a vector into the module."""
        sizes = [p.numel() for p in self.moving.values()]
        pieces = vector.split(sizes)  # type: ignore[no-untyped-call]
        for parameter, piece in zip(self.moving.values(), pieces, strict=True):
            parameter.data.copy_(piece.view_as(parameter))


def log_probs(policy: Policy, outputs: Outputs, actions: torch.Tensor) -> torch.Tensor:
    """Return log π of the actions."""
    if policy.distribution == "categorical":
        return categorical_log_prob(outputs[0], actions, None)
    return gaussian_log_prob(outputs[0], outputs[1], actions)


def divergence(policy: Policy, old: Outputs, new: Outputs) -> torch.Tensor:
    """Return the mean of KL(old ‖ new)."""
    if policy.distribution == "categorical":
        return categorical_kl(old[0], new[0], None).mean()
    return gaussian_kl(*old, *new).mean()


def not_curved(function: str) -> ValueError:
    """Return the refusal of a direction along which the divergence would not grow."""
    return ValueError(
        f"{function}: sᵀFs of direction and curvature_product is not above 0, wanted positive "
        f"curvature; add more damping, and look for a stale old policy."
    )


def length(
    function: str, direction: torch.Tensor, product: torch.Tensor, delta: float
) -> torch.Tensor:
    """Return β = √(2δ / sᵀ(Fs)), or refuse."""
    curvature = torch.dot(direction, product)
    if not curvature > 0:  # NaN fails here too
        raise not_curved(function)
    return (2 * delta / curvature).sqrt()


def unchanged(vector: torch.Tensor, tries: int) -> TrpoUpdate:
    """Return what came in: no trial was accepted."""
    zero = vector.new_zeros(())
    never, made = torch.zeros_like(zero, dtype=torch.bool), torch.full_like(zero, tries)
    return TrpoUpdate(vector.clone(), never, made.long(), zero, zero.clone())


def ascended(
    function: str,
    policy: Policy,
    actions: torch.Tensor,
    old_log_probs: torch.Tensor,
    advantages: torch.Tensor,
    knobs: Knobs,
    record: Trace,
) -> TrpoUpdate:
    """Make one update, stage by stage; arrays are widened and carry no history."""
    start, count = policy.start, advantages.numel()
    old = policy.outputs(start)
    ratios = (log_probs(policy, old, actions) - old_log_probs).exp()
    g = policy.gradient(old, actions, ratios * advantages / count)
    g = record("gradient", {"gradient": g})["gradient"]
    if not g.any():
        return unchanged(start, 0)

    products = policy.products(knobs.damping)
    solution = conjugate_gradient(
        products, g, max_iterations=knobs.cg_iterations, tolerance=knobs.cg_tolerance
    )
    if solution.status == "not_positive_definite":
        raise not_curved(function)
    s = record("direction", {"direction": solution.x})["direction"]
    share = length(function, s, products(s), knobs.delta)
    share = record("step length", {"step_length": share})["step_length"]

    def tried(share: Any) -> dict[str, Any]:
        moved = start + share * s
        new = policy.outputs(moved)
        risen = (log_probs(policy, new, actions) - old_log_probs).exp() - ratios
        improvement, away = (risen * advantages).mean(), divergence(policy, old, new)
        accept = (improvement > 0) & (away <= knobs.delta)
        return {"parameters": moved, "surrogate": improvement, "kl": away, "accept": 1.0 * accept}

    found = searched(tried, start, share, knobs, record)
    return TrpoUpdate(**record("accept", found._asdict()))


def searched(
    tried: Callable[[Any], dict[str, Any]],
    start: torch.Tensor,
    share: Any,
    knobs: Knobs,
    record: Trace,
) -> TrpoUpdate:
    """Return the first trial that is accepted, or the start."""
    for j in range(1, knobs.max_backtracks + 1):
        made = record(f"trial {j}", tried(share))
        if made["accept"] > 0.5:
            as_tensor = functools.partial(torch.as_tensor, device=start.device)
            counts = as_tensor(True), as_tensor(j)
            return TrpoUpdate(made["parameters"], *counts, made["surrogate"], made["kl"])
        share = share * knobs.backtrack
    return unchanged(start, knobs.max_backtracks)
