"""Fisher products, their solves and whole updates in multiples of one gradient of the surrogate.

All runners of a group do the same work on the same policy: `gradient` is the unit, the others
are read as multiples of it. sb3-contrib's update runs where it is installed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from racing import clocked
from rlverify.fast import natural_gradient, trpo
from rlverify.fast._curvature import kl_of_outputs
from rlverify.fast._trust_region import FlatPolicy, log_probs
from rlverify.fast.networks import flat_parameters, mlp_module

Tensor = torch.Tensor
CASES = [(d, w, n) for d in ("gaussian", "categorical") for w in (64, 256) for n in (2048, 16384)]
each = pytest.mark.parametrize("case", CASES, ids=["-".join(map(str, c)) for c in CASES])
SOLVE = {"max_iterations": 15, "tolerance": 1e-10}
UPDATE: dict[str, Any] = {
    "delta": 0.01, "damping": 0.1, "cg_iterations": 15, "cg_tolerance": 1e-10, "backtrack": 0.8,
    "max_backtracks": 10,
}  # fmt: skip


class Normal(torch.nn.Module):
    """A Gaussian policy: a network for the mean, a parameter for log σ."""

    def __init__(self, network: torch.nn.Module, width: int) -> None:
        super().__init__()
        self.network, self.log_std = network, torch.nn.Parameter(torch.full((width,), -0.5))

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log σ."""
        return self.network(inputs), self.log_std


class Problem(NamedTuple):
    """A policy and a batch that it acted in."""

    module: torch.nn.Module
    parameters: Tensor
    inputs: Tensor
    actions: Tensor
    log_probs: Tensor
    advantages: Tensor
    network: dict[str, Any]

    def outputs(self) -> tuple[Tensor, Tensor]:
        """Return logits or mean, and log σ, with a graph."""
        made = self.module(self.inputs)
        return made if isinstance(made, tuple) else (made, made.new_zeros(0))

    def gradient(self) -> Tensor:
        """Return the surrogate's gradient, forward and backward by autograd: the unit."""
        first, log_std = self.outputs()
        if self.network["distribution"] == "gaussian":
            away = (self.actions - first) * (-log_std).exp()
            now = -(away.square() / 2 + log_std + np.log(2 * np.pi) / 2).sum(-1)
        else:
            now = first.log_softmax(-1).gather(-1, self.actions[:, None])[:, 0]
        surrogate = ((now - self.log_probs).exp() * self.advantages).mean()
        parts = torch.autograd.grad(surrogate, list(self.module.parameters()))
        return torch.cat([part.reshape(-1) for part in parts])

    def twice_differentiated(self) -> Callable[[Tensor], Tensor]:
        """Return products with the Hessian of the KL, its gradient's graph kept."""
        new = self.outputs()
        old, distribution = [part.detach() for part in new], self.network["distribution"]
        moving = list(self.module.parameters())
        kl = kl_of_outputs(*old, *new, distribution).mean()
        parts = torch.autograd.grad(kl, moving, create_graph=True)
        slope = torch.cat([part.reshape(-1) for part in parts])

        def product(v: Tensor) -> Tensor:
            found = torch.autograd.grad(slope @ v, moving, retain_graph=True)
            return torch.cat([part.reshape(-1) for part in found]) + UPDATE["damping"] * v

        return product


def problem(case: tuple[str, int, int]) -> Problem:
    """Return the policy and batch of a case: a half-cheetah or a cart-pole."""
    distribution, width, samples = case
    torch.manual_seed(0)
    read, act = (17, 6) if distribution == "gaussian" else (4, 2)
    sizes = (read, width, width, act)
    net = mlp_module(sizes=sizes, activation="tanh")
    inputs, parameters = torch.randn(samples, read), flat_parameters(net).detach()
    module: torch.nn.Module = net
    if distribution == "gaussian":
        module = Normal(net, act)
        parameters = torch.cat([parameters, module.log_std.detach()])
    network = {"sizes": sizes, "activation": "tanh", "distribution": distribution}
    policy = FlatPolicy(parameters, inputs, sizes, "tanh", distribution)
    outputs = policy.outputs(parameters)
    if distribution == "gaussian":
        actions = outputs[0] + outputs[1].exp() * torch.randn_like(outputs[0])
    else:
        actions = torch.multinomial(outputs[0].softmax(-1), 1)[:, 0]
    old = log_probs(policy, outputs, actions)
    return Problem(module, parameters, inputs, actions, old, torch.randn(samples), network)


def in_order_of_the_module(given: Problem, vector: Tensor) -> Tensor:
    """Return a flat vector with log σ first, as `Normal` lists its parameters."""
    tail = given.network["sizes"][-1] if given.network["distribution"] == "gaussian" else 0
    return torch.cat([vector[len(vector) - tail :], vector[: len(vector) - tail]])


def runners(given: Problem) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return products with the damped Fisher matrix, all for flat vectors."""
    damping = UPDATE["damping"]
    made = natural_gradient.fisher_operator(
        given.parameters, given.inputs, **given.network, damping=damping
    )
    of_module = natural_gradient.module_fisher_operator(
        given.module, given.inputs, distribution=given.network["distribution"], damping=damping
    )
    twice = given.twice_differentiated()
    return {
        "flat": made,
        "module": lambda v: of_module(in_order_of_the_module(given, v)),
        "twice": lambda v: twice(in_order_of_the_module(given, v)),
    }


@clocked
@each
def test_gradient(case: tuple[str, int, int], benchmark: Callable) -> None:
    """Time the unit."""
    given = problem(case)
    benchmark.group = f"fisher {case}"
    assert benchmark(given.gradient).isfinite().all()


@clocked
@each
@pytest.mark.parametrize("runner", ["flat", "module", "twice"])
def test_product(case: tuple[str, int, int], runner: str, benchmark: Callable) -> None:
    """Time one product, its graph or forward pass kept."""
    given = problem(case)
    made = runners(given)
    vector = torch.randn_like(given.parameters)
    got, wanted = made[runner](vector), made["flat"](vector)
    if runner != "flat":
        wanted = in_order_of_the_module(given, wanted)
    # half the digits of float32
    assert (got - wanted).norm() < 2.0**-12 * wanted.norm()
    benchmark.group = f"fisher {case}"
    benchmark(lambda: made[runner](vector))


@clocked
@each
def test_solve(case: tuple[str, int, int], benchmark: Callable) -> None:
    """Time fifteen steps of conjugate gradients."""
    given = problem(case)
    product = runners(given)["flat"]
    right = torch.randn_like(given.parameters)
    found = natural_gradient.conjugate_gradient(product, right, **SOLVE)
    assert (product(found.x) - right).norm() < right.norm()
    benchmark.group = f"fisher {case}"
    benchmark(lambda: natural_gradient.conjugate_gradient(product, right, **SOLVE))


@clocked
@each
def test_update(case: tuple[str, int, int], benchmark: Callable) -> None:
    """Time a whole update of a policy."""
    given = problem(case)

    def update() -> trpo.TrpoUpdate:
        return trpo.trpo_update(
            given.parameters, given.inputs, given.actions, given.log_probs, given.advantages,
            **given.network, **UPDATE,
        )  # fmt: skip

    first, second = update(), update()
    assert first.accepted
    assert torch.equal(first.parameters, second.parameters)  # nothing is drawn
    benchmark.group = f"fisher {case}"
    benchmark(update)


@clocked
@each
@pytest.mark.filterwarnings("ignore")  # its own: means of losses that were not asked for
def test_update_of_sb3_contrib(case: tuple[str, int, int], benchmark: Callable) -> None:
    """Time the policy's part of sb3-contrib's own `TRPO.train`, on the same batch."""
    contrib = pytest.importorskip("sb3_contrib")
    gymnasium = pytest.importorskip("gymnasium")
    from stable_baselines3.common.logger import configure
    from stable_baselines3.common.type_aliases import RolloutBufferSamples

    given = problem(case)
    _, width, samples = case
    read, act = given.network["sizes"][0], given.network["sizes"][-1]
    normal = given.network["distribution"] == "gaussian"

    class Silent(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-10, 10, (read,), dtype=np.float32)
        action_space = (gymnasium.spaces.Box(-10, 10, (act,), dtype=np.float32) if normal
                        else gymnasium.spaces.Discrete(act))  # fmt: skip

    taken = given.actions if normal else given.actions[:, None].float()
    none = torch.zeros(samples)
    batch = RolloutBufferSamples(given.inputs, taken, none, given.log_probs, given.advantages, none)

    class Buffer:
        values, returns = np.zeros(2), np.arange(2.0)

        def get(self, batch_size: int | None = None) -> list[Any]:
            return [batch]

    learner = contrib.TRPO(
        "MlpPolicy", Silent(), n_steps=samples, batch_size=samples, n_critic_updates=0,
        cg_max_steps=UPDATE["cg_iterations"], cg_damping=UPDATE["damping"],
        target_kl=UPDATE["delta"], line_search_shrinking_factor=UPDATE["backtrack"],
        line_search_max_iter=UPDATE["max_backtracks"], normalize_advantage=False,
        policy_kwargs={"net_arch": {"pi": [width, width], "vf": [2]}}, device="cpu",
    )  # fmt: skip
    learner.set_logger(configure(None, []))
    learner.rollout_buffer, learner._update_learning_rate = Buffer(), lambda *_: None
    policy = learner.policy
    moved = [*policy.mlp_extractor.policy_net.parameters(), *policy.action_net.parameters()]
    moved += [policy.log_std] if normal else []

    def update() -> None:
        place = 0
        for parameter in moved:
            part = given.parameters[place : place + parameter.numel()]
            parameter.data = part.clone().view_as(parameter)
            place += parameter.numel()
        learner.train()

    update()
    after = torch.cat([p.detach().reshape(-1) for p in moved])
    ours = trpo.trpo_update(
        given.parameters, given.inputs, given.actions, given.log_probs, given.advantages,
        **given.network, **UPDATE,
    )  # fmt: skip
    step, wanted = after - given.parameters, ours.parameters - given.parameters
    assert torch.dot(step, wanted) > 0.9 * step.norm() * wanted.norm()  # the same direction
    benchmark.group = f"fisher {case}"
    benchmark(update)
