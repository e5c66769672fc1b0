"""Which claim of the source documents is held by which test: `python tests/claims_table.py`.

Writes docs/claims.md from the tests that carry `@pytest.mark.claim(id)` and from the laws of the
contracts that name a claim. `test_claims_table.py` fails where the page is not what it writes.
"""

import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "claims.md"
COMMAND = "python tests/claims_table.py"

# kind: I holds for every input of a class, E names an instance with its numbers
CLAIMS = {
    "C1": ("I", "∇π = π ∇log π, and the score averages to zero under the policy"),
    "C2": ("I", "the plain average of sampled rewards has derivative zero in θ; the "
                "score-function estimate has the right mean"),
    "C3": ("I", "central differences converge with order 2 and take 2P evaluations, forward ones "
                "with order 1 and P + 1; noise adds its stated part"),
    "C4": ("E", "a table with the lower mean squared error in Q chooses the worse actions"),
    "C5": ("E", "in rock, paper, scissors the even strategy attains the max–min value and every "
                "deterministic one is worse; a game, not an MDP"),
    "C6": ("I", "the cross-entropy update is the likelihood gradient on the elite; supervised "
                "learning is the policy gradient with Q = 1 on the data"),
    "C7": ("I", "∇J = Σ d(s) Σ ∇π(a∣s) Q(s, a), also with A for Q; d = Σ γᵗ P(sₜ = s) is not "
                "normalised"),
    "C8": ("I, E", "return to go with γᵗ and total return have equal expectations; instances where "
                   "the first varies less, and where it varies more"),
    "C9": ("I, E", "a baseline of the state leaves the expectation; the joint optimum has the "
                   "smallest variance of its class; instances where V lowers it and raises it"),
    "C10": ("I, E", "a constant added to both buttons leaves the gradient and changes the variance "
                    "by p(1−p)((1−2p+c)² − (1−2p)²); the instance +100"),
    "C11": ("I", "Σ π(a∣s) A(s, a) = 0 for the exact advantage"),
    "C12": ("I", "r + γV(s′) − V(s) with the exact V has conditional expectation A(s, a)"),
    "C13": ("I", "importance sampling: equal expectations where q > 0 wherever p·f ≠ 0, and the "
                 "exact difference of the variances"),
    "C14": ("I", "Σ γᵗ(γVₜ₊₁ − Vₜ) = γᵀV_T − V₀"),
    "C15": ("I", "performance difference: J(π) − J(π_old) = E_π Σ γᵗ A_old"),
    "C16": ("I", "the gradient of the surrogate at θ_old is ∇J"),
    "C17": ("I", "∣J − J_old − L∣ ≤ C·KL_max with C = 4γ max∣A∣/(1−γ)², L with the visitation not "
                 "normalised"),
    "C18": ("I", "minorise–maximise with the true C never decreases J"),
    "C19": ("I", "for smooth policies KL has gradient zero at θ_old, and its Hessian there is the "
                 "Fisher matrix, positive semi-definite"),
    "C20": ("I", "KL(θ, θ+d) = ½ dᵀFd + O(‖d‖³), the order shown by halving d"),
    "C21": ("I, E", "the natural direction follows a change of parameters, the Euclidean one does "
                    "not; two pairs of Gaussians as far apart, with unequal KL"),
    "C22": ("I", "conjugate gradients are exact after dim steps in rational arithmetic; in floats "
                 "they are judged by energy"),
    "C23": ("I", "the line search accepts only L > 0 and KL ≤ δ, and else leaves the parameters "
                 "bit for bit"),
    "C24": ("I", "the clip table: no gradient for A ≥ 0, ρ > 1+ε and for A < 0, ρ < 1−ε; else "
                 "unchanged"),
    "C25": ("I", "min(ρA, clip(ρ)A) ≤ ρA"),
    "C26": ("I", "the clipped critic loss is never below the unclipped one"),
    "C27": ("I", "the N-step error is Σ_{k<N} γᵏ × the one-step errors, on chained values without "
                 "a cut"),
    "C28": ("I", "offline TD(λ): forward and backward views add up to the same; online they "
                 "differ, by less the smaller the step"),
    "C29": ("I", "GAE at λ = 0 is the one-step error, at λ = 1 the return minus V; between them "
                 "the weights are (1−λ)λʲ, the last one λᵏ"),
    "C30": ("I, E", "the bias of the n-step target is at most γⁿ‖V̂ − V‖∞; an instance where bias "
                    "falls and variance grows, and ones where they do not"),
    "C31": ("I, E", "in Q-form every trace coefficient in [0, π/μ] contracts to Q^π; instances "
                    "beyond it that do not; the V-form of the notes is biased"),
    "C32": ("E", "products of ratios fade and explode, with their exact variances; clipping at 1 "
                 "bounds them"),
    "C33": ("I", "greedy improvement never loses; policy iteration, value iteration and the linear "
                 "program meet at V*"),
    "C34": ("I, E", "pathwise and score-function gradients agree in expectation; instances where "
                    "either varies less, and a step where only one works"),
    "C35": ("E", "on the cliff a Euclidean step collapses J where the KL-constrained one does not"),
    "C36": ("I", "dropping the bootstrap at a time limit biases the return by γᵏV(s′), keeping it "
                 "at a true end by the same"),
    "C37": ("I", "A2C's gradient is PPO's at ρ = 1"),
    "C38": ("I", "ε-greedy and Boltzmann policies tend to the greedy one, even over ties"),
}  # fmt: skip

# what the tests of a claim leave open
OPEN: dict[str, str] = {}

HEAD = f"""\
# Claims, and the tests that hold them

Written by `{COMMAND}`; a test fails where the page is stale. Kind I: an identity or inequality,
held by a property over its whole class of inputs. Kind E: a named instance with its numbers, and
where the claim is not general a counter-instance. Expectations are exact sums over every
trajectory, most of them in fractions. A law is part of a contract, and is also run on every
function that `rlverify check` judges.

| | kind | claim | held by |
|---|---|---|---|"""

SLIPS = """\
## Slips in the notes

The claims are from five sets of lecture notes. Where these are wrong, the suite is not:

- the sum of the N-step error runs to N − 1, not to N;
- the bounds of the critic's clip stand in reversed order, (ε̂, −ε̂);
- the general off-policy sum is written with one-step errors of V, for which Retrace's coefficients
  are biased; the suite uses the Q-form;
- REINFORCE is written with R(s, a) in its gradient where the return to go is meant.
"""


def claims_of(item):
    """Return the claims that a collected test is marked with."""
    found = [mark.args[0] for mark in item.iter_markers("claim")]
    unknown = set(found) - set(CLAIMS)
    if unknown:
        raise pytest.UsageError(f"{item.nodeid} is marked with unknown claims: {sorted(unknown)}")
    return found


def held_by(items):
    """Return, for each claim, its tests and laws as they stand on the page."""
    tests, laws = defaultdict(set), defaultdict(lambda: defaultdict(set))
    for item in items:
        for claim in claims_of(item):
            parameters = item.callspec.params if hasattr(item, "callspec") else {}
            if "law" in parameters and "contract" in parameters:
                laws[claim][parameters["law"].name].add(parameters["contract"].name)
            else:
                tests[claim].add(f"{item.path.name}::{item.originalname}")
    return {
        claim: [
            *(
                f"law `{name}` of {', '.join(f'`{function}`' for function in sorted(functions))}"
                for name, functions in sorted(laws[claim].items())
            ),
            *(f"`{name}`" for name in sorted(tests[claim])),
        ]
        for claim in CLAIMS
    }


def page(items):
    """Return the whole page."""
    holders = held_by(items)
    rows = []
    for claim, (kind, sentence) in CLAIMS.items():
        held = [*holders[claim], *([OPEN[claim]] if claim in OPEN else [])]
        rows.append(f"| {claim} | {kind} | {sentence} | {'<br>'.join(held) or 'later'} |")
    return "\n".join([HEAD, *rows, "", SLIPS])


class Collector:
    """A pytest plugin that keeps what was collected."""

    def __init__(self):
        self.items = []

    def pytest_collection_modifyitems(self, items):
        self.items = list(items)


def collected():
    """Return every test of the suite, in this process."""
    collector = Collector()
    arguments = ["--collect-only", "-q", "--no-summary", "-n0", str(ROOT / "tests")]
    status = pytest.main(arguments, plugins=[collector])
    if status != pytest.ExitCode.OK:
        sys.exit("the tests could not be collected")
    return collector.items


if __name__ == "__main__":
    text = page(collected())
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text(encoding="utf-8") == text else f"stale; run {COMMAND}")
    PAGE.write_text(text, encoding="utf-8")
