"""One module a topic: what its functions must satisfy, as data."""

import difflib
import functools
import importlib

from rlverify.contract import Contract

TOPICS = (
    "returns",
    "advantages",
    "traces",
    "td_lambda",
    "categorical",
    "gaussian",
    "gaussian_mixture",
    "beta",
    "tanh_gaussian",
    "networks",
    "score_function",
    "reinforce",
    "baselines",
    "pathwise",
    "policy_comparison",
    "finite_difference",
    "cross_entropy",
    "dynamic_programming",
    "q_learning",
    "tabular_q",
    "dqn_update",
    "replay",
    "natural_gradient",
    "trpo",
    "ppo",
    "ppo_update",
    "a2c",
    "grpo",
    "token_log_probs",
    "grpo_update",
    "normalization",
    "optimizers",
    "schedules",
    "initializers",
)


@functools.cache
def contracts() -> tuple[Contract, ...]:
    """Return every contract, topic by topic."""
    found: list[Contract] = []
    for topic in TOPICS:
        found += importlib.import_module(f"rlverify.contracts.{topic}").CONTRACTS
    return tuple(found)


def names() -> tuple[str, ...]:
    """Return the name of every contract."""
    return tuple(contract.name for contract in contracts())


def list_contracts() -> tuple[str, ...]:
    """Return the names that `rlverify.check` knows."""
    return names()


def find(name: str) -> Contract:
    """Return the contract of that name.

    Raises:
        ValueError: there is none; the message names the nearest.
    """
    for contract in contracts():
        if contract.name == name:
            return contract
    near = difflib.get_close_matches(name, names(), n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names())}."
    raise ValueError(f"find: name came as {name!r}, wanted the name of a contract; {hint}")
