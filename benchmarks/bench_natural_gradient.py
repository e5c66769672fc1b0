"""Natural gradients, beside a KL that autograd differentiates twice and SciPy's solver."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator, cg

from racing import clocked, test_copy, test_fast, test_peer  # noqa: F401
from rlverify.contracts import find
from rlverify.errors import layer_parameters
from rlverify.fast import natural_gradient as fast
from rlverify.fast._curvature import forward_pass, kl_of_outputs
from rlverify.fast.networks import mlp_module
from rlverify.twinning import as_torch

TOPIC = "natural_gradient"
Tensor = torch.Tensor


def twice_differentiated(
    parameters: Tensor,
    inputs: Tensor,
    vector: Tensor,
    *,
    sizes: tuple[int, ...],
    activation: str,
    distribution: str,
    damping: float,
) -> Tensor:
    """Form the KL from a detached copy, its gradient, and the gradient of gradient · v."""
    flat, count = parameters.detach().requires_grad_(), layer_parameters(sizes)
    outputs = forward_pass(flat[:count], inputs, sizes, activation).outputs
    log_std = flat[count:]
    kl = kl_of_outputs(outputs.detach(), log_std.detach(), outputs, log_std, distribution).mean()
    (gradient,) = torch.autograd.grad(kl, flat, create_graph=True)
    (product,) = torch.autograd.grad(gradient @ vector, flat)
    return product + damping * vector


def of_a_module(parameters: Tensor, inputs: Tensor, vector: Tensor, **knobs: object) -> Tensor:
    """Take the operator for modules, made anew for one product."""
    sizes, activation = knobs.pop("sizes"), knobs.pop("activation")
    module = mlp_module(sizes=sizes, activation=activation).to(parameters.dtype)
    torch.nn.utils.vector_to_parameters(parameters, module.parameters())
    return fast.module_fisher_operator(module, inputs, **knobs)(vector)


def scipys(matvec: Callable, b: Tensor, *, max_iterations: int, tolerance: float) -> Tensor:
    """Solve by SciPy, on arrays that share memory with the tensors."""
    size = len(b)
    operator = LinearOperator(
        (size, size), lambda v: matvec(torch.from_numpy(v.reshape(-1))).numpy(),
        dtype=b.numpy().dtype,
    )  # fmt: skip
    found, _ = cg(operator, b.numpy(), rtol=tolerance, atol=0.0, maxiter=max_iterations)
    return torch.from_numpy(np.asarray(found, dtype=b.numpy().dtype))


PEERS = {
    "fisher_vector_product": (twice_differentiated, of_a_module),
    "conjugate_gradient": scipys,
}

SHAPES = find("fisher_vector_product").sizes[1:]


def prepared(shape: tuple[int, ...]) -> tuple[dict, Tensor]:
    arguments = as_torch(dict(find("fisher_vector_product").sized(shape).arguments), "float32")
    return arguments, arguments.pop("vector")


@clocked
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "anew"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "x".join(map(str, s)))
def test_ten_products(shape: tuple[int, ...], kept: bool, benchmark: Callable) -> None:
    """Time the ten products of a solve, with one forward pass or with ten."""
    arguments, vector = prepared(shape)

    def run() -> Tensor:
        v = vector
        operator = fast.fisher_operator(**arguments) if kept else None
        for _ in range(10):
            v = operator(v) if operator else fast.fisher_vector_product(vector=v, **arguments)
            v = v / v.norm()
        return v

    wanted = vector
    for _ in range(10):
        wanted = twice_differentiated(vector=wanted, **arguments)
        wanted = wanted / wanted.norm()
    assert torch.dot(run(), wanted) > 1 - 2.0**-12  # half the digits of float32
    benchmark(run)
