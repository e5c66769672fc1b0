"""Planning, beside textbook loops and a copy of the bytes; many processes, and large ones."""

from collections.abc import Callable

import pytest
import torch

from racing import test_copy, test_fast, test_peer  # noqa: F401
from rlverify.fast import dynamic_programming as fast
from rlverify.tabular_envs import from_gymnasium

TOPIC = "dynamic_programming"
Tensor = torch.Tensor
GAMMA = 0.99
TOLERANCE = 2.0**-8


def dense_sweeps(
    transition: Tensor, reward: Tensor, terminal: Tensor, *, gamma: float, tolerance: float,
    max_iterations: int,
) -> Tensor:  # fmt: skip
    """Sweep as the textbook has it: the whole table is read every time."""
    values = torch.zeros_like(transition[:, 0, 0])
    for _ in range(max_iterations):
        following = torch.where(terminal, 0, values)
        swept = (transition * (reward + gamma * following)).sum(-1).amax(-1)
        moved = (swept - values).abs().max()
        values = swept
        if 2 * gamma * moved <= tolerance * (1 - gamma):
            break
    return values


def linear_solve(
    transition: Tensor, reward: Tensor, terminal: Tensor, policy: Tensor, *, gamma: float,
    tolerance: float, max_iterations: int,
) -> Tensor:  # fmt: skip
    """Solve the system of the policy at once."""
    chain = torch.einsum("sa,sai->si", policy, torch.where(terminal, 0, transition))
    earned = torch.einsum("sa,sai,sai->s", policy, transition, reward)
    return torch.linalg.solve(torch.eye(len(policy)) - gamma * chain, earned)


def one_expression(
    transition: Tensor, reward: Tensor, terminal: Tensor, values: Tensor, *, gamma: float
) -> Tensor:
    """Form every term and add them up."""
    following = torch.where(terminal, 0, values)
    return (transition * (reward + gamma * following)).sum(-1)


class Values:
    """Results by name."""

    _fields = ("values",)

    def __init__(self, values: Tensor) -> None:
        self.values = values


PEERS = {
    "action_values": one_expression,
    "policy_evaluation": linear_solve,
    "value_iteration": dense_sweeps,
}

# --- many processes, and processes of which almost everything is 0 --------------------------------


def many(count: int, states: int, actions: int) -> dict[str, Tensor]:
    """Return random processes, of which some steps end."""
    generator = torch.Generator().manual_seed(0)
    shape = (count, states, actions, states)
    weights = torch.rand(shape, generator=generator)
    return {
        "transition": weights / weights.sum(-1, keepdim=True),
        "reward": torch.rand(shape, generator=generator) * 2 - 1,
        "terminal": torch.rand(shape, generator=generator) < 0.02,
    }


def environment(name: str) -> dict[str, Tensor]:
    """Return the process behind an environment."""
    mdp = from_gymnasium(name)
    return {
        "transition": torch.tensor(mdp.transition).float(),
        "reward": torch.tensor(mdp.reward).float(),
        "terminal": torch.tensor(mdp.terminal),
    }


PROCESSES: dict[str, Callable[[], dict[str, Tensor]]] = {
    "10000 of 20 states": lambda: many(10_000, 20, 4),
    "100 of 100 states": lambda: many(100, 100, 4),
    "FrozenLake": lambda: environment("FrozenLake-v1"),
    "Taxi": lambda: environment("Taxi-v4"),
}


def sweeps(arguments: dict[str, Tensor]) -> Tensor:
    """Return the best values by sweeps."""
    found = fast.value_iteration(
        **arguments, gamma=GAMMA, tolerance=TOLERANCE, max_iterations=10_000
    )
    return found.values


def policies(arguments: dict[str, Tensor]) -> Tensor:
    """Return the best values by policies."""
    return fast.policy_iteration(**arguments, gamma=GAMMA, max_iterations=1000).values


@pytest.mark.benchmark(max_time=0.2, min_rounds=3, warmup=True, warmup_iterations=1)
@pytest.mark.parametrize("run", [sweeps, policies])
@pytest.mark.parametrize("name", PROCESSES)
def test_best_values(name: str, run: Callable[..., Tensor], benchmark: Callable):
    """Time two ways to the best values, judged by what one more sweep changes."""
    arguments = PROCESSES[name]()
    values = run(arguments)
    table = fast.action_values(**arguments, values=values, gamma=GAMMA)
    moved = (table.amax(-1) - values).abs().amax(-1)
    # ‖V − V*‖ ≤ ‖TV − V‖ / (1 − γ); a sweep rounds sums of 2S terms of size R + max|V|
    states, reward = values.shape[-1], arguments["reward"].abs().amax((-3, -2, -1))
    rounding = (2 * states + 4) * 2.0**-24 * (reward + values.abs().amax(-1))
    wanted = TOLERANCE * (1 - GAMMA)
    assert (moved <= wanted + rounding).all(), "nothing was timed"
    benchmark.group = f"best values of {name}"
    benchmark(lambda: run(arguments))
