"""Elementary functions of tracked numbers: their constants, and the bounds made of them."""

import math
import re
from pathlib import Path

import mpmath
import numpy as np
import pytest

from elementary_errors import BITS, INACCURATE, TRUTH, measured
from rlverify.elementary import FUNCTIONS
from rlverify.reference._functions import digamma, lgamma, reached, trigamma
from rlverify.rounding import Tracked

PAGE = Path(__file__).resolve().parents[1] / "docs" / "elementary.md"
U = 2.0**-24
APPLIED = {"lgamma": lgamma, "digamma": digamma, "trigamma": trigamma}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_libraries_keep_the_constants(name):
    """Every library's worst error is within the table's units; those that are not are named."""
    for item in measured(name):
        within = item.units <= FUNCTIONS[name].units
        assert within != (item[:3] in INACCURATE), item


@pytest.mark.parametrize("name", FUNCTIONS)
def test_page_states_no_less_than_is_measured(name):
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in PAGE.read_text("utf-8").splitlines()
            if line.startswith(f"| {name} |")]  # fmt: skip
    stated = {tuple(c.strip() for c in row[2:4]): float(row[4]) for row in rows}
    found = {(item.library, item.dtype): item.units for item in measured(name)}
    assert set(stated) == set(found)
    for where, units in found.items():
        # another processor runs other code: there only the constants bind
        assert units <= max(stated[where], FUNCTIONS[name].units), where


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("error", [0.0, 1.0, 64.0, 2.0**16])
def test_a_moved_argument_stays_within_the_bound(name, error):
    """f at either end of what x may be lies within the bound, by mpmath."""
    for value in (0.01, 0.6, 1.0, 1.5, 3.7, 40.0):
        for side in (-1, 1):
            moved = value + side * U * error
            number = Tracked(value, U, value, 1, error, 0, error)
            result = APPLIED.get(name, getattr(np, name, None))(number)
            with mpmath.workprec(BITS):
                away = abs(TRUTH[name](mpmath.mpf(moved)) - TRUTH[name](mpmath.mpf(value)))
                assert away <= result.free_bound()
                assert away <= result.running_bound()


def test_a_bound_outside_the_domain_is_infinite():
    for name in ("log", "lgamma", "digamma", "trigamma"):
        number = Tracked(1.0, U, 1.0, 1, 2 / U, 0, 2 / U)  # it may be negative
        assert APPLIED.get(name, getattr(np, name, None))(number).free_bound() == math.inf


def test_an_exponential_far_below_zero_is_zero_whatever_its_argument_lost():
    number = Tracked(-1e6, U, 1e6, 1, 1e5 / U, 0, 1e5 / U)
    assert np.exp(number).free_bound() < U


def test_reached_is_open_exactly_where_rounding_decides():
    half = Tracked(0.5, U)
    rounded = Tracked(0.5, U, 0.5, 1, 1.0, 0, 1.0)
    near, far = Tracked(0.5 + U / 2, U), Tracked(0.5 + 2 * U, U)
    assert reached(half, half).free_bound() == 0.0
    assert float(reached(half, half)) == 1.0
    assert reached(rounded, near).free_bound() >= 1
    assert reached(rounded, far).free_bound() == 0.0
    assert float(reached(far, half)) == 0.0
