"""Laws of curvature that need no second implementation of it."""

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import numpy as np

from rlverify.contract import Case, Claim, Law, Subject
from rlverify.contracts._measured import exactly, measured, vanishes
from rlverify.contracts._network_cases import joined, layers_of
from rlverify.contracts._recordings import equals_exactly, exact, same
from rlverify.errors import layer_parameters
from rlverify.reference import natural_gradient as reference
from rlverify.rounding import PRECISIONS, Tracked, lifted

Check = Callable[[Subject, Case], Iterable[Claim]]
Array = np.ndarray


def network_size(case: Case) -> int:
    """Return how many parameters are the network's."""
    return layer_parameters(case["sizes"])


def last_biases(case: Case) -> slice:
    """Return where the biases of the last layer stand."""
    count = network_size(case)
    return slice(count - case["sizes"][-1], count)


def alone(case: Case, where: slice) -> Array:
    """Return the case's vector with zeros everywhere else."""
    vector: Array = np.zeros_like(case["vector"])
    vector[where] = case["vector"][where]
    return vector


def stateless(case: Case) -> Case:
    """Return the case with the last layer's weights 0: outputs are its biases, for all inputs."""
    count = network_size(case)
    layers = layers_of(case["parameters"][:count], case["sizes"])
    layers[-1][0][:] = 0
    return case.but(parameters=np.concatenate([joined(layers), case["parameters"][count:]]))


def output_block(case: Case) -> Array:
    """Return the Fisher matrix by the last biases of a stateless policy, with its bounds.

    diag(π) − π πᵀ of the softmax of the biases, or diag(1/σ²).
    """
    if case["distribution"] == "gaussian":
        log_std = case["parameters"][network_size(case) :]
        scales = [(exactly(-2) * exactly(x)).exp() for x in log_std]
        return np.array(np.diag(scales))
    grown = [exactly(x).exp() for x in case["parameters"][last_biases(case)]]
    total = sum(grown[1:], grown[0])
    chances = [x / total for x in grown]
    return np.array(
        [[p * (1 - q) if i == j else -p * q for j, q in enumerate(chances)]
         for i, p in enumerate(chances)]
    )  # fmt: skip


def check_mean(subject: Subject, case: Case) -> Iterable[Claim]:
    """Take an input alone, and twice: a mean stays."""
    once = case.but(inputs=case["inputs"][:1])
    twice = case.but(inputs=np.repeat(case["inputs"][:1], 2, axis=0))
    yield from same(subject, twice, subject(once), once)


def _differences(got: Array, allowed: Array, wanted: Array) -> Iterable[Claim]:
    """Claim that results equal tracked numbers, elementwise."""
    ours = measured(got, allowed)
    for index in np.ndindex(got.shape):
        yield vanishes(ours[index] - wanted[index])


# --- matrices ------------------------------------------------------------------------------------


def _quadratic(matrix: Array, vector: Array) -> Any:
    return vector @ matrix @ vector


def check_symmetric(name: str) -> Check:
    """Return the law that a matrix is symmetric."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        got, allowed = subject(case)[name], subject.bound(case)[name]
        yield Claim(got, got.T, allowed + allowed.T)

    return check


def check_semidefinite(name: str) -> Check:
    """Return the law that no direction has negative curvature; some are tried."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        got, allowed = subject(case)[name], subject.bound(case)[name]
        yield Claim(np.diag(got).clip(max=0), np.zeros(len(got)), np.diag(allowed))
        signs = (-1.0) ** np.arange(len(got))
        curvature = _quadratic(measured(got, allowed), signs)
        below = np.array([min(float(curvature), 0.0)])
        yield Claim(below, np.zeros(1), np.array([curvature.running_bound()]))

    return check


def check_matrix_shift(name: str) -> Check:
    """Return the law that adding a number to all logits changes nothing."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        matrix = measured(subject(case)[name], subject.bound(case)[name])
        for row in matrix[:, last_biases(case)]:
            yield vanishes(sum(row[1:], row[0]))

    return check


def check_matrix_block(name: str) -> Check:
    """Return the law that the last biases' block is the output's own Fisher matrix."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        still, where = stateless(case), last_biases(case)
        got, allowed = subject(still)[name], subject.bound(still)[name]
        yield from _differences(got[where, where], allowed[where, where], output_block(still))

    return check


def check_matrix_log_std(name: str) -> Check:
    """Return the law that every log σ has the curvature 2 and none with others."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        count, size = network_size(case), len(case["parameters"])
        wanted = 2 * np.eye(size)[count:]
        yield Claim(subject(case)[name][count:], wanted, subject.bound(case)[name][count:])

    return check


def check_is_fisher(subject: Subject, case: Case) -> Iterable[Claim]:
    """The Hessian of the KL is the Fisher matrix, summed over the actions."""
    wanted, slack = _fisher(*case.arguments.values())
    yield Claim(subject(case)["hessian"], wanted, subject.bound(case)["hessian"] + slack)


def _fisher(*arguments: Any) -> tuple[Array, Array]:
    """Return the Fisher matrix and the bounds of its own rounding."""
    names = ("parameters", "inputs", "sizes", "activation", "distribution")
    unit = PRECISIONS["float64"].unit
    numbers = lifted(dict(zip(names, arguments, strict=True)), lambda x: Tracked(x, unit))
    fisher = reference.fisher_matrix(**numbers)
    value, bound = np.empty(fisher.shape), np.zeros(fisher.shape)
    for index in np.ndindex(fisher.shape):
        number: Any = fisher[index]
        value[index] = float(number)
        if isinstance(number, Tracked):
            bound[index] = number.running_bound()
    return value, bound


def matrix_laws(name: str) -> tuple[Law, ...]:
    """Return the laws of a curvature matrix."""
    return (
        Law("symmetric", "the matrix is symmetric", check_symmetric(name)),
        Law("semidefinite", "vᵀF v is not negative", check_semidefinite(name), claim="C19"),
        Law(
            "shift", "F times a shift of all logits is 0",
            check_matrix_shift(name), holds_on=("categorical",),
        ),
        Law(
            "output-block", "by the last biases, without weights, it is diag(π) − π πᵀ or 1/σ²",
            check_matrix_block(name),
        ),
        Law(
            "log-std", "each log σ has curvature 2, and none together with other parameters",
            check_matrix_log_std(name), holds_on=("gaussian",),
        ),
        Law("mean", "an input twice is that input once", check_mean),
    )  # fmt: skip


IS_FISHER = Law(
    "is-fisher", "the Hessian of the KL is the Fisher matrix", check_is_fisher, claim="C19"
)

# --- products ------------------------------------------------------------------------------------


def _paired(subject: Subject, case: Case, other: Array) -> Any:
    """Return otherᵀ (F v), with its bound."""
    product = measured(subject(case)["product"], subject.bound(case)["product"])
    return sum((x * exactly(y) for x, y in zip(product, other, strict=True)), exactly(0))


def check_symmetric_product(subject: Subject, case: Case) -> Iterable[Claim]:
    """Compare wᵀF v with vᵀF w, for w the vector backwards."""
    v, w = case["vector"], case["vector"][::-1].copy()
    yield vanishes(_paired(subject, case, w) - _paired(subject, case.but(vector=w), v))


def check_positive_product(subject: Subject, case: Case) -> Iterable[Claim]:
    """Look for a negative vᵀF v, without damping."""
    curvature = _paired(subject, case.but(damping=0.0), case["vector"])
    below = np.array([min(float(curvature), 0.0)])
    yield Claim(below, np.zeros(1), np.array([curvature.running_bound()]))


def check_scaled_product(subject: Subject, case: Case) -> Iterable[Claim]:
    """Take −4 times the vector: −4 times the product, to the bit."""
    wanted = -4 * subject(case)["product"]
    got = subject(case.but(vector=-4 * case["vector"]))["product"]
    yield Claim(got, wanted, np.zeros(wanted.shape))


def check_additive(subject: Subject, case: Case) -> Iterable[Claim]:
    """Compare F (v + w) with F v + F w, for w the vector backwards."""
    cases = [case, case.but(vector=case["vector"][::-1].copy())]
    both = case.but(vector=case["vector"] + case["vector"][::-1])
    parts = sum(exact(subject(item)["product"]) for item in cases)
    slack = sum(subject.bound(item)["product"] for item in (*cases, both))
    yield equals_exactly(subject(both)["product"], np.asarray(parts), np.asarray(slack))


def check_damping(subject: Subject, case: Case) -> Iterable[Claim]:
    """Compare the damped product with the plain one plus μ v."""
    plain, damped = case.but(damping=0.0), case.but(damping=0.5)
    wanted = exact(subject(plain)["product"]) + Fraction(1, 2) * exact(case["vector"])
    slack = subject.bound(plain)["product"] + subject.bound(damped)["product"]
    yield equals_exactly(subject(damped)["product"], wanted, slack)


def check_shift(subject: Subject, case: Case) -> Iterable[Claim]:
    """Move all logits alike: nothing is moved."""
    vector = np.zeros_like(case["vector"])
    vector[last_biases(case)] = 4
    shifted = case.but(vector=vector, damping=0.0)
    yield from same(subject, shifted, {"product": np.zeros_like(vector)})


def check_block(subject: Subject, case: Case) -> Iterable[Claim]:
    """Move the last biases of a policy without weights: they are what is moved."""
    where = last_biases(case)
    still = stateless(case).but(vector=alone(case, where), damping=0.0)
    moves = [exactly(x) for x in case["vector"][where]]
    rows = [[x * y for x, y in zip(row, moves, strict=True)] for row in output_block(still)]
    wanted = np.array([sum(row[1:], row[0]) for row in rows])
    got, allowed = subject(still)["product"], subject.bound(still)["product"]
    yield from _differences(got[where], allowed[where], wanted)


def check_log_std(subject: Subject, case: Case) -> Iterable[Claim]:
    """Move the log σ: they alone are moved, by 2 + μ."""
    moved = case.but(vector=alone(case, slice(network_size(case), None)))
    wanted = (2 + Fraction(case["damping"])) * exact(moved["vector"])
    yield equals_exactly(subject(moved)["product"], wanted, subject.bound(moved)["product"])


PRODUCT_LAWS = (
    Law("symmetric", "wᵀF v equals vᵀF w", check_symmetric_product),
    Law("semidefinite", "vᵀF v is not negative", check_positive_product, claim="C19"),
    Law("power-of-two", "−4 v gives −4 F v, to the bit", check_scaled_product),
    Law("additive", "F (v + w) is F v + F w", check_additive),
    Law("damping", "damping adds μ v", check_damping),
    Law(
        "shift", "F times a shift of all logits is 0", check_shift, holds_on=("categorical",)
    ),
    Law(
        "output-block", "by the last biases, without weights, it is diag(π) − π πᵀ or 1/σ²",
        check_block,
    ),
    Law(
        "log-std", "a move of the log σ is multiplied by 2 + μ", check_log_std,
        holds_on=("gaussian",),
    ),
    Law("mean", "an input twice is that input once", check_mean),
)  # fmt: skip
