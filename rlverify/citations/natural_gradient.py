"""Reports on natural gradients and the solver behind them: family F, as far as it is curvature."""

from rlverify.citations.record import Citation

ENTRIES = (
    Citation(
        "F3",
        "log-std-left-out",
        "leaves log σ out of the policy's parameters: no curvature, no step and no trust region "
        "for it",
        ("openai/baselines@ebb8aff",),
    ),
    Citation(
        "F6",
        "kl-with-itself",
        "takes the KL of the policy with itself, both sides moving: its Hessian is 0, and the "
        "damping alone is left; the old side is a constant",
        ("dongminlee94/deep_rl#5",),
    ),
    Citation(
        "F8",
        "division-by-zero",
        "divides by pᵀAp or rᵀr where they are 0, or adds a constant to them that outweighs a "
        "small gradient; a residual of 0 is the end",
        ("boyu-ai/Hands-on-RL#108",),
    ),
    Citation(
        "F9",
        "conjugate-gradient-slip",
        "takes β upside down, leaves the residual or the direction as it was, starts elsewhere "
        "than at 0 with r = b, or compares ‖r‖² with a tolerance meant for ‖r‖",
    ),
    Citation(
        "F11",
        "damping-misplaced",
        "leaves the damping out of the product, or adds it as a number instead of times the vector",
    ),
    Citation(
        "NG1",
        "scores-not-centred",
        "takes diag(π) for the logits' Fisher matrix, without − π πᵀ: a shift of all logits, "
        "which moves no policy, then has curvature",
    ),
    Citation(
        "NG2",
        "deviation-for-variance",
        "divides squared derivatives of the mean by σ where they belong over σ²",
    ),
    Citation(
        "NG3",
        "centred-by-the-plain-mean",
        "subtracts the plain mean over the actions where the mean under π is meant: the curvature "
        "is no longer symmetric",
    ),
    Citation(
        "NG4",
        "curvature-negative",
        "takes the Hessian of E log π, or of −KL, without the minus: negative curvature",
    ),
    Citation(
        "NG5",
        "actions-not-weighted",
        "adds the actions' outer products without their probabilities",
    ),
    Citation(
        "NG6",
        "one-triangle-alone",
        "fills one triangle of a symmetric matrix and never mirrors it",
    ),
    Citation(
        "NG7",
        "diagonal-alone",
        "keeps the squares of the scores alone, a diagonal, where the matrix is meant",
    ),
    Citation(
        "NG8",
        "kronecker-step-length",
        "takes √(δ/gᵀs) or 2δ/gᵀs for √(2δ/gᵀs), or never compares it with the learning rate",
    ),
    Citation(
        "NG9",
        "kronecker-damping",
        "exchanges π and 1/π between both factors, or adds μ to each where √μ is meant",
    ),
    Citation(
        "NG10",
        "bias-without-a-coordinate",
        "leaves the 1 out of a layer's inputs, so that its bias has no curvature",
    ),
)
