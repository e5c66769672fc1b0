"""Reports on returns and advantages: families A, B and C."""

from rlverify.citations.record import Citation

ENTRIES = (
    Citation(
        "A1",
        "mask-next-done",
        "reads the end flag of step t + 1 for step t: flags that describe the step are treated "
        "as flags that describe the state before it",
        (
            "RoboVerseOrg/RoboVerse#814",
            "anthonytorlucci/rlevo#342",
            "hill-a/stable-baselines#385",
        ),
    ),
    Citation(
        "A2",
        "two-conventions-in-one-loop",
        "reads the right end flag inside the recording but a stale one, that of step T − 2, at "
        "the last step",
        ("anthonytorlucci/rlevo#342", "RoboVerseOrg/RoboVerse#814"),
    ),
    Citation(
        "A3",
        "carry-not-reset",
        "carries the sum backwards across the end of an episode into the one before it",
        ("vietnh1009/Super-mario-bros-PPO-pytorch#21", "walkinglabs/hands-on-modern-rl#63"),
    ),
    Citation(
        "A4",
        "bootstrap-not-masked",
        "adds the value of the next state although the episode terminated",
        ("thu-ml/tianshou#869", "EdanToledo/Stoix#142"),
    ),
    Citation(
        "A7",
        "double-bootstrap-seed",
        "starts the backward recursion at the last next value, which the last error already "
        "contains: it is counted twice",
        ("simonsays1980/rl-triton#4",),
    ),
    Citation(
        "A8",
        "missing-final-bootstrap",
        "takes the value after the last recorded step as 0 although the episode goes on",
        ("bmazoure/ppo_jax#2", "rohitg00/ai-engineering-from-scratch#54"),
    ),
    Citation(
        "A9",
        "stale-last-value",
        "bootstraps the last step from the value of the state it left, not of the one it led to",
        ("DLR-RM/stable-baselines3#185",),
    ),
    Citation(
        "A10",
        "reward-shifted-by-one",
        "uses the reward received before step t instead of the one step t earned",
        ("openai/spinningup#50", "openai/spinningup#138"),
    ),
    Citation(
        "A12",
        "returns-from-stale-advantages",
        "builds the returns from advantages that are still zero, so the critic is told its own "
        "prediction",
        ("vwxyzjn/cleanrl#337",),
    ),
    Citation(
        "A13",
        "returns-from-normalised-advantages",
        "normalises the advantages before it adds the values, so the returns lose their scale",
        ("luchris429/model-free-opponent-shaping#1",),
    ),
    Citation(
        "A14",
        "rewards-used-as-returns",
        "subtracts the value from the single reward instead of from the return",
        ("natolambert/rlhf-book#216",),
    ),
    Citation(
        "A17",
        "next-value-by-shift-at-truncation",
        "takes V of step t + 1 as the next value even across a truncation, where it belongs to "
        "the state after the reset",
        ("pytorch/rl@b28e4a462", "Motphys/UniLab#236", "pytorch/rl#4209"),
    ),
    Citation(
        "A19",
        "squeeze-collapses-batch",
        "drops an axis of length one, so a single column or a single step comes back with "
        "another shape",
        ("rlworkgroup/garage#1197", "thu-ml/tianshou#155"),
    ),
    Citation(
        "A22",
        "gamma-lambda-confusion",
        "puts γ and λ in the wrong places: δ discounts by γ alone, the carry by γλ",
        ("Mikyx-1/Reinforcement-Learning#62",),
    ),
    Citation(
        "A24",
        "decay-branch-uses-wrong-flag",
        "uses the wrong flag or mask, but only in the branch for one γ a step",
        ("pytorch/rl#2773",),
    ),
    Citation(
        "B1",
        "truncation-treated-as-termination",
        "drops the value of the next state at a time limit, where only the recording stopped",
        ("vwxyzjn/cleanrl#198", "DLR-RM/stable-baselines3#633", "instadeepai/Mava#951"),
    ),
    Citation(
        "B2",
        "truncation-not-a-boundary",
        "carries the sum across a truncation into the next episode",
        ("Toni-SM/skrl#224", "Toni-SM/skrl#449"),
    ),
    Citation(
        "B5",
        "truncation-bootstraps-even-if-terminated",
        "bootstraps where both flags are set; terminated must win",
        ("openai/spinningup#257",),
    ),
    Citation(
        "C1",
        "return-not-cumulative",
        "discounts the single reward by γᵗ instead of summing the rewards that follow",
        ("hunkim/ReinforcementZeroToAll#1",),
    ),
    Citation(
        "C2",
        "return-total-for-all-steps",
        "gives every step the return of the first one",
        ("udacity/deep-reinforcement-learning#42", "google-research/recsim_ng#3"),
    ),
    Citation(
        "C3",
        "return-of-the-past",
        "accumulates forwards: each step is credited with the rewards before it",
        ("mohmdelsayed/streaming-drl#3",),
    ),
    Citation(
        "C4",
        "return-bleeds-across-episodes",
        "ignores where episodes end, so returns of one bleed into the one before",
        ("JuliaReinforcementLearning/ReinforcementLearning.jl#578",),
    ),
    Citation(
        "C6",
        "nstep-bootstrap-gamma-not-power",
        "discounts the bootstrap of an n-step return by γ instead of γⁿ",
        ("younggyoseo/FastTD3#6", "HorizonRobotics/SocialRobot#8"),
    ),
    Citation(
        "C7",
        "nstep-effective-length",
        "discounts the bootstrap by γⁿ although a cut came after fewer steps",
        (),
    ),
    Citation(
        "C8",
        "nstep-crosses-episode",
        "lets the n-step window run across the end of an episode",
        ("younggyoseo/FastTD3#6", "thu-ml/tianshou#135"),
    ),
    Citation(
        "C10",
        "lambda-return-half-masked",
        "masks only one of the two terms of the λ-mixture at a termination",
        ("vwxyzjn/cleanrl#494",),
    ),
    Citation(
        "C11",
        "lambda-return-value-of-later-step",
        "mixes in the next value of step t + 1 where that of step t is needed",
        ("keraJLi/rejax#35",),
    ),
    Citation(
        "C12",
        "carry-not-reinitialised",
        "sets the running sum once, not anew for every start",
        ("pytorch/rl#400", "pytorch/rl#401"),
    ),
    Citation(
        "C13",
        "rolling-gamma",
        "uses the discount of the first step of a window for all of its steps",
        ("pytorch/rl#401",),
    ),
    Citation(
        "C14",
        "reshape-not-transpose",
        "reshapes a batch-major array to time-major where it should be transposed",
        ("pytorch/rl#2087",),
    ),
    Citation(
        "C18",
        "value-not-denormalised",
        "subtracts the critic's normalised value from a return in real units",
        ("marlbenchmark/on-policy#12", "marlbenchmark/on-policy#13"),
    ),
)
