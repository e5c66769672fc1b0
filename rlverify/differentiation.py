"""Differentiation: the gradient of a fast version against exact derivatives of the reference.

Run on dual numbers (value, slope) the reference yields its own derivative; with tracked
numbers inside, that derivative comes with the bound on anybody's rounding. One run a
direction, so this is for small cases: gradients do not depend on size.
"""

from typing import Any

import numpy as np

from rlverify.checking import as_numpy, as_torch
from rlverify.comparison import ratios
from rlverify.contract import Case, Contract
from rlverify.rounding import PRECISIONS, Dual, Tracked, lifted


def cotangents(contract: Contract, case: Case) -> dict[str, np.ndarray]:
    """Return fixed weights for every output element: odd eighths, exact in every dtype."""
    shape = next(case[a.name].shape for a in contract.arguments if a.kind == "float")
    size = int(np.prod(shape))
    weights = {}
    for i, name in enumerate(contract.outputs):
        weights[name] = ((np.arange(size) * 2 + 1 + 4 * i) % 15 - 7).reshape(shape) / 8
    return weights


def differentiable(contract: Contract, case: Case) -> list[str]:
    """Return the arguments of a case that are arrays through which gradients flow."""
    return [name for name in contract.gradients if isinstance(case[name], np.ndarray)]


def exact_gradient(
    contract: Contract, case: Case, argument: str, dtype: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradient of Σ weights · outputs with respect to one argument, and its bound."""
    u, weights = PRECISIONS[dtype].unit, cotangents(contract, case)
    array = case[argument]
    gradient, allowed = np.zeros(array.shape), np.zeros(array.shape)
    plain = lifted(dict(case.arguments), lambda value: Dual(Tracked(value, u), Tracked(0.0, u)))
    for index in np.ndindex(array.shape):
        moved = plain[argument].copy()
        moved[index] = Dual(Tracked(float(array[index]), u), Tracked(1.0, u))
        with np.errstate(all="ignore"):
            outputs = contract.named(contract.reference(**{**plain, argument: moved}))
        total = Tracked(0.0, u)
        for name, output in outputs.items():
            for i in np.ndindex(output.shape):
                slope = output[i].slope if isinstance(output[i], Dual) else 0
                total = total + float(weights[name][i]) * slope
        gradient[index] = total.value
        allowed[index] = total.free_bound()
    return gradient, allowed


def torch_gradient(
    contract: Contract, case: Case, dtype: str, device: str
) -> dict[str, np.ndarray]:
    """Return what autograd gives for the fast version, by argument."""
    import torch

    assert contract.fast is not None
    arguments: dict[str, Any] = as_torch(dict(case.arguments), dtype, device)
    names = differentiable(contract, case)
    for name in names:
        arguments[name].requires_grad_()
    outputs = contract.named(contract.fast(**arguments))
    weights = as_torch(cotangents(contract, case), dtype, device)
    total = sum((weights[name] * output).sum() for name, output in outputs.items())
    inputs = [arguments[name] for name in names]
    gradients = torch.autograd.grad(total, inputs, allow_unused=True)  # type: ignore[arg-type]
    return {
        name: np.zeros(case[name].shape) if grad is None else as_numpy(grad)
        for name, grad in zip(names, gradients, strict=True)
    }


def worst_gradient(
    contract: Contract, cases: list[Case], dtype: str, device: str = "cpu"
) -> float:
    """Return the worst error of the fast version's gradient in units of the bound."""
    worst = 0.0
    for case in cases:
        found = torch_gradient(contract, case, dtype, device)
        for name, got in found.items():
            wanted, allowed = exact_gradient(contract, case, name, dtype)
            # the reference's own derivative is rounded in float64
            allowed = allowed + PRECISIONS["float64"].unit / PRECISIONS[dtype].unit * allowed
            worst = max(worst, float(ratios(got, wanted, allowed).max(initial=0.0)))
    return worst
