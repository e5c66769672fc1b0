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
)
