"""Fisher matrices as functions of a vector: one forward pass serves all products of a solve."""

import torch
from jaxtyping import Float

from rlverify.errors import Arguments, layer_parameters
from rlverify.fast._curvature import (
    DISTRIBUTIONS,
    Pass,
    accumulate,
    blocks,
    checked_policy,
    forward_pass,
    output_product,
)
from rlverify.fast._steps import widened
from rlverify.fast._systems import Matvec, at_least_zero
from rlverify.fast.networks import _layers
from rlverify.fast.scan import rounded


def unchecked_fisher_operator(
    parameters: torch.Tensor,
    inputs: torch.Tensor,
    sizes: tuple[int, ...],
    activation: str,
    distribution: str,
    damping: float,
) -> Matvec:
    """Return the products of a policy that is known to be one."""
    count = layer_parameters(sizes)
    with torch.no_grad():
        flat, rows = widened(parameters, inputs)
        run = forward_pass(flat[:count], rows, sizes, activation)
    return pass_fisher_operator(run, flat[count:], distribution, rounded(damping, inputs.dtype))


def pass_fisher_operator(
    run: Pass, log_std: torch.Tensor, distribution: str, damping: float
) -> Matvec:
    """Return the products of a policy whose forward pass was run."""
    samples, last = len(run.outputs), len(run.layers) - 1
    with torch.no_grad():
        chances = run.outputs.softmax(-1)
    parts = [*blocks(run.outputs)]
    longest = parts[0].stop if parts else 0
    # reused by every block of every product, so that none of them is a fresh page
    moves = [run.outputs.new_empty(longest, width) for width in run.sizes[1:]]
    squares = [torch.empty_like(move) for move in moves[:-1]]

    @torch.no_grad()
    def product(vector: torch.Tensor) -> torch.Tensor:
        (v,) = widened(vector)
        pulled = damping * v
        count = len(v) - len(log_std)
        directions, into = _layers(v[:count], run.sizes), _layers(pulled[:count], run.sizes)
        pulled[count:].add_(v[count:], alpha=2)
        for rows in parts:
            length = rows.stop - rows.start
            entered = [value[rows] for value in run.values]
            moved, square = ([b[:length] for b in buffers] for buffers in (moves, squares))
            for k, (weight, bias) in enumerate(directions):
                torch.addmm(bias, entered[k], weight.T, out=moved[k])
                if k > 0:
                    moved[k].addmm_(moved[k - 1], run.layers[k][0].T)
                if k < last:
                    torch.mul(entered[k + 1], entered[k + 1], out=square[k])
                    _slope(moved[k], entered[k + 1], square[k], run.activation)
            arriving = output_product(moved[last], chances[rows], log_std, distribution)
            arriving.div_(samples)
            for k in reversed(range(last + 1)):
                accumulate(into[k], arriving, entered[k])
                if k > 0:
                    arriving = torch.mm(arriving, run.layers[k][0], out=moved[k - 1])
                    _slope(arriving, entered[k], square[k - 1], run.activation)
        return pulled

    return product


def _slope(
    derivative: torch.Tensor, after: torch.Tensor, square: torch.Tensor, activation: str
) -> None:
    """Multiply a derivative in place by φ′(z), which φ(z) and its square tell."""
    if activation == "tanh":
        derivative.addcmul_(derivative, square, value=-1)
    else:
        derivative.masked_fill_(~(after > 0), 0)


def fisher_operator(
    parameters: Float[torch.Tensor, "P"],
    inputs: Float[torch.Tensor, "N I"],
    *,
    sizes: tuple[int, ...],
    activation: str,
    distribution: str,
    damping: float,
) -> Matvec:
    """Return `fisher_vector_product` as a function of the vector, its forward pass run once.

    Source: as `fisher_vector_product`.

    Args:
        parameters: θ: the network's, layer after layer; then log σ [O] if gaussian.
        inputs: x, one sample a row.
        sizes: widths of the layers, the inputs' first.
        activation: `"tanh"` or `"relu"`.
        distribution: `"categorical"` or `"gaussian"`.
        damping: μ, at least 0.

    Returns:
        v ↦ (F + μ I) v, as `conjugate_gradient` takes it. Products of half precision come in
        float32.

    Raises:
        TypeError: an array is of the wrong kind or dtype.
        ValueError: sizes are no layers, a word is unknown, a shape does not fit them, or the
            damping is negative.

    Example:
        >>> product = fisher_operator(
        ...     torch.tensor([3.0, 1.0, 0.0]), torch.tensor([[2.0]]), sizes=(1, 1),
        ...     activation="tanh", distribution="gaussian", damping=0.5,
        ... )
        >>> product(torch.tensor([1.0, 0.0, 1.0]))
        tensor([4.5000, 2.0000, 2.5000])
    """
    function = "fisher_operator"
    check = checked_policy(function, parameters, inputs, sizes, activation, distribution)
    at_least_zero(check, "damping", damping)
    return unchecked_fisher_operator(parameters, inputs, sizes, activation, distribution, damping)


def module_fisher_operator(
    module: torch.nn.Module,
    inputs: torch.Tensor,
    *,
    distribution: str,
    damping: float,
) -> Matvec:
    """Return the damped Fisher matrix of any policy module as a function of a vector.

        (F + μ I) v = 1/N Jᵀ M J v + μ v

    J v is the derivative along v of Jᵀ u, which is linear in u, so one backward pass that can
    itself be differentiated serves all products; no KL is differentiated twice.

    Source: Schulman et al. 2015, arXiv:1502.05477, appendix C.1; Martens 2010, Deep learning via
    Hessian-free optimization, section 4.1 (damping).
    Ours: N is the number of all leading elements of the outputs. A σ that depends on the state is
    welcome, and so are parameters without effect: their part of F v is 0.

    Args:
        module: called with the inputs it returns logits [..., A] (categorical), or mean
            [..., D] and log σ that broadcasts to it (gaussian).
        inputs: what the module takes; no gradient reaches it.
        distribution: `"categorical"` or `"gaussian"`.
        damping: μ, at least 0.

    Returns:
        v ↦ (F + μ I) v, for vectors [P] in the order of those `module.parameters()` that
        require a gradient.

    Raises:
        TypeError: the damping is no number.
        ValueError: a word is unknown, the damping is negative, or no parameter requires a
            gradient.

    Example:
        >>> layer = torch.nn.Linear(1, 2)
        >>> _ = torch.nn.init.zeros_(layer.weight), torch.nn.init.zeros_(layer.bias)
        >>> product = module_fisher_operator(
        ...     layer, torch.tensor([[2.0]]), distribution="categorical", damping=0.0
        ... )
        >>> product(torch.tensor([1.0, 0.0, 0.0, 0.0]))
        tensor([ 1.0000, -1.0000,  0.5000, -0.5000])
    """
    check = Arguments("module_fisher_operator", torch.Tensor)
    check.choice("distribution", distribution, DISTRIBUTIONS)
    at_least_zero(check, "damping", damping)
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError(
            "module_fisher_operator: module came without parameters that require a gradient, "
            "wanted at least one."
        )

    with torch.enable_grad():
        returned = module(inputs)
        outputs: tuple[torch.Tensor, ...] = (returned,)
        if distribution == "gaussian":
            mean, log_std = returned
            outputs = (mean, log_std.expand_as(mean))
        dummies = [torch.zeros_like(output, requires_grad=True) for output in outputs]
        linear = torch.autograd.grad(
            outputs, parameters, dummies, create_graph=True, materialize_grads=True
        )
        flat = torch.cat([part.reshape(-1) for part in linear])
    first = outputs[0].detach()
    samples = first[..., 0].numel()
    chances, wide = first.softmax(-1), outputs[-1].detach()

    def product(vector: torch.Tensor) -> torch.Tensor:
        v = vector.detach().to(flat.dtype)
        moves = torch.autograd.grad(
            flat, dummies, v, retain_graph=True, materialize_grads=True
        )  # fmt: skip
        pulls = [output_product(moves[0], chances, wide, distribution) / samples]
        if distribution == "gaussian":
            pulls.append(2 * moves[1] / samples)
        parts = torch.autograd.grad(
            outputs, parameters, pulls, retain_graph=True, materialize_grads=True
        )
        return torch.cat([part.reshape(-1) for part in parts]).add(v, alpha=float(damping))

    return product
