"""What an update within a trust region knows of its policy: what it says, and how it is curved."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from rlverify.errors import layer_parameters
from rlverify.reference._curvature import probabilities, solved
from rlverify.reference._functions import loosened
from rlverify.reference._special import exp_surplus
from rlverify.reference.categorical import _log_probs, categorical_log_prob
from rlverify.reference.gaussian import gaussian_kl, gaussian_log_prob
from rlverify.reference.natural_gradient import kl_hessian
from rlverify.reference.networks import mlp_backward, mlp_forward, mlp_jvp


def _norm(vector: np.ndarray) -> Any:
    return np.sqrt((vector * vector).sum())


class Policy(NamedTuple):
    """A policy on its inputs, a function of its parameters."""

    inputs: Float[np.ndarray, "N I"]
    sizes: tuple[int, ...]
    activation: str
    distribution: str

    def parts(self, vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what belongs to the network and what to log σ, which may be nothing."""
        count = layer_parameters(self.sizes)
        return vector[:count], vector[count:]

    def outputs(self, parameters: np.ndarray) -> Float[np.ndarray, "N O"]:
        """Return the network's outputs."""
        network, _ = self.parts(parameters)
        return mlp_forward(network, self.inputs, sizes=self.sizes, activation=self.activation)

    def log_probs(
        self, parameters: np.ndarray, outputs: np.ndarray, actions: np.ndarray
    ) -> Float[np.ndarray, "N"]:
        """Return log π of the actions."""
        if self.distribution == "categorical":
            return categorical_log_prob(outputs, actions, None)
        return gaussian_log_prob(outputs, self.parts(parameters)[1], actions)

    def divergence(
        self, old: np.ndarray, old_outputs: np.ndarray, new: np.ndarray, new_outputs: np.ndarray
    ) -> Any:
        """Return the mean of KL(old ‖ new), from parameters and outputs of both."""
        if self.distribution == "gaussian":
            old_log_std, new_log_std = self.parts(old)[1], self.parts(new)[1]
            each = gaussian_kl(old_outputs, old_log_std, new_outputs, new_log_std)
            return each.sum() / len(each)
        total: Any = 0
        before, after = _log_probs(old_outputs, None), _log_probs(new_outputs, None)
        for i in np.ndindex(before.shape):
            # as `categorical_kl`, whose two forms are one where the policies are near
            total = total + np.exp(before[i]) * exp_surplus(after[i] - before[i])
        return total / len(before)

    def product(self, parameters: np.ndarray, vector: np.ndarray, damping: Any) -> np.ndarray:
        """Return (H + μI) v as Jᵀ M J v + μ v: at the policy itself, H is the Fisher matrix."""
        (network, log_std), (moves, spread) = self.parts(parameters), self.parts(vector)
        knobs: dict[str, Any] = {"sizes": self.sizes, "activation": self.activation}
        outputs = mlp_forward(network, self.inputs, **knobs)
        moved, count = mlp_jvp(network, self.inputs, moves, **knobs), len(outputs)
        if self.distribution == "categorical":
            chances = probabilities(outputs)
            means = (chances * moved).sum(axis=1, keepdims=True)
            pulls = chances * (moved - means) / count
        else:
            pulls = moved / np.exp(2 * log_std) / count
        curved = mlp_backward(network, self.inputs, pulls, **knobs)
        damped: np.ndarray = np.concatenate([curved, 2 * spread]) + vector * damping
        return damped

    def direction(
        self, parameters: np.ndarray, g: np.ndarray, damping: Any, steps: int, tolerance: Any
    ) -> np.ndarray:
        """Return (H + μI)⁻¹ g by Cholesky's factors, with what conjugate gradients may miss.

        The solution is one of float64. How far it, and any other, may lie from the true one
        follows from the residual, which is computed with its rounding: ‖ŝ − s‖ ≤ ‖r‖/μ, for no
        eigenvalue is below μ. A factorisation of P numbers in other arithmetic leaves a residual
        of at most P (3P + 1) u ‖H + μI‖ ‖s‖ (Higham 2002, theorems 10.3 and 10.4); the rounding of
        conjugate gradients less.
        """
        count, plain = len(g), np.array(parameters, dtype=np.float64)
        hessian = kl_hessian(
            plain, np.array(self.inputs, dtype=np.float64),
            sizes=self.sizes, activation=self.activation, distribution=self.distribution,
        )  # fmt: skip
        matrix = hessian + float(damping) * np.eye(count)
        slope = np.array(g, dtype=np.float64)
        solution = solved(matrix, slope[:, None])[:, 0]
        if g.dtype != object:  # plain numbers have no bounds to carry
            return solution

        missed = _norm(g - self.product(parameters, solution.astype(object), damping))
        slack = (missed + tolerance * _norm(g)) / damping
        if steps < count:  # they may end before they are near
            ends = np.linalg.eigvalsh(matrix)[[0, -1]]
            root = np.sqrt(ends[1] / ends[0])
            rate = ((root - 1) / (root + 1)) ** steps
            slack = slack + 2 * rate * np.sqrt(slope @ solution / ends[0])
        rounds = count * (3 * count + 1) * _norm(solution) * np.linalg.norm(matrix) / damping
        direction = np.empty_like(g)
        for i in range(count):
            direction[i] = loosened(solution[i], slack, rounds)
        return direction
