"""The contract of `discretize`: the cells of a grid.

It belongs to the topic `tabular_q`; it stands here so that each file fits a sitting.
"""

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
from rlverify.contracts._refusals import bad, bad_floats
from rlverify.fast import tabular_q as fast
from rlverify.inputs import distinct
from rlverify.reference import tabular_q as reference

Array = np.ndarray


@st.composite
def grids(draw: st.DrawFn) -> Case:
    """Draw edges and observations between them, on them and outside."""
    leading = draw(st.sampled_from(((), (1,), (3,), (4,), (2, 2))))
    components, count = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    (edges,) = distinct(rng, (components, count))
    edges = np.sort(edges, axis=1)
    kind = draw(st.sampled_from(("plain", "plain", "narrow", "filled", "repeated")))
    if kind == "narrow":
        edges = edges / 32
    if kind == "filled":  # fewer edges for some component
        edges[rng.integers(components), -1:] = np.inf
    if kind == "repeated":
        edges[:, 0] = edges[:, -1 if count == 1 else 1]
    shape = (*leading, components)
    observations = rng.integers(-300, 300, shape) / 8
    finite = np.where(np.isfinite(edges), edges, edges[:, :1] if count > 1 else 1.0)
    finite = np.where(np.isfinite(finite), finite, 1.0)
    on_edge = np.moveaxis(
        np.stack([rng.choice(finite[d], leading) for d in range(components)]), 0, -1
    )
    observations = np.where(rng.random(shape) < 0.5, on_edge, observations)
    return Case({"observations": observations, "edges": edges}, kind)


def radix(case: Case) -> tuple[int, int]:
    """Return D and E."""
    components, count = case["edges"].shape
    return int(components), int(count)


def states_are(subject: Subject, case: Case, wanted: Array) -> Claim:
    """Claim the numbers of the cells, exactly."""
    got = subject(case)["states"]
    return Claim(got, np.broadcast_to(wanted, got.shape), np.zeros(got.shape))


def check_outside(subject: Subject, case: Case) -> Iterable[Claim]:
    """What lies outside is clipped: below all edges to cell 0, above all to the last."""
    components, count = radix(case)
    finite = case.but(edges=np.where(np.isfinite(case["edges"]), case["edges"], 2.0**6))
    low = finite.but(observations=np.full(case["observations"].shape, -(2.0**10)))
    high = finite.but(observations=np.full(case["observations"].shape, 2.0**10))
    yield states_are(subject, low, np.zeros(()))
    yield states_are(subject, high, np.array((count + 1.0) ** components - 1))


def check_on_edges(subject: Subject, case: Case) -> Iterable[Claim]:
    """An observation on the k-th edge of its component lies in cell k, counted from 1."""
    components, count = radix(case)
    steps = np.arange(1.0, count + 1) / 8
    weights = (count + 1.0) ** np.arange(components - 1, -1, -1)
    for k in range(count):
        there = case.but(
            edges=np.stack([steps + d for d in range(components)]),
            observations=np.broadcast_to(
                steps[k] + np.arange(components), case["observations"].shape
            ).copy(),
        )
        yield states_are(subject, there, np.array((k + 1) * weights.sum()))


def check_alone_in_grid(subject: Subject, case: Case) -> Iterable[Claim]:
    """The cell is told by the cells of the components alone, the last counting fastest."""
    components, count = radix(case)
    wanted = np.zeros(case["observations"].shape[:-1])
    for d in range(components):
        alone = case.but(
            observations=case["observations"][..., d : d + 1].copy(),
            edges=case["edges"][d : d + 1].copy(),
        )
        wanted = wanted * (count + 1) + subject(alone)["states"]
    yield states_are(subject, case, wanted)


def digitized(observations: Array, edges: Array) -> Array:
    """Let NumPy find the cell of each component, and number the tuples."""
    components, count = edges.shape
    found = [np.digitize(observations[..., d], edges[d]) for d in range(components)]
    return np.asarray(np.ravel_multi_index(found, (count + 1,) * components))


RADIX = "cell * (count + 1) + below"
REACHED = "below + reached(edges[d, e], observations[*i, d])"


def grid_case(shape: tuple[int, ...]) -> Case:
    """Return a case of a benchmark size: four components of ten cells, as CartPole has."""
    rng = np.random.default_rng(0)
    return Case(
        {"observations": rng.integers(-255, 256, (*shape, 4)) / 64,
         "edges": np.tile(np.arange(-4.0, 5.0), (4, 1)) / 4},
        label="timing",
    )  # fmt: skip


GRID_CONTRACT = Contract(
    name="discretize",
    topic="tabular_q",
    summary="number of the cell of a grid that an observation lies in",
    source="Sutton & Barto 2018, section 9.5.4",
    reference=reference.discretize,
    fast=fast.discretize,
    arguments=(
        Argument("observations", "float", "... D"),
        Argument("edges", "float", "D E"),
    ),
    outputs=("states",),
    axes=("...",),
    returns="integer",
    inputs=grids(),
    examples=(
        Example(
            "inside and far below, on an edge and above",
            Case({"observations": np.array([[0.5, -9.0], [1.0, 2.0]]),
                  "edges": np.array([[0.0, 1.0], [-1.0, 1.0]])}, label="worked by hand"),
            {"states": ["3", "8"]},
        ),
    ),
    laws=(
        Law("outside-clipped", "what lies outside belongs to the outermost cells", check_outside),
        Law("edge-belongs-above", "an observation on an edge belongs to the cell above",
            check_on_edges),
        Law("components-apart", "the cells of the components tell the cell", check_alone_in_grid),
    ),
    gradients=(),
    known_bugs=(
        KnownBug("Q10a", RADIX, "cell * count + below"),
        KnownBug("Q10b", REACHED, REACHED.replace("[*i, d]", "[*i, d - 1]")),
        KnownBug("Q10c", RADIX, "cell * (count + 1) + max(below - 1, 0)"),
        KnownBug("Q10d", RADIX, "cell * (count + 1) + (below if below < count else 0)"),
    ),
    conventions=(
        Convention("edge", "below", "an observation on an edge belongs to the cell below",
                   edits=((REACHED, "below + 1 - reached(observations[*i, d], edges[d, e])"),)),
        Convention("order", "first-fastest", "the first component counts fastest",
                   edits=((RADIX, "cell + below * (count + 1) ** d"),)),
    ),
    equivalents=(
        Equivalent("digitized", "np.digitize and np.ravel_multi_index", digitized),
    ),
    bad_inputs=(
        *bad_floats("discretize", "observations", "[..., D]"),
        bad("discretize", "observations", "NaN", lambda x: x * np.nan, ValueError,
            "observations came with NaN in it, wanted finite numbers."),
        bad("discretize", "edges", "of one component", lambda x: x[:1], ValueError,
            "edges has shape (1, 2), but observations has shape (2, 3); they must agree."),
        bad("discretize", "edges", "decreasing", lambda x: -x, ValueError,
            "edges came with a row that decreases or holds NaN, wanted rows that do not "
            "decrease."),
        bad("discretize", "edges", "too many cells", lambda x: np.tile(x[:, :1], (1, 2**18)),
            ValueError,
            "edges came with shape (3, 262144), which makes 262145^3 cells, wanted fewer than "
            "2^53; take fewer cells."),
    ),
    sizes=((64,), (4096,), (262144,)),
    sized=grid_case,
    good=Case({"observations": np.zeros((2, 3)), "edges": np.arange(6.0).reshape(3, 2)}),
)  # fmt: skip
