"""Computation: the functions of the suite as a training loop calls them, reference or fast.

A loop is written once, over a `Backend`: it hands in arrays of NumPy by name and gets arrays of
NumPy back, whichever twin computes. So the loops that learn are the loops that are judged: a
backend that calls both twins with the same arguments runs any of them in lockstep.
"""

import contextlib
import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

# every function of the suite that a loop uses, and its topic
USED = {
    "gae": "advantages",
    "normalize_advantages": "advantages",
    "reinforce_weights": "score_function",
    "reinforce_update": "reinforce",
    "mlp_forward": "networks",
    "categorical_log_prob": "categorical",
    "gaussian_log_prob": "gaussian",
    "running_moments_update": "normalization",
    "running_moments_normalize": "normalization",
    "scale_rewards": "normalization",
    "linear_schedule": "schedules",
    "orthogonal": "initializers",
    "group_advantages": "grpo",
    "ppo_update": "ppo_update",
    "a2c_update": "a2c",
    "value_update": "ppo_update",
    "trpo_update": "trpo",
    "grpo_update": "grpo_update",
    "dqn_update": "dqn_update",
    "soft_update": "q_learning",
    "tabular_q_update": "tabular_q",
    "discretize": "tabular_q",
    "epsilon_greedy_probabilities": "categorical",
    "sarsa_target": "q_learning",
    "expected_sarsa_target": "q_learning",
    "double_q_target": "q_learning",
}


class Backend(Protocol):
    """Computes a function of the suite, by name."""

    def __call__(self, function: str, /, **arguments: Any) -> Any:
        """Return what the function gives for these arguments, its arrays as arrays of NumPy.

        Args:
            function: its name, one of `USED`.
            arguments: as the call table has them; every array is one of NumPy.
        """

    def memory(self, rows: int) -> Any:
        """Return a new replay buffer of the suite that keeps that many rows, a `Memory`."""


class Reference:
    """The NumPy references: slow, and the truth."""

    def __call__(self, function: str, /, **arguments: Any) -> Any:
        """Call the reference."""
        return twin("reference", function)(**arguments)

    def memory(self, rows: int) -> Any:
        """Return the reference's replay buffer."""
        from rlverify.reference.replay import ReplayBuffer

        return ReplayBuffer(rows=rows, shared=False)


class Fast:
    """The PyTorch versions, on the CPU.

    Attributes:
        dtype: of every floating-point array that they are given: float64 or float32.
    """

    def __init__(self, dtype: str = "float64") -> None:
        import torch  # slow to import; the reference needs none

        self.dtype: torch.dtype = {"float64": torch.float64, "float32": torch.float32}[dtype]

    def __call__(self, function: str, /, **arguments: Any) -> Any:
        """Call the fast version on copies of the arrays."""
        given = {name: self._tensor(value) for name, value in arguments.items()}
        return _arrays(twin("fast", function)(**given))

    def memory(self, rows: int) -> Any:
        """Return the fast replay buffer."""
        return FastMemory(self, rows)

    def _tensor(self, value: Any) -> Any:
        import torch

        if not isinstance(value, np.ndarray):
            return value
        dtype = self.dtype if np.issubdtype(value.dtype, np.floating) else None
        # a copy lies where PyTorch puts its own arrays: how an array is aligned can change the
        # last bit of a product, and a run that goes on must go on to the same last bit
        return torch.tensor(value, dtype=dtype)


class FastMemory:
    """The fast replay buffer, for arrays of NumPy.

    Attributes:
        buffer: with tensors in it.
    """

    def __init__(self, fast: Fast, rows: int) -> None:
        from rlverify.fast.replay import ReplayBuffer

        self.buffer = ReplayBuffer(rows=rows, shared=False)
        self._fast = fast

    def __len__(self) -> int:
        """Return how many transitions can be read."""
        return len(self.buffer)

    def push(self, *row: np.ndarray) -> None:
        """Keep one transition of each environment."""
        self.buffer.push(*map(self._fast._tensor, row))

    def read(self, picks: np.ndarray) -> Any:
        """Return transitions by age, the oldest row first."""
        return _arrays(self.buffer.read(self._fast._tensor(picks)))


def twin(side: str, function: str) -> Callable[..., Any]:
    """Return a function of the suite: its `"reference"` or its `"fast"` version."""
    module = importlib.import_module(f"rlverify.{side}.{USED[function]}")
    found: Callable[..., Any] = getattr(module, function)
    return found


def _arrays(result: Any) -> Any:
    """Return a result with its tensors as arrays."""
    if isinstance(result, tuple):
        items = [_arrays(item) for item in result]
        return type(result)(*items) if hasattr(result, "_fields") else tuple(items)
    if isinstance(result, Mapping):
        return {name: _arrays(item) for name, item in result.items()}
    return result.detach().numpy() if hasattr(result, "detach") else result


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch compute in one thread.

    On batches this small the others only wait, and how a sum is shared out among threads can
    change its last bit: a run must not depend on how many cores there are.
    """
    import torch

    kept = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(kept)
