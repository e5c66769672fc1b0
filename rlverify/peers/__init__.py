"""Peers: what other libraries compute, under the names and with the arguments of the contracts.

Each module holds thin adapters to one library, which is imported when one is called. An adapter
does what the library's own callers do around the function (fold the value of a truncated
step into its reward, flatten columns) and nothing that the library should do itself.

`rlverify check peer:rlax --as gae` judges one, `rlverify bench --peers` times them.
"""

import importlib
import importlib.metadata
import importlib.util
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Peer:
    """One function of another library.

    Attributes:
        library: as it is installed.
        contract: what it is meant to be.
        function: the adapter's name, in the module that is named like the library.
        arrays: what it takes: `numpy`, `torch` or `jax`.
        fixed: arguments that it has no parameter for, with the value it takes for granted.
    """

    library: str
    contract: str
    function: str
    arrays: str
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """Return `MODULE:FUNCTION` of the adapter."""
        return f"{module_of(self.library)}:{self.function}"

    @property
    def name(self) -> str:
        """Return what users call it."""
        plain = self.function == self.contract
        return self.library if plain else f"{self.library}.{self.function}"

    def load(self) -> Callable[..., Any]:
        """Return the adapter."""
        found: Callable[..., Any] = getattr(
            importlib.import_module(module_of(self.library)), self.function
        )
        return found

    @property
    def call(self) -> str | None:
        """Return how it is called, where it takes numbers for granted; None where names say it."""
        taken = {name: value for name, value in self.fixed.items() if value is not None}
        if not taken:
            return None
        parameters = inspect.signature(self.load()).parameters.values()
        given = [n.name if n.kind is not n.KEYWORD_ONLY else f"{n.name}={n.name}"
                 for n in parameters]  # fmt: skip
        fixed = ", ".join(f"{name}={value}" for name, value in taken.items())
        return f"{self.function}({', '.join(given)}) where {fixed}"


NO_MASK = {"mask": None}
AT_ONE = {"lam": 1.0, "rho_bar": 1.0, "rho_bar_advantage": 1.0}
PEERS = (
    Peer("stable-baselines3", "gae", "gae", "numpy"),
    Peer("stable-baselines3", "explained_variance", "explained_variance", "numpy", NO_MASK),
    Peer("stable-baselines3", "soft_update", "soft_update", "torch"),
    Peer("stable-baselines3", "running_moments_update", "running_moments_update", "numpy"),
    Peer("stable-baselines3", "running_moments_merge", "running_moments_merge", "numpy"),
    Peer("sb3-contrib", "conjugate_gradient", "conjugate_gradient", "torch"),
    Peer("tianshou", "gae", "gae", "numpy"),
    Peer("tianshou", "conjugate_gradient", "conjugate_gradient", "torch"),
    Peer("tianshou", "running_moments_update", "running_moments_update", "numpy"),
    Peer("torchrl", "gae", "gae", "torch"),
    Peer("torchrl", "gae", "vec_gae", "torch"),
    Peer("torchrl", "td_error", "td_error", "torch"),
    Peer("torchrl", "discounted_return", "discounted_return", "torch"),
    Peer("torchrl", "lambda_return", "lambda_return", "torch"),
    Peer("torchrl", "lambda_return", "vec_lambda_return", "torch"),
    Peer("torchrl", "vtrace", "vtrace", "torch", AT_ONE),
    Peer("rlax", "gae", "gae", "jax"),
    Peer("rlax", "discounted_return", "discounted_return", "jax"),
    Peer("rlax", "lambda_return", "lambda_return", "jax"),
    Peer("rlax", "n_step_return", "n_step_return", "jax"),
    Peer("rlax", "retrace", "retrace", "jax"),
    Peer("rlax", "vtrace", "vtrace", "jax", {"c_bar": 1.0}),
    Peer("rlax", "q_learning_target", "q_learning_target", "jax", {"legal": None}),
    Peer("rlax", "double_q_target", "double_q_target", "jax", {"legal": None}),
    Peer("rlax", "ppo_clip_loss", "ppo_clip_loss", "jax", NO_MASK),
)
LIBRARIES = tuple(dict.fromkeys(peer.library for peer in PEERS))


def module_of(library: str) -> str:
    """Return the module that adapts a library."""
    return f"rlverify.peers.{_import_name(library)}"


def _import_name(library: str) -> str:
    return library.replace("-", "_")


def missing(library: str) -> str:
    """Return why a library is not there; empty where it is."""
    if importlib.util.find_spec(_import_name(library)) is None:
        return f"{library} is not installed: pip install 'rlverify[peers]' brings it"
    return ""


def version(library: str) -> str:
    """Return the version of a library that is there."""
    return importlib.metadata.version(library)


def peers_of(contract: str) -> list[Peer]:
    """Return the peers of a contract."""
    return [peer for peer in PEERS if peer.contract == contract]


def peer_of(words: str, contract: str) -> Peer:
    """Return the peer that `peer:LIBRARY` or `peer:LIBRARY.FUNCTION` names.

    Raises:
        ValueError: there is none, or the library is not installed.
    """
    library, _, function = words.removeprefix("peer:").partition(".")
    if library not in LIBRARIES:
        raise ValueError(f"{words}: wanted one of {', '.join(f'peer:{n}' for n in LIBRARIES)}.")
    known = [peer for peer in PEERS if peer.library == library and peer.contract == contract]
    found = [peer for peer in known if peer.function == (function or contract)]
    if not found:
        there = ", ".join(f"peer:{peer.name}" for peer in peers_of(contract)) or "none"
        raise ValueError(f"{words}: there is no adapter for {contract}; there are: {there}.")
    if reason := missing(library):
        raise ValueError(f"{words}: {reason}.")
    return found[0]
