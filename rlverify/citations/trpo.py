"""Reports on trust region updates: the rest of family F."""

from rlverify.citations.record import Citation

ENTRIES = (
    Citation(
        "F1",
        "failed-search-leaves-last-trial",
        "leaves the parameters at the last trial when none was accepted, not where they were",
        ("thu-ml/tianshou#1287", "thu-ml/tianshou@af0d1912"),
    ),
    Citation(
        "F2",
        "line-search-with-one-condition",
        "accepts a trial that improves whatever its divergence (a), or one within the bound that "
        "does not improve (b)",
        (
            "joschu/modular_rl#29",
            "zhangchuheng/Reinforcement-Implementation#1",
            "wojzaremba/trpo#2",
        ),
    ),
    Citation(
        "F10",
        "step-length-factor",
        "takes √(δ/sᵀFs) (a), 2δ/sᵀFs (b), √(2δ·sᵀFs) (c) or √(2δ/sᵀs) (d) for the length of the "
        "step, instead of √(2δ/sᵀFs)",
    ),
    Citation(
        "F12",
        "descent-for-ascent",
        "goes down the surrogate: the sign belongs to a loss, the direction to an objective",
    ),
    Citation(
        "F18",
        "old-policy-moved-along",
        "compares the new policy with itself: the old one was synchronised after the step, so the "
        "divergence is always 0",
        ("openai/baselines#415",),
    ),
    Citation(
        "T1",
        "full-step-never-tried",
        "shortens the step before the first trial, so that the full step is never tried",
    ),
)
