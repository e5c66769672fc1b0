"""Contracts of the topic `natural_gradient`: curvature of policies, and solving with it."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from rlverify.contract import (
    Argument,
    BadInput,
    Case,
    Contract,
    Equivalent,
    Example,
    KnownBug,
)
from rlverify.contracts import _curvature_laws as laws
from rlverify.contracts import _kronecker_laws as kronecker_laws
from rlverify.contracts._conjugate_gradient import CONTRACT as SOLVER_CONTRACT
from rlverify.contracts._curvature_cases import policies, policy
from rlverify.contracts._refusals import instead
from rlverify.errors import layer_parameters
from rlverify.fast import natural_gradient as fast
from rlverify.fast._curvature import forward_pass, kl_of_outputs
from rlverify.reference import natural_gradient as reference

Array = np.ndarray

PARAMETERS = Argument("parameters", "float", "Q")
INPUTS = Argument("inputs", "float", "N I")
KNOBS = (
    Argument("sizes", "sizes"),
    Argument("activation", "choice"),
    Argument("distribution", "choice"),
)
DAMPING = Argument("damping", "number")

# --- examples worked by hand ---------------------------------------------------------------------

# two actions of probability ½ from the input 2: π − π πᵀ = ±¼, times 2 · 2, 2 · 1 and 1 · 1
EVEN = {
    "parameters": np.zeros(4),
    "inputs": np.array([[2.0]]),
    "sizes": (1, 2),
    "activation": "tanh",
    "distribution": "categorical",
}
EVEN_FISHER = [
    ["1", "-1", "1/2", "-1/2"],
    ["-1", "1", "-1/2", "1/2"],
    ["1/2", "-1/2", "1/4", "-1/4"],
    ["-1/2", "1/2", "-1/4", "1/4"],
]
# mean 3x + 1 at x = 2 and x = 0, σ = 1
BELL = {
    "parameters": np.array([3.0, 1.0, 0.0]),
    "inputs": np.array([[2.0], [0.0]]),
    "sizes": (1, 1),
    "activation": "tanh",
    "distribution": "gaussian",
}
BELL_FISHER = [["2", "1", "0"], ["1", "1", "0"], ["0", "0", "2"]]


def worked(arguments: Mapping[str, Any], **extra: Any) -> Case:
    """Return a case worked by hand."""
    return Case({**arguments, **extra}, str(arguments["distribution"]), "worked by hand")


def matrix_examples(name: str) -> tuple[Example, ...]:
    """Return the examples of a curvature matrix."""
    return (
        Example("an even coin", worked(EVEN), {name: EVEN_FISHER}),
        Example("a bell curve", worked(BELL), {name: BELL_FISHER}),
    )


# --- refusals ------------------------------------------------------------------------------------


def good_case(extra: str) -> Case:
    """Return a small case whose axes all differ: 4 samples, widths 2, 3, 5, so 29 parameters."""
    case = policy((4, 2, 3, 5), extra)
    return Case(dict(case.arguments), case.kind)


def bad_inputs(function: str, *extra: str) -> tuple[BadInput, ...]:
    """Return the refusals of a curvature; `extra` names the vectors and numbers beside it."""
    entries: list[tuple[Any, ...]] = [
        ("parameters", "one short", np.zeros(28), ValueError,
         "parameters came with shape (28,), wanted 29 along the last axis for sizes (2, 3, 5)."),
        ("parameters", "a list", [0.0] * 29, TypeError,
         "parameters came as list, wanted a floating-point array [P]."),
        ("inputs", "a feature too many", np.zeros((4, 3)), ValueError,
         "inputs came with shape (4, 3), wanted 2 along the last axis for sizes (2, 3, 5)."),
        ("inputs", "no sample axis", np.zeros(2), ValueError,
         "inputs came with shape (2,), wanted [N, I]."),
        ("sizes", "a list", [2, 3, 5], ValueError,
         "sizes came as [2, 3, 5], wanted a tuple of at least two integers of at least 1."),
        ("activation", "unknown", "gelu", ValueError,
         "activation came as 'gelu', wanted one of tanh, relu."),
        ("distribution", "unknown", "beta", ValueError,
         "distribution came as 'beta', wanted one of categorical, gaussian."),
        ("distribution", "a log σ too few", "gaussian", ValueError,
         "parameters came with shape (29,), wanted 34 along the last axis for sizes (2, 3, 5)."),
    ]  # fmt: skip
    for name in extra:
        if name in ("vector", "gradient"):
            entries += [
                (name, "another length", np.zeros(28), ValueError,
                 f"{name} has shape (28,), but parameters has shape (29,); they must agree."),
                (name, "integers", np.zeros(29, dtype=np.int64), TypeError,
                 f"{name} came as dtype int64, wanted a floating-point dtype."),
            ]  # fmt: skip
            continue
        least = "of at least 0" if extra[0] == "vector" else "above 0"
        entries += [
            (name, "negative", -0.5, ValueError,
             f"{name} came as -0.5, wanted a finite number {least}."),
            (name, "NaN", float("nan"), ValueError,
             f"{name} came as nan, wanted a finite number {least}."),
            (name, "text", "0.5", TypeError, f"{name} came as str, wanted a number."),
        ]  # fmt: skip
    return tuple(instead(function, *entry) for entry in entries)


# --- known bugs ----------------------------------------------------------------------------------

FISHER_BUGS = (
    KnownBug("F3", "2 * variance / variance", "0 * variance"),
    KnownBug("L8", "fisher = fisher / len(inputs)", "pass"),
    KnownBug("NG1", "taken - chances", "taken", helper="scores"),
    KnownBug("NG2", "np.exp(-2 * parameters[count:])", "np.exp(-parameters[count:])"),
    KnownBug("NG4", "(gradient, gradient) * weight", "(gradient, -gradient) * weight"),
    KnownBug("NG5", "(gradient, gradient) * weight", "(gradient, gradient)"),
    KnownBug(
        "NG6", "np.outer(gradient, gradient)", "np.triu(np.outer(gradient, gradient))"
    ),
    KnownBug("NG7", "np.outer(gradient, gradient)", "np.diag(gradient * gradient)"),
)  # fmt: skip
HESSIAN_BUGS = (
    KnownBug("F3", "width_move = 2 * spread", "width_move = 0 * spread", helper="kl_pull"),
    KnownBug("F4", "spread = old_variance + away * away", "spread = away * away", helper="kl_pull"),
    KnownBug(
        "F6", "return chances - old, chances_move, none",
        "return chances - old, 0 * chances_move, none", helper="kl_pull",
        also=(("return pull, pull_move, width_move",
               "return pull, 0 * pull_move, 0 * width_move"),),
    ),
    KnownBug(
        "NG2", "    variance = np.exp(2 * log_std)", "    variance = np.exp(log_std)",
        helper="kl_pull", also=(("outputs, np.exp(2 * log_std)", "outputs, np.exp(log_std)"),),
    ),
    KnownBug(
        "NG3", "(chances * outputs_move).sum(axis=1, keepdims=True)",
        "outputs_move.sum(axis=1, keepdims=True) / outputs.shape[1]", helper="kl_pull",
    ),
    KnownBug("NG1", "(outputs_move - mean_move)", "outputs_move", helper="kl_pull"),
    KnownBug("NG4", "chances * (outputs_move", "-chances * (outputs_move", helper="kl_pull"),
    KnownBug("L8", "return hessian", "return hessian * len(inputs)"),
)  # fmt: skip
CENTRED = "np.diag(chances) - np.outer(chances, chances)"
PRODUCT_BUGS = (
    KnownBug("F3", "2 * variance / variance", "0 * variance"),
    KnownBug("F11a", "product + vector * damping", "product"),
    KnownBug("F11b", "product + vector * damping", "product + damping"),
    KnownBug("NG1", CENTRED, "np.diag(chances)", helper="output_fisher"),
    KnownBug("NG2", "np.exp(-2 * log_std)", "np.exp(-log_std)", helper="output_fisher"),
    KnownBug(
        "NG3", "np.outer(chances, chances)",
        "np.outer(chances, np.ones_like(chances)) / len(chances)", helper="output_fisher",
    ),
    KnownBug(
        "NG4", CENTRED, "np.outer(chances, chances) - np.diag(chances)", helper="output_fisher"
    ),
    KnownBug("L8", "vector[:count] / len(inputs)", "vector[:count]"),
)  # fmt: skip
STEP = "limited(np.sqrt(2 * delta / squared), 0, learning_rate)"
STEP_BUGS = (
    KnownBug("F3", "gradient[count:] / (2 + damping)", "gradient[count:]"),
    KnownBug("NG8a", STEP, "limited(np.sqrt(delta / squared), 0, learning_rate)"),
    KnownBug("NG8b", STEP, "limited(2 * delta / squared, 0, learning_rate)"),
    KnownBug("NG8c", STEP, "np.sqrt(2 * delta / squared)"),
    KnownBug(
        "NG9a", "identity(outer) * (root / share)", "identity(outer) * (root * share)",
        also=(("identity(inner) * (root * share)", "identity(inner) * (root / share)"),),
    ),
    KnownBug("NG9b", "root = np.sqrt(damping)", "root = damping"),
    KnownBug(
        "NG10", "np.ones_like(value[:1])", "np.zeros_like(value[:1])", helper="factors"
    ),
    KnownBug(
        "L8", "np.outer(entering, entering) / samples", "np.outer(entering, entering)",
        helper="factors",
    ),
)  # fmt: skip

# --- forms that look wrong and are right ---------------------------------------------------------


def _twice_differentiated(
    parameters: Array,
    inputs: Array,
    sizes: tuple[int, ...],
    activation: str,
    distribution: str,
    reverse: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return θ and the gradient of a KL that is 0 there, ready to be differentiated again."""
    flat, count = torch.tensor(parameters, requires_grad=True), layer_parameters(sizes)
    outputs = forward_pass(flat[:count], torch.tensor(inputs), sizes, activation).outputs
    new, old = (outputs, flat[count:]), (outputs.detach(), flat[count:].detach())
    first, second = (new, old) if reverse else (old, new)
    divergence = kl_of_outputs(*first, *second, distribution).mean()
    (gradient,) = torch.autograd.grad(divergence, flat, create_graph=True)
    return flat, gradient


def product_of_the_kl(
    parameters: Array,
    inputs: Array,
    vector: Array,
    *,
    sizes: tuple[int, ...],
    activation: str,
    distribution: str,
    damping: float,
) -> Array:
    """Differentiate the KL of the policy from its own detached copy twice; its value is 0."""
    settings = (sizes, activation, distribution)
    flat, gradient = _twice_differentiated(parameters, inputs, *settings, reverse=False)
    along = torch.tensor(vector)
    (product,) = torch.autograd.grad(gradient @ along, flat)
    return np.asarray((product + damping * along).numpy())


def hessian_of_the_other_direction(
    parameters: Array,
    inputs: Array,
    *,
    sizes: tuple[int, ...],
    activation: str,
    distribution: str,
) -> Array:
    """Differentiate KL(π_θ ‖ π_old) twice."""
    settings = (sizes, activation, distribution)
    flat, gradient = _twice_differentiated(parameters, inputs, *settings, reverse=True)
    rows = [torch.autograd.grad(number, flat, retain_graph=True)[0] for number in gradient]
    return np.asarray(torch.stack(rows).numpy())


# --- contracts -----------------------------------------------------------------------------------

WIDTHS = ((2, 2, 3, 2), (64, 4, 8, 2), (64, 4, 16, 16, 2))


def sized(extra: str) -> Callable[[tuple[int, ...]], Case]:
    """Return the function that makes cases of a benchmark size."""
    return functools.partial(policy, extra=extra)


FISHER_CONTRACT = Contract(
    name="fisher_matrix",
    topic="natural_gradient",
    summary="Fisher matrix of a policy, by the sum over its actions",
    source="Kakade 2001, A natural policy gradient, eq. 2",
    reference=reference.fisher_matrix,
    fast=fast.fisher_matrix,
    arguments=(PARAMETERS, INPUTS, *KNOBS),
    outputs=("fisher",),
    axes=("Q Q",),
    inputs=policies(""),
    examples=matrix_examples("fisher"),
    laws=laws.matrix_laws("fisher"),
    gradients=(),
    known_bugs=FISHER_BUGS,
    bad_inputs=bad_inputs("fisher_matrix"),
    sizes=WIDTHS,
    exact=False,
    good=good_case(""),
    sized=sized(""),
)

HESSIAN_CONTRACT = Contract(
    name="kl_hessian",
    topic="natural_gradient",
    summary="Hessian of the mean KL divergence from the old policy, at the old policy",
    source="Schulman et al. 2015, arXiv:1502.05477, appendix C",
    reference=reference.kl_hessian,
    fast=fast.kl_hessian,
    arguments=(PARAMETERS, INPUTS, *KNOBS),
    outputs=("hessian",),
    axes=("Q Q",),
    inputs=policies(""),
    examples=matrix_examples("hessian"),
    laws=(laws.IS_FISHER, *laws.matrix_laws("hessian")),
    gradients=(),
    known_bugs=HESSIAN_BUGS,
    equivalents=(
        Equivalent(
            "other direction", "KL(π_θ ‖ π_old) has the same Hessian at θ_old",
            hessian_of_the_other_direction,
        ),
    ),
    bad_inputs=bad_inputs("kl_hessian"),
    sizes=WIDTHS,
    exact=False,
    good=good_case(""),
    sized=sized(""),
)  # fmt: skip

PRODUCT_CONTRACT = Contract(
    name="fisher_vector_product",
    topic="natural_gradient",
    summary="damped Fisher matrix of a policy times a vector",
    source="Schulman et al. 2015, arXiv:1502.05477, appendix C.1",
    reference=reference.fisher_vector_product,
    fast=fast.fisher_vector_product,
    arguments=(PARAMETERS, INPUTS, Argument("vector", "float", "Q"), *KNOBS, DAMPING),
    outputs=("product",),
    axes=("Q",),
    inputs=policies("vector"),
    examples=(
        Example(
            "an even coin",
            worked(EVEN, vector=np.array([1.0, 0.0, 0.0, 4.0]), damping=0.5),
            {"product": ["-1/2", "1", "-1/2", "5/2"]},
        ),
        Example(
            "a bell curve",
            worked(BELL, vector=np.array([1.0, 2.0, 3.0]), damping=0.5),
            {"product": ["9/2", "4", "15/2"]},
        ),
    ),
    laws=laws.PRODUCT_LAWS,
    gradients=(),
    known_bugs=PRODUCT_BUGS,
    equivalents=(
        Equivalent(
            "a KL of value 0",
            "the KL of the policy from its own detached copy is 0, and so is its gradient; only "
            "its Hessian matters (Khrylx/PyTorch-RL#11, openai/baselines#415)",
            product_of_the_kl,
        ),
    ),
    bad_inputs=bad_inputs("fisher_vector_product", "vector", "damping"),
    sizes=((2, 2, 3, 2), (256, 17, 64, 64, 6), (1024, 17, 64, 64, 6), (4096, 17, 256, 256, 6)),
    exact=False,
    good=good_case("vector"),
    sized=sized("vector"),
)

STEP_CONTRACT = Contract(
    name="kronecker_factored_step",
    topic="natural_gradient",
    summary="natural gradient with one Kronecker product per layer for curvature (ACKTR)",
    source="Wu et al. 2017, arXiv:1708.05144, sections 3.1 and 3.2",
    reference=reference.kronecker_factored_step,
    fast=fast.kronecker_factored_step,
    arguments=(
        PARAMETERS,
        INPUTS,
        Argument("gradient", "float", "Q"),
        *KNOBS,
        DAMPING,
        Argument("delta", "number"),
        Argument("learning_rate", "number"),
    ),
    outputs=("step",),
    axes=("Q",),
    inputs=policies("gradient"),
    # A = diag(0, 1), G = 1, √μ · (π, 1/π) = (½, 1): 6 / (2 · 1½) = 2 and 5 / 2½ = 2
    examples=(
        Example(
            "a bell curve",
            worked(
                {**BELL, "inputs": np.array([[0.0]])},
                gradient=np.array([0.0, 6.0, 5.0]),
                damping=0.5,
                delta=128.0,
                learning_rate=1.0,
            ),
            {"step": ["0", "2", "2"]},
        ),
    ),
    laws=kronecker_laws.LAWS,
    gradients=(),
    known_bugs=STEP_BUGS,
    bad_inputs=bad_inputs(
        "kronecker_factored_step", "gradient", "damping", "delta", "learning_rate"
    ),
    sizes=((2, 2, 3, 2), (256, 17, 64, 64, 6), (2048, 17, 64, 64, 6)),
    exact=False,
    good=good_case("gradient"),
    sized=sized("gradient"),
)

CONTRACTS = (FISHER_CONTRACT, HESSIAN_CONTRACT, PRODUCT_CONTRACT, SOLVER_CONTRACT, STEP_CONTRACT)
