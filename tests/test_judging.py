"""Verdicts: the right grade, the right name for what is wrong, the smallest case."""

import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

import rlverify
from rlverify.checking import drawn_cases
from rlverify.contracts import find
from rlverify.diagnosis import row_of
from rlverify.editing import EditError, edited
from rlverify.judging import judge
from rlverify.reference.advantages import gae, normalize_advantages
from rlverify.twinning import Canonical


def textbook(rewards, values, next_values, terminated, truncated, gamma, lam):
    """Plain NumPy, right."""
    done, out, following = terminated | truncated, np.empty_like(rewards), 0.0 * rewards[0]
    for t in reversed(range(len(rewards))):
        delta = rewards[t] + gamma * next_values[t] * ~terminated[t] - values[t]
        following = delta + gamma * lam * ~done[t] * following
        out[t] = following
    return out, out + values


def with_last(change):
    """Return `textbook` followed by a change of its two results."""

    def candidate(rewards, values, next_values, terminated, truncated, gamma, lam):
        results = textbook(rewards, values, next_values, terminated, truncated, gamma, lam)
        return tuple(change(array) for array in results)

    return candidate


def test_a_right_function_passes_with_its_precision():
    verdict = rlverify.check(textbook, "gae")
    assert verdict.ok
    assert verdict.grade in ("EXACT", "TIGHT", "BOUND")
    assert verdict.worst <= 1
    assert verdict.counterexample == ""
    assert verdict.diagnosis == ""
    assert "textbook(rewards, values" in verdict.call


def test_the_reference_is_exact():
    verdict = rlverify.check(gae, "gae")
    assert (verdict.title, verdict.effective_precision) == ("EXACT", 0.0)


def test_the_counterexample_runs_and_shows_the_difference(capsys):
    def candidate(rewards, values, next_values, terminated, truncated, gamma, lam):
        return textbook(rewards, values, next_values, terminated | truncated, truncated, gamma, lam)

    verdict = rlverify.check(candidate, "gae")
    assert verdict.title == "WRONG(B1)"
    assert verdict.link == "https://github.com/vwxyzjn/cleanrl/issues/198"
    assert verdict.smallest["rewards"].shape == (1, 1)
    exec(verdict.counterexample, {"candidate": candidate})
    reference, own = capsys.readouterr().out.strip().splitlines()
    assert reference != own


def test_two_mistakes_at_once_are_named_together():
    def candidate(rewards, values, next_values, terminated, truncated, gamma, lam):
        out, following = np.empty_like(rewards), 0.0 * rewards[0]
        shifted = np.concatenate([np.zeros_like(rewards[:1]), rewards[:-1]])
        for t in reversed(range(len(rewards))):
            delta = shifted[t] + gamma * next_values[t] * ~terminated[t] - values[t]
            following = delta + gamma * lam * following
            out[t] = following
        return out, out + values

    verdict = rlverify.check(candidate, "gae")
    assert verdict.title == "WRONG(A3 + A10)"
    assert " and " in verdict.diagnosis


def test_a_constant_factor_is_a_known_bias_and_passes_only_where_declared():
    half = with_last(lambda array: array / 2)
    verdict = rlverify.check(half, "gae")
    assert (verdict.title, verdict.ok) == ("KNOWN-BIAS(1/2)", False)
    declared = rlverify.check(half, "gae", factor=Fraction(1, 2))
    assert (declared.title, declared.ok) == ("KNOWN-BIAS(1/2)", True)
    assert not rlverify.check(half, "gae", factor=Fraction(1, 3)).ok


def test_float32_inside_float64_is_told_its_precision():
    verdict = rlverify.check(
        with_last(lambda array: array.astype(np.float32).astype(np.float64)), "gae"
    )
    assert verdict.grade == "WRONG"
    assert "lower precision" in verdict.diagnosis
    assert "behaves like 2^-2" in verdict.precision


def test_dropped_small_weights_are_found_by_check():
    def candidate(rewards, values, next_values, terminated, truncated, gamma, lam):
        steps, cut = len(rewards), terminated | truncated
        delta = rewards + gamma * np.where(terminated, 0, next_values) - values
        out = np.zeros_like(rewards)
        decay = gamma * lam * ~cut
        for t in range(steps):
            ones = np.ones((1, rewards.shape[1]))
            weight = np.cumprod(np.concatenate([ones, decay[t:-1]]), axis=0)
            out[t] = np.where(weight < 1e-7, 0, weight * delta[t:]).sum(axis=0)
        return out, out + values

    verdict = rlverify.check(candidate, "gae")
    assert verdict.grade == "WRONG"
    assert "small terms are dropped" in verdict.diagnosis


def test_a_run_that_cannot_reject_nonsense_is_undecidable():
    """Constant advantages with a tiny ε: any rounding of the mean is blown up by 1/ε."""
    contract = find("normalize_advantages")
    case = rlverify.contract.Case(
        {"advantages": np.full((5,), 0.3), "mask": None, "ddof": 0, "eps": 1e-20}
    )
    verdict = judge(
        contract, Canonical(normalize_advantages, contract), [case] * 3, "float64",
        target="f", law_cases=0,
    )  # fmt: skip
    assert (verdict.grade, verdict.ok) == ("UNDECIDABLE", False)


def test_an_excuse_needs_a_failing_check_and_stale_ones_are_reported():
    def aliasing(rewards, values, next_values, terminated, truncated, gamma, lam):
        advantages, _ = textbook(rewards, values, next_values, terminated, truncated, gamma, lam)
        rewards[:] = 0
        return advantages, advantages + values

    verdict = rlverify.check(aliasing, "gae")
    assert verdict.broken == ("behaviour: overwrote",)
    assert "its argument rewards came back changed" in verdict.diagnosis
    excused = rlverify.check(aliasing, "gae", excused={"behaviour: overwrote": "buffers are ours"})
    assert excused.ok
    assert any("buffers are ours" in note for note in excused.notes)
    stale = rlverify.check(textbook, "gae", excused={"law: reward-scale": "clipped"})
    assert any("stale" in note for note in stale.notes)
    unknown = rlverify.check(textbook, "gae", excused={"law: nothing": "reason"})
    assert any("no such check" in note for note in unknown.notes)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda array: array[:-1], "shape"),
        (lambda array: array.astype(np.float32), "dtype"),
        (lambda array: None, "type"),
        (lambda array: array * np.nan, "reference"),
        (lambda array: 1 // 0, "raised"),
    ],
)
def test_misbehaviour_is_wrong_and_named(change, kind):
    verdict = rlverify.check(with_last(change), "gae", budget=40)
    assert not verdict.ok
    assert verdict.grade == "WRONG"
    assert any(kind in check for check in verdict.broken), verdict.broken
    assert verdict.diagnosis


def test_torch_and_dtype_are_found_out():
    from rlverify.fast import advantages as fast

    verdict = rlverify.check(fast.gae, "gae")
    assert verdict.ok
    assert "torch" in verdict.call
    low = rlverify.check(fast.gae, "gae", dtype="bfloat16")
    assert low.ok
    assert low.dtype == "bfloat16"


def test_accumulating_in_bfloat16_is_caught():
    def candidate(rewards, values, next_values, terminated, truncated, gamma, lam):
        done, out = terminated | truncated, torch.empty_like(rewards)
        following = torch.zeros_like(rewards[0])
        for t in reversed(range(len(rewards))):
            delta = rewards[t] + gamma * next_values[t] * ~terminated[t] - values[t]
            following = delta + gamma * lam * ~done[t] * following
            out[t] = following
        return out, out + values

    assert rlverify.check(candidate, "gae", dtype="float32").ok
    verdict = rlverify.check(candidate, "gae", dtype="bfloat16")
    assert not verdict.ok


def test_refusals_of_check_say_what_there_is():
    with pytest.raises(ValueError, match=r"did you mean gae\?"):
        rlverify.check(textbook, "gea")
    with pytest.raises(TypeError, match="function came as int"):
        rlverify.check(3, "gae")
    with pytest.raises(ValueError, match="convention came as 'done=never', wanted one that gae"):
        rlverify.check(textbook, "gae", conventions=["done=never"])
    with pytest.raises(ValueError, match="dtype came as 'float8', wanted one of float64"):
        rlverify.check(textbook, "gae", dtype="float8")
    with pytest.raises(ValueError, match="budget came as 0"):
        rlverify.check(textbook, "gae", budget=0)


def test_an_edit_whose_line_is_gone_fails_loudly():
    with pytest.raises(EditError, match="finds it 0 times"):
        edited(gae, (("no such line", "x"),))


def test_the_same_seed_gives_the_same_verdict():
    one, two = (rlverify.check(textbook, "gae", seed=5, budget=50) for _ in range(2))
    assert one == two or (one.worst, one.where) == (two.worst, two.where)


def test_draws_do_not_hang_on_what_else_was_imported():
    """Hypothesis tries constants of the user's modules; in another order, others."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "if sys.argv[2:]: import numbered\n"
        "from rlverify.checking import drawn_cases\n"
        "from rlverify.contracts import find\n"
        "print([case.key() for case in drawn_cases(find('linear_schedule'), 100, 0)])"
    )

    def drawn(folder, *words):
        command = [sys.executable, "-c", code, str(folder), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    with tempfile.TemporaryDirectory() as folder:
        numbers = ", ".join(f"{n}, {n}.125" for n in range(2, 500))
        (Path(folder) / "numbered.py").write_text(f"NUMBERS = [{numbers}]", encoding="utf-8")
        assert drawn(folder) == drawn(folder, "numbered") != ""


def test_a_mistake_made_under_another_convention_is_named_with_it():
    def candidate(advantages, mask, ddof, eps):
        if mask is None:
            mask = np.ones(advantages.shape, dtype=bool)
        real = advantages[mask]
        variance = ((real - real.mean()) ** 2).sum() / (real.size - ddof)
        whitened = (advantages - real.mean()) / np.sqrt(variance + eps)
        return whitened * mask

    verdict = rlverify.check(candidate, "normalize_advantages")
    assert verdict.title == "WRONG(K6)"
    assert verdict.convention == "eps=inside-the-root"
    assert "it also follows eps=inside-the-root" in verdict.diagnosis


def test_visibility_is_the_share_of_draws_that_show_a_bug():
    """A4 of the TD error shows exactly where a discounted value follows a termination."""
    contract = find("td_error")
    bug = next(bug for bug in contract.known_bugs if bug.id == "A4")
    cases = drawn_cases(contract, 100, 0)
    shown = [bool((case["terminated"] & (np.asarray(case["gamma"]) > 0)).any()) for case in cases]
    assert row_of(contract, bug, cases, 0).visible == sum(shown) / len(cases)
    assert 0 < sum(shown) < len(cases)
