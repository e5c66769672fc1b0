"""Contracts of the topic `beta`: the Beta policy on bounded actions."""

from rlverify.contract import Contract, Convention, Example, KnownBug
from rlverify.contracts._beta_cases import (
    ACTIONS,
    PAIR,
    PAIRS,
    good,
    pairs,
    policies,
    refusals,
    sized,
)
from rlverify.contracts._beta_laws import (
    ENTROPY_LAWS,
    FISHER_LAWS,
    KL_LAWS,
    LOG_PROB_LAWS,
    SCORE_LAWS,
)
from rlverify.fast import beta as fast
from rlverify.inputs import worked
from rlverify.reference import beta as reference

SIZES = ((8, 3), (256, 6), (4096, 6), (65536, 6))
POLICY = ("alpha", "beta")
ACTING = (*POLICY, "actions")
TWO = ("alpha_p", "beta_p", "alpha_q", "beta_q")

# --- known bugs ----------------------------------------------------------------------------------

DENSITY = "_log_density(alpha[i], beta[i], actions[i])"
LOG_PROB_BUGS = (
    KnownBug("D1a", DENSITY, f"{DENSITY} / actions.shape[-1]"),
    KnownBug("D1b", "return log_prob", "return np.full_like(log_prob, log_prob.sum())"),
    KnownBug("D21a", DENSITY, f"{DENSITY} - np.log(2.0)"),
    KnownBug("D21b", DENSITY, DENSITY.replace("actions[i]", "min(max(actions[i], 1e-3), 0.99)")),
    KnownBug("D21c", DENSITY, DENSITY.replace("alpha[i]", "max(alpha[i], 1.0)")),
    KnownBug("D21d", DENSITY, DENSITY.replace("actions[i]", "(actions[i] + 1e-3) / 1.001")),
)
PAIR_OF = "return BetaScore(of_alpha, of_beta)"
SCORE_BUGS = (
    KnownBug(
        "D1a", PAIR_OF,
        "return BetaScore(of_alpha / actions.shape[-1], of_beta / actions.shape[-1])",
    ),
    KnownBug(
        "D21b", "x, y = actions[i], 1 - actions[i]",
        "x = min(max(actions[i], 1e-3), 0.99)\n        y = 1 - x",
    ),
    KnownBug("D21c", "log_score(alpha[i]", "log_score(max(alpha[i], 1.0)"),
    KnownBug(
        "D21d", "x, y = actions[i], 1 - actions[i]",
        "x = (actions[i] + 1e-3) / 1.001\n        y = 1 - x",
    ),
)  # fmt: skip
A_AND_B = "a, b = alpha[i], beta[i]"
ENTROPY_BUGS = (
    KnownBug("D9", "return entropy", "return -entropy"),
    KnownBug("D10a", "return entropy", "return entropy / alpha.shape[-1]"),
    KnownBug(
        "D13", "spread - digamma_rise(a, b) - digamma_rise(b, a)",
        "(np.log(a / (a + b) * b / (a + b) / (a + b + 1)) + 1 + np.log(2 * np.pi)) / 2",
    ),
    KnownBug("D21c", A_AND_B, "a, b = max(alpha[i], 1.0), beta[i]"),
)  # fmt: skip
KL_BUGS = (
    KnownBug("D1a", "means + left", "(means + left) / alpha_p.shape[-1]"),
    KnownBug("D21c", "a, b = alpha_p[i], beta_p[i]", "a, b = max(alpha_p[i], 1.0), beta_p[i]"),
)
FISHER_BUGS = (
    KnownBug("D1a", "return fisher", "return fisher / alpha.shape[-1]"),
    KnownBug(
        "D21c", "trigamma_fall(alpha[i], beta[i])", "trigamma_fall(max(alpha[i], 1.0), beta[i])"
    ),
)  # fmt: skip

# --- conventions and forms that look wrong -------------------------------------------------------

LOST = (
    "as most libraries have it: the same number at moderate α and β, but made of numbers of size "
    "(α+β) log(α+β), whose digits are lost as α+β grows (in float32 nothing is left at 10⁶)"
)
CANCELLED = (
    "as most libraries have it: the same number at moderate α and β, but a difference of two whose "
    "digits are lost where it is much smaller than they are (α and β large, or far apart)"
)
IMPORTED = "from rlverify.reference import _functions"


def textbook(sentence: str, right: str, wrong: str, why: str = LOST) -> Convention:
    """Return the convention of evaluating the textbook's formula as it stands."""
    return Convention(
        "evaluation", "lgamma-differences", f"{sentence}, {why}", edits=((right, wrong),)
    )


REVERSED = Convention(
    "direction", "reversed", "KL(q ‖ p), with the arguments in this order",
    edits=((
        "kl = np.zeros(",
        "alpha_p, beta_p, alpha_q, beta_q = alpha_q, beta_q, alpha_p, beta_p\n"
        "    kl = np.zeros(",
    ),),
)  # fmt: skip
TEXTBOOK_DENSITY = textbook(
    "(α−1) log x + (β−1) log(1−x) − log Γ(α) − log Γ(β) + log Γ(α+β)",
    f"log_prob[i[:-1]] + {DENSITY}",
    "log_prob[i[:-1]] + (alpha[i] - 1) * np.log(actions[i]) "
    "+ (beta[i] - 1) * np.log(1 - actions[i]) "
    "- lgamma(alpha[i]) - lgamma(beta[i]) + lgamma(alpha[i] + beta[i])",
)
TEXTBOOK_SCORE = textbook(
    "log x − ψ(α) + ψ(α+β)",
    "of_alpha[i] = log_score(alpha[i], beta[i], x, y)\n"
    "        of_beta[i] = log_score(beta[i], alpha[i], y, x)",
    f"{IMPORTED}\n"
    "        shared = _functions.digamma(alpha[i] + beta[i])\n"
    "        of_alpha[i] = np.log(x) - _functions.digamma(alpha[i]) + shared\n"
    "        of_beta[i] = np.log(y) - _functions.digamma(beta[i]) + shared",
    CANCELLED,
)
TEXTBOOK_ENTROPY = textbook(
    "log B(α, β) − (α−1) ψ(α) − (β−1) ψ(β) + (α+β−2) ψ(α+β)",
    "entropy[i[:-1]] = entropy[i[:-1]] + spread - digamma_rise(a, b) - digamma_rise(b, a)",
    f"{IMPORTED}\n"
    "        psi = _functions.digamma\n"
    "        entropy[i[:-1]] = (entropy[i[:-1]] + lgamma(a) + lgamma(b) - lgamma(a + b)\n"
    "            - (a - 1) * psi(a) - (b - 1) * psi(b) + (a + b - 2) * psi(a + b))",
)
TEXTBOOK_KL = textbook(
    "log B(α′, β′) − log B(α, β) − (α′−α) ψ(α) − (β′−β) ψ(β) + (α′+β′−α−β) ψ(α+β)",
    "kl[i[:-1]] = kl[i[:-1]] + means + left",
    f"{IMPORTED}\n"
    "        psi = _functions.digamma\n"
    "        kl[i[:-1]] = (kl[i[:-1]] + lgamma(new_a) + lgamma(new_b) - lgamma(new_a + new_b)\n"
    "            - lgamma(a) - lgamma(b) + lgamma(a + b) - gap_a * psi(a) - gap_b * psi(b)\n"
    "            + (new_a + new_b - a - b) * psi(a + b))",
)
TEXTBOOK_FISHER = textbook(
    "ψ′(α) − ψ′(α+β)",
    "[trigamma_fall(alpha[i], beta[i]), -shared],\n"
    "            [-shared, trigamma_fall(beta[i], alpha[i])],",
    "[trigamma(alpha[i]) - shared, -shared],\n            [-shared, trigamma(beta[i]) - shared],",
)

# --- contracts -----------------------------------------------------------------------------------


LOG_PROB_CONTRACT = Contract(
    name="beta_log_prob",
    topic="beta",
    summary="log-probability of actions in (0, 1) under a Beta policy, summed over dimensions",
    source="Chou, Maturana and Scherer 2017; Loader 2000",
    reference=reference.beta_log_prob,
    fast=fast.beta_log_prob,
    arguments=ACTIONS,
    outputs=("log_prob",),
    axes=("...",),
    inputs=policies(ACTING),
    examples=(
        Example(
            "the densities 1, 2x at ½ and 2(1−x) at ½",
            worked("free", alpha=[[1, 2, 1]], beta=[[1, 1, 2]], actions=[[0.25, 0.5, 0.5]]),
            {"log_prob": ["0"]},
        ),
    ),
    laws=LOG_PROB_LAWS,
    gradient_judged=True,
    gradients=ACTING,
    known_bugs=LOG_PROB_BUGS,
    conventions=(TEXTBOOK_DENSITY,),
    bad_inputs=refusals("beta_log_prob", ACTING),
    sizes=SIZES,
    exact=False,
    good=good(ACTING),
    sized=sized(ACTING),
)
SCORE_CONTRACT = Contract(
    name="beta_score",
    topic="beta",
    summary="gradient of that log-probability with respect to α and β",
    source="Johnson, Kotz and Balakrishnan 1995, vol. 2, chapter 25",
    reference=reference.beta_score,
    fast=fast.beta_score,
    arguments=ACTIONS,
    outputs=("alpha", "beta"),
    inputs=policies(ACTING),
    examples=(),
    laws=SCORE_LAWS,
    gradients=ACTING,
    known_bugs=SCORE_BUGS,
    conventions=(TEXTBOOK_SCORE,),
    bad_inputs=refusals("beta_score", ACTING),
    sizes=SIZES,
    exact=False,
    good=good(ACTING),
    sized=sized(ACTING),
)
ENTROPY_CONTRACT = Contract(
    name="beta_entropy",
    topic="beta",
    summary="entropy of a Beta policy, summed over dimensions",
    source="Johnson, Kotz and Balakrishnan 1995, vol. 2, chapter 25",
    reference=reference.beta_entropy,
    fast=fast.beta_entropy,
    arguments=PAIR,
    outputs=("entropy",),
    axes=("...",),
    inputs=policies(POLICY),
    examples=(
        Example(
            "uniform actions", worked("free", alpha=[[1, 1]], beta=[[1, 1]]), {"entropy": ["0"]}
        ),
    ),
    laws=ENTROPY_LAWS,
    gradient_judged=True,
    gradients=POLICY,
    known_bugs=ENTROPY_BUGS,
    conventions=(TEXTBOOK_ENTROPY,),
    bad_inputs=refusals("beta_entropy", POLICY),
    sizes=SIZES,
    exact=False,
    good=good(POLICY),
    sized=sized(POLICY),
)
KL_CONTRACT = Contract(
    name="beta_kl",
    topic="beta",
    summary="Kullback-Leibler divergence between Beta policies, KL(p ‖ q), summed over dimensions",
    source="Penny 2001, the Dirichlet density",
    reference=reference.beta_kl,
    fast=fast.beta_kl,
    arguments=PAIRS,
    outputs=("kl",),
    axes=("...",),
    inputs=pairs(),
    examples=(
        Example(
            "a policy and itself",
            worked(
                "free", alpha_p=[[3, 0.5]], beta_p=[[2, 40]], alpha_q=[[3, 0.5]], beta_q=[[2, 40]]
            ),
            {"kl": ["0"]},
        ),
    ),
    laws=KL_LAWS,
    gradient_judged=True,
    gradients=TWO,
    known_bugs=KL_BUGS,
    conventions=(TEXTBOOK_KL, REVERSED),
    bad_inputs=refusals("beta_kl", TWO),
    sizes=SIZES,
    exact=False,
    good=good(TWO),
    sized=sized(TWO),
)
FISHER_CONTRACT = Contract(
    name="beta_fisher",
    topic="beta",
    summary="Fisher information of α and β, a matrix for each dimension",
    source="Johnson, Kotz and Balakrishnan 1995, vol. 2, chapter 25",
    reference=reference.beta_fisher,
    fast=fast.beta_fisher,
    arguments=PAIR,
    outputs=("fisher",),
    axes=("... D 2 2",),
    inputs=policies(POLICY),
    examples=(),
    laws=FISHER_LAWS,
    gradients=POLICY,
    known_bugs=FISHER_BUGS,
    conventions=(TEXTBOOK_FISHER,),
    bad_inputs=refusals("beta_fisher", POLICY),
    sizes=SIZES,
    exact=False,
    good=good(POLICY),
    sized=sized(POLICY),
)

CONTRACTS = (
    LOG_PROB_CONTRACT,
    SCORE_CONTRACT,
    ENTROPY_CONTRACT,
    KL_CONTRACT,
    FISHER_CONTRACT,
)
