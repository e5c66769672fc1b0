"""The contract of `adapt_kl_coefficient`: how far the penalty on the divergence is trusted next.

It belongs to the topic `ppo`; it stands here so that each file fits a sitting.
"""

from collections.abc import Iterable

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import Argument, Case, Claim, Contract, Example, KnownBug, Law, Subject
from rlverify.contracts._ppo_cases import SIZES, bad_arrays
from rlverify.contracts._recordings import same
from rlverify.contracts._refusals import bad, bad_floats
from rlverify.fast import ppo as fast
from rlverify.inputs import distinct
from rlverify.reference import ppo as reference


@st.composite
def coefficients(draw: st.DrawFn) -> Case:
    """Draw coefficients, divergences about the target, and the three knobs."""
    shape = draw(st.sampled_from(((1,), (2,), (3,), (5,), (2, 3))))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    (beta,) = distinct(rng, shape)
    return Case({
        "beta": np.asarray(np.abs(beta)), "kl": np.asarray(rng.integers(0, 33, shape) / 8.0),
        "target": draw(st.sampled_from((0.5, 1.0, 2.0))),
        "band": draw(st.sampled_from((1.5, 1.25, 2.0))),
        "factor": draw(st.sampled_from((2.0, 1.5, 4.0))),
    })  # fmt: skip


def check_sides(subject: Subject, case: Case) -> Iterable[Claim]:
    """Far above the target β grows by the factor, far below it shrinks, on it β stays."""
    beta, factor = case["beta"], case["factor"]
    for times, wanted in ((8.0, beta * factor), (0.125, beta / factor), (1.0, beta)):
        at_once = case.but(kl=np.full_like(beta, times * case["target"]))
        yield from same(subject, at_once, {"adapted": wanted})


def sized_coefficients(shape: tuple[int, ...]) -> Case:
    """Return a case of a benchmark size."""
    rng = np.random.default_rng(0)
    beta, kl = rng.integers(1, 256, (2, *shape)) / 128
    knobs = {"target": 1.0, "band": 1.5, "factor": 2.0}
    return Case({"beta": beta, "kl": kl, **knobs}, label="timing")


ADAPT_CONTRACT = Contract(
    name="adapt_kl_coefficient",
    topic="ppo",
    summary="coefficient of the divergence penalty for the next update",
    source="Schulman et al. 2017, arXiv:1707.06347, section 4",
    reference=reference.adapt_kl_coefficient,
    fast=fast.adapt_kl_coefficient,
    arguments=(
        Argument("beta", "float", "..."),
        Argument("kl", "float", "..."),
        *(Argument(name, "number") for name in ("target", "band", "factor")),
    ),
    outputs=("adapted",),
    inputs=coefficients(),
    examples=(
        Example(
            "below, within, above",
            Case({"beta": np.array([1.0, 1.0, 3.0]), "kl": np.array([0.25, 1.0, 4.0]),
                  "target": 1.0, "band": 1.5, "factor": 2.0}, label="worked by hand"),
            {"adapted": ["1/2", "1", "6"]},
        ),
    ),
    laws=(
        Law("both-sides", "far above the target β grows by the factor, far below it shrinks, on "
            "it β stays", check_sides),
    ),
    gradients=(),
    known_bugs=(
        KnownBug("E33a", "kl[i] < target / band", "kl[i] > target * band",
                 also=(("elif kl[i] > target * band", "elif kl[i] < target / band"),)),
        KnownBug("E33b", "kl[i] < target / band", "False"),
        KnownBug("E33c", "kl[i] < target / band", "kl[i] <= target",
                 also=(("kl[i] > target * band", "kl[i] > target"),)),
    ),
    bad_inputs=(
        *bad_floats("adapt_kl_coefficient", "beta", "[...]"),
        *bad_arrays("adapt_kl_coefficient", "beta", ("kl",)),
        *(
            bad("adapt_kl_coefficient", name, "zero", lambda _: 0.0, ValueError,
                f"{name} came as 0.0, wanted a finite number above 0.")
            for name in ("target", "band", "factor")
        ),
    ),
    sizes=SIZES,
    sized=sized_coefficients,
    good=Case({"beta": np.arange(6.0).reshape(2, 3), "kl": np.arange(6.0).reshape(2, 3),
               "target": 1.0, "band": 1.5, "factor": 2.0}, label="good"),
)  # fmt: skip
