"""Schedules: the contract tests, and what only these functions have."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

import rlverify
from rlverify.fast import schedules as fast
from rlverify.reference import schedules as reference
from support import *  # noqa: F403

TOPIC = "schedules"
TWINS = pytest.mark.parametrize("twin", [reference, fast], ids=["reference", "fast"])


@TWINS
def test_number_in_number_out(twin):
    """A loop hands over an int and gets a float, which every optimiser takes."""
    found = [twin.linear_schedule(k, start=1.0, end=0.0, steps=4) for k in range(-1, 6)]
    assert found == [1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    assert all(isinstance(value, float) for value in found)


@TWINS
def test_last_update_is_not_without_a_step(twin):
    """Of U updates the last one still has start/U, and nothing after it is negative."""
    updates = 8
    found = [twin.linear_schedule(k, start=1.0, end=0.0, steps=updates) for k in range(updates)]
    assert min(found) == found[-1] == 1 / updates


@TWINS
def test_nothing_known_of_nan(twin):
    """A step that is NaN gives NaN, as a number and in an array."""
    knobs = {"start": 1.0, "end": 0.0, "steps": 4}
    assert math.isnan(twin.linear_schedule(math.nan, **knobs))
    make = np.array if twin is reference else torch.tensor
    assert bool((array := twin.linear_schedule(make([math.nan]), **knobs)) != array)


def test_fractions_stay_exact():
    """In fractions the line is exact."""
    knobs = {"start": Fraction(1), "end": Fraction(0), "steps": Fraction(3)}
    assert reference.linear_schedule(Fraction(1), **knobs) == Fraction(2, 3)


def test_as_torch_anneals():
    """The factor of torch.optim.lr_scheduler.LinearLR, which torch computes as it goes."""
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimiser = torch.optim.SGD([weight], lr=1.0)
    torchs = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.5, total_iters=4)
    for k in range(7):
        ours = fast.linear_schedule(k, start=1.0, end=0.5, steps=4)
        # all factors and their quotients have few digits, but torch multiplies quotients
        assert abs(optimiser.param_groups[0]["lr"] - ours) <= 4 * k * 2.0**-53
        optimiser.step()
        torchs.step()


# how strangers write it


def cleanrl(start_e, end_e, duration, t):
    """Clamp from below: for what falls."""
    slope = (end_e - start_e) / duration
    return max(slope * t + start_e, end_e)


def fraction_first(step, start, end, steps):
    """Clamp the fraction."""
    return start + (end - start) * np.minimum(np.maximum(step / steps, 0), 1)


def tick_ahead(step, start, end, steps):
    """Anneal before the first update."""
    return start + (end - start) * min(max((step + 1) / steps, 0), 1)


@pytest.mark.parametrize(
    ("function", "wrong"),
    [(fraction_first, None), (tick_ahead, "WRONG(E37a)"), (cleanrl, "WRONG(O1)")],
)
def test_schedule_of_a_stranger(function, wrong):
    """A right one passes, a wrong one is named."""
    verdict = rlverify.check(function, "linear_schedule", budget=80)
    assert verdict.ok == (wrong is None), verdict.title
    assert verdict.title.startswith(wrong or "")
