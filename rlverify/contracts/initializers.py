"""Contract of the topic `initializers`: orthogonal weights."""

from collections.abc import Iterable

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import (
    Argument,
    Case,
    Claim,
    Contract,
    Convention,
    Equivalent,
    Example,
    KnownBug,
    Law,
    Subject,
)
from rlverify.contracts._measured import exactly, measured, vanishes
from rlverify.contracts._recordings import same
from rlverify.contracts._refusals import bad
from rlverify.fast import initializers as fast
from rlverify.inputs import distinct
from rlverify.reference import initializers as reference

# --- inputs --------------------------------------------------------------------------------------

SHAPES = ((1, 1), (1, 3), (3, 1), (2, 2), (2, 3), (3, 2), (2, 4), (4, 2), (3, 3), (4, 3))
GAINS = (0.5, 0.625, 1.5, 2.0, 3.0, -1.5, 2**0.5, 0.01)


@st.composite
def matrices(draw: st.DrawFn) -> Case:
    """Draw numbers of full rank by a margin: where rounding decides the rank, Q is anything."""
    shape = draw(st.sampled_from(SHAPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from((0.125, 0.125, 2.0**-10, 4.0)))
    while True:
        (normals,) = distinct(rng, shape)
        lengths = np.linalg.svd(normals, compute_uv=False)
        if lengths[-1] > lengths[0] / 8:
            break
    kind = "square" if shape[0] == shape[1] else "wide" if shape[0] < shape[1] else "tall"
    return Case({"normals": normals * scale, "gain": draw(st.sampled_from(GAINS))}, kind)


def sized(shape: tuple[int, ...]) -> Case:
    """Return normal numbers of a benchmark size."""
    normals = np.random.default_rng(0).normal(size=shape)
    return Case({"normals": normals, "gain": 1.5}, "tall", "timing")


# --- laws ----------------------------------------------------------------------------------------


def upright(array: np.ndarray) -> np.ndarray:
    """Return a matrix with no fewer rows than columns."""
    return array.T if array.shape[0] < array.shape[1] else array


def check_orthonormal(subject: Subject, case: Case) -> Iterable[Claim]:
    """The shorter side's vectors are at right angles, and as long as the gain."""
    found = measured(
        upright(subject(case)["weights"]), upright(subject.bound(case)["weights"])
    )  # fmt: skip
    square = exactly(case["gain"]) * exactly(case["gain"])
    for j in range(found.shape[1]):
        for k in range(j + 1):
            product = sum(x * y for x, y in zip(found[:, j], found[:, k], strict=True))
            yield vanishes(product - square if j == k else product)


def check_triangular(subject: Subject, case: Case) -> Iterable[Claim]:
    """Each weight vector is at right angles to all earlier vectors of the normals, not its own."""
    found = measured(
        upright(subject(case)["weights"]), upright(subject.bound(case)["weights"])
    )  # fmt: skip
    normals, side = upright(case["normals"]), float(np.sign(case["gain"]))
    for j in range(found.shape[1]):
        for k in range(j + 1):
            product = sum(
                x * exactly(y) for x, y in zip(found[:, j], normals[:, k], strict=True)
            )  # fmt: skip
            if k < j:
                yield vanishes(product)
            elif abs(float(product)) > product.running_bound():
                yield Claim(np.sign([float(product)]), np.array([side]), np.zeros(1))


def check_turned(subject: Subject, case: Case) -> Iterable[Claim]:
    """Mirror and exchange the long side's coordinates: so do the weights (they are uniform)."""
    wide = case["normals"].shape[0] < case["normals"].shape[1]

    def turn(array: np.ndarray) -> np.ndarray:
        tall = array.T if wide else array
        signs = np.where(np.arange(len(tall)) % 2, 1.0, -1.0)
        turned = np.roll(tall * signs[:, None], 1, axis=0)
        return (turned.T if wide else turned).copy()

    other = case.but(normals=turn(case["normals"]))
    allowed = np.abs(turn(subject.bound(case)["weights"])) + subject.bound(other)["weights"]
    yield Claim(subject(other)["weights"], turn(subject(case)["weights"]), allowed)


def check_transposed(subject: Subject, case: Case) -> Iterable[Claim]:
    """The weights of the transposed normals are the transposed weights."""
    rows, columns = case["normals"].shape
    if rows == columns:
        return  # which side is orthogonalised is a choice there
    other = case.but(normals=case["normals"].T.copy())
    allowed = subject.bound(other)["weights"].T + subject.bound(case)["weights"]
    yield Claim(subject(other)["weights"].T.copy(), subject(case)["weights"], allowed)


def check_scale(subject: Subject, case: Case) -> Iterable[Claim]:
    """Four times the normals change nothing."""
    yield from same(subject, case.but(normals=4 * case["normals"]), subject(case), case)


LAWS = (
    Law("orthonormal", "WWᵀ, or WᵀW if W is tall, is gain² I", check_orthonormal),
    Law("triangular", "QᵀA is upper triangular with a positive diagonal", check_triangular),
    Law("uniform", "W of turned normals is W turned, so it is distributed uniformly",
        check_turned),
    Law("transposed", "W of the transposed normals is W transposed", check_transposed),
    Law("scale-free", "four times the normals change nothing", check_scale),
)  # fmt: skip

# --- the contract --------------------------------------------------------------------------------


def gram_schmidt(normals: np.ndarray, *, gain: float) -> np.ndarray:
    """Take off each vector what lies along those before it, twice."""
    wide = normals.shape[0] < normals.shape[1]
    found: list[np.ndarray] = []
    for vector in normals if wide else normals.T:
        for _ in range(2):
            for other in found:
                vector = vector - other * (other @ vector)
        found.append(vector / np.linalg.norm(vector))
    return gain * (np.array(found) if wide else np.array(found).T)


FACTORISED = "basis, diagonal = _factorised(tall)"

ORTHOGONAL_CONTRACT = Contract(
    name="orthogonal",
    topic="initializers",
    summary="orthogonal weights from normal numbers, with a gain",
    source="Saxe et al. 2014, arXiv:1312.6120; Mezzadri 2007, arXiv:math-ph/0609050",
    reference=reference.orthogonal,
    fast=fast.orthogonal,
    arguments=(Argument("normals", "float", "R C"), Argument("gain", "number")),
    outputs=("weights",),
    inputs=matrices(),
    examples=(
        Example(
            "two rows of Pythagoras",
            Case({"normals": np.array([[3.0, 4.0, 0.0], [3.0, 4.0, -7.0]]), "gain": 10.0},
                 "wide", "worked by hand"),
            {"weights": [["6", "8", "0"], ["0", "0", "-10"]]},
        ),
        Example(
            "three numbers in a column",
            Case({"normals": np.array([[-2.0], [1.0], [2.0]]), "gain": 3.0},
                 "tall", "worked by hand"),
            {"weights": [["-2"], ["1"], ["2"]]},
        ),
    ),
    laws=LAWS,
    gradients=(),
    conventions=(
        Convention(
            "signs", "as-factorised",
            "the signs are those that Householder's algorithm leaves (LAPACK): orthogonal, but "
            "not uniform over the orthogonal matrices",
            edits=(("if diagonal[j] < 0:", "if False:"),),
        ),
    ),
    known_bugs=(
        KnownBug("L7a", "return weights.T.copy() if", "return weights.reshape(rows, columns) if"),
        KnownBug("L7b", "basis * gain", "basis * 1"),
        KnownBug("L7c", "basis * gain", "basis * gain * gain"),
        KnownBug("O3", FACTORISED,
                 "basis, diagonal = tall * (1 / np.sqrt((tall * tall).sum(axis=0))), []"),
        KnownBug("O4", "basis[:, j] = -basis[:, j]", "basis[j] = -basis[j]"),
        KnownBug("O5", FACTORISED, "basis, diagonal = tall, []"),
    ),
    equivalents=(
        Equivalent("Gram and Schmidt", "projections taken off, twice", gram_schmidt),
    ),
    bad_inputs=(
        bad("orthogonal", "normals", "a list", np.ndarray.tolist, TypeError,
            "normals came as list, wanted a floating-point array [R, C]."),
        bad("orthogonal", "normals", "integers", lambda x: x.astype(np.int64), TypeError,
            "normals came as dtype int64, wanted a floating-point dtype."),
        bad("orthogonal", "normals", "a bias", lambda x: x[:, 0], ValueError,
            "normals came with shape (3,), wanted [R, C]."),
        bad("orthogonal", "normals", "no inputs", lambda x: x[:, :0], ValueError,
            "normals came with shape (3, 0), wanted at least one element."),
        bad("orthogonal", "gain", "a name", lambda _: "tanh", TypeError,
            "gain came as str, wanted a number."),
    ),
    exact=False,
    sizes=((6, 4), (64, 64), (256, 256)),
    sized=sized,
    good=Case({"normals": np.array([[1.0, 2.0], [3.0, -1.0], [0.0, 1.0]]), "gain": 1.5}, "tall"),
)  # fmt: skip

CONTRACTS = (ORTHOGONAL_CONTRACT,)
