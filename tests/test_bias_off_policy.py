"""`rlverify bias --family off-policy`, the document that shows it, and strangers' returns."""

import json
import re
import shlex
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import rlverify
from command_line import Run, runner
from rlverify.biasing.correction import DEFAULT
from rlverify.enumeration import rational_policy
from rlverify.reference import traces
from strangers import corrections

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "off-policy.md").read_text(encoding="utf-8")
CONSOLE = re.compile(r"^```console\n\$ (.*)\n((?:.*\n)*?)```$", re.MULTILINE)
EXAMPLES = "examples/returns.py"
QUICK = {"table": False, "horizon": 3}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in the folder of the document."""
    return runner(ROOT / "docs", monkeypatch, capsys)


@pytest.mark.parametrize(
    ("command", "shown"), CONSOLE.findall(TEXT), ids=lambda item: item.split("\n")[0]
)
def test_the_document_shows_what_the_command_prints(run: Run, command: str, shown: str):
    words = shlex.split(command)
    assert words[:4] == ["rlverify", "bias", "--family", "off-policy"]
    _, out, _ = run(*words[1:])
    assert shown.strip() == "\n".join(line.rstrip() for line in out.splitlines()).strip()


@pytest.mark.parametrize(
    ("words", "status", "title", "told"),
    [
        ([":retrace"], 0, "UNBIASED", "its mean is that of retrace"),
        ([":errors_of_values"], 1, "BIASED", "none has the ratio of its own action"),
        ([":vtrace"], 1, "BIASED", "its mean is that of vtrace"),
        ([":vtrace", "--aim", "clipped"], 0, "UNBIASED(clipped)", "its mean is that of vtrace"),
        ([":vtrace", "--rho-bar", "inf"], 0, "UNBIASED", "its mean is that of vtrace"),
    ],
)
def test_examples_are_told_apart(run: Run, words: list[str], status: int, title: str, told: str):
    """As the table of the document says; the shifted one is shown there."""
    target = EXAMPLES + words[0]
    found, out, _ = run("bias", "--family", "off-policy", target, "--horizon", "3", *words[1:])
    assert (found, out.split("\n")[0]) == (status, f"{title}  {words[0][1:]}")
    assert told in out
    assert told in TEXT or status == 0


def test_json(run: Run, tmp_path: Path):
    file = tmp_path / "returns.json"
    status, _, _ = run("bias", "--family", "off-policy", "--json", str(file))
    document = json.loads(file.read_text(encoding="utf-8"))
    assert (status, document["ok"], document["target"]) == (0, True, None)
    rows = {item["name"]: item for item in document["results"]}
    assert all(f"\n{name} " in TEXT for name in rows)
    assert set(rows["retrace"]["fixed_point_bias"]) == {"0"}
    assert (rows["retrace"]["contraction"], rows["retrace"]["diverges"]) == ("9/13", False)
    assert (rows["doubled-ratio"]["contraction"], rows["doubled-ratio"]["diverges"]) == (None, True)
    assert rows["importance-sampling"]["endless_variance"] is None
    assert rows["importance-sampling"]["trace_variances"][1] == "1/4"
    assert document["situation"]["action_values"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--family", "off-policy", "--batch", "3"], "--batch came with family off-policy"),
        (["--family", "off-policy", "--bootstrap"], "--bootstrap came with family off-policy"),
        (["--rho-bar", "1"], "--rho-bar came with family policy-gradient"),
        (["--family", "off_policy"], "wanted one of policy-gradient, grpo, off-policy"),
        (["--family", "off-policy", "retrase"], "there is no off-policy return 'retrase'"),
        (["--family", "off-policy", "--rho-bar", "0"], "rho_bar came as 0, wanted a number above"),
        (["--family", "off-policy", "--aim", "field"], "aim came as 'field', wanted one of policy"),
        (["--family", "off-policy", "--gamma", "1"], "gamma came as 1, but from some state"),
        (["--family", "off-policy", "--critic", "examples/bandit.json"], "critic"),
        (["--family", "off-policy", "statistics:mean"], "--call"),
        (["--family", "off-policy", f"{EXAMPLES}:retrace", "--horizon", "9"], "a shorter horizon"),
    ],
)
def test_refusals(run: Run, words: list[str], message: str):
    status, out, error = run("bias", *words)
    assert (status, out) == (2, "")
    assert message in error


def test_where_an_action_is_never_taken_nothing_of_a_stranger_is_measured():
    behaviour = rational_policy([[1, 0], [1, 1], [1, 1]])
    known = {"behaviour": behaviour, **QUICK}
    with pytest.raises(ValueError, match="behaviour never takes some action"):
        rlverify.off_policy_bias(traces.retrace, **known)
    # those of the suite are cut there, and keep Q
    report = rlverify.off_policy_bias("retrace", **known)
    assert not report.own.missed.any()


VTRACE = (
    "(gamma, lam, target_log_probs, behaviour_log_probs, values, next_values, rewards, done:after, "
    "terminated, rho_bar, c_bar, rho_bar_advantage) -> advantages, value_targets"
)


@pytest.mark.parametrize(
    ("function", "call", "told", "kept"),
    [
        (traces.retrace, None, "its mean is that of retrace", "policy"),
        (traces.tree_backup, None, "its mean is that of tree-backup", "policy"),
        (traces.importance_sampling_return, None, "its mean is that of importance-sampling",
         "policy"),
        (traces.vtrace, None, "its mean is that of vtrace", "clipped"),
        (corrections.retrace_targets, None, "its mean is that of retrace", "policy"),
        (corrections.vtrace_advantage_estimate, f"vtrace_advantage_estimate{VTRACE}",
         "its mean is that of vtrace", "clipped"),
        (corrections.shifted_retrace, None,
         "retrace with the coefficient of step t in place of t + 1", "policy"),
    ],
    ids=lambda item: getattr(item, "__name__", ""),
)  # fmt: skip
def test_a_function_has_the_operator_of_its_kind(function, call, told, kept):
    """With λ = ¾ and ρ̄ ≠ c̄ all returns of the table differ."""
    report = rlverify.off_policy_bias(
        function, call=call, lam="3/4", rho_bar="5/4", c_bar="3/4", aim=kept, **QUICK
    )
    assert report.own.diagnosis == told
    assert report.own.targets == (kept,)
    assert report.ok is report.own.contracts is (told != "retrace with the coefficient of step t "
                                                 "in place of t + 1")  # fmt: skip


def mistaken(change):
    """Return Retrace with a mistake: `change` is given the trust and the flags."""

    def function(rewards, q_taken, next_state_values, ratios, terminated, truncated, gamma, lam):
        trust, off = lam * np.minimum(ratios, 1), np.zeros_like(terminated)
        first, ended = change(trust, terminated, off)
        targets, correction = np.empty_like(rewards), 0 * rewards[0]
        for t in reversed(range(len(rewards))):
            following = np.where(ended[t], 0, next_state_values[t])
            error = rewards[t] + gamma * following - q_taken[t]
            cut = ended[t] | truncated[t] | (t == len(rewards) - 1)
            carried = 0 if cut.all() else gamma * trust[min(t + 1, len(trust) - 1)] * correction
            correction = first[t] * error + np.where(cut, 0, carried)
            targets[t] = q_taken[t] + correction
        return targets

    return function


def test_mistakes_in_the_fixed_point_are_seen():
    """Leaking over an end moves the fixed point; a weight on the first error leaves it."""
    ending = {"mdp": "garnet(3, 2, 2, seed=1, ending=0.25)", **QUICK}
    right = rlverify.off_policy_bias(mistaken(lambda c, end, _: (0 * c + 1, end)), **ending)
    assert right.ok
    leaking = rlverify.off_policy_bias(mistaken(lambda c, _, off: (0 * c + 1, off)), **ending)
    assert not leaking.ok
    assert leaking.own.targets == ()
    weighted = rlverify.off_policy_bias(mistaken(lambda c, end, _: (c, end)), **ending)
    assert weighted.own.targets == ("policy",)
    told = "retrace with each error weighted with its own coefficient"
    assert weighted.own.diagnosis == told


def test_what_is_not_affine_is_noted():
    def squared(rewards, q_taken, next_state_values, ratios, terminated, truncated, gamma, lam):
        return rewards + gamma * np.where(terminated, 0, next_state_values) ** 2

    report = rlverify.off_policy_bias(squared, **QUICK)
    assert not report.ok
    assert any("not affine" in note for note in report.own.notes)


def test_what_raises_is_told():
    def broken(rewards, q_taken, next_state_values, ratios, terminated, truncated, gamma, lam):
        if q_taken.any() and q_taken.shape[1] > 100:
            raise RuntimeError("boom")
        return 0 + rewards

    report = rlverify.off_policy_bias(broken, **QUICK)
    assert not report.ok
    assert "boom" in report.failure


def test_critics_and_floats():
    """A table of Q and the words for it are the same; floats follow the fractions."""
    exact = rlverify.off_policy_bias("v-errors", critic="exact", horizon=3)
    again = rlverify.off_policy_bias(
        "v-errors", critic=exact.where.action_values, horizon=3, mdp=DEFAULT
    )
    assert (exact.own.bias == again.own.bias).all()
    assert exact.own.bias.any()
    shifted = rlverify.off_policy_bias("one-step", critic="+1/2", horizon=3)
    assert (shifted.own.bias == Fraction(9, 10) / 2).all()  # γ times the error of the critic
    rounded = rlverify.off_policy_bias("v-errors", critic="exact", horizon=3, exact=False)
    assert rounded.own.bias.dtype == np.float64
    assert [f"{x:.6f}" for x in rounded.own.bias] == [f"{float(x):.6f}" for x in exact.own.bias]
