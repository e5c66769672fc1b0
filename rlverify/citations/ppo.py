"""Reports on the losses of PPO and what is logged beside them: the rest of family E, and K1."""

from rlverify.citations.record import Citation

ENTRIES = (
    Citation(
        "E1",
        "clip-interval",
        "clips the ratio to [ε, 1 + ε] instead of [1 − ε, 1 + ε]",
        ("ChenmienTan/RL2#21",),
    ),
    Citation(
        "E3",
        "clip-computed-not-used",
        "computes the clipped surrogate, and sums the plain one",
        ("rlworkgroup/garage@26c14a3e",),
    ),
    Citation(
        "E4",
        "max-for-min",
        "takes the larger of the two surrogates (or the smaller of the two losses): the bound is "
        "optimistic where it should be pessimistic",
        (),
    ),
    Citation(
        "E19",
        "old-values-recomputed",
        "computes the old values with the critic that learns: nothing has moved, so the range "
        "never holds anything back",
        ("tensorflow/agents#352",),
    ),
    Citation(
        "E21",
        "value-clip-min-for-max",
        "takes the smaller of the two squared errors: the gradient vanishes just where the critic "
        "is wrong",
        ("ray-project/ray#10430",),
    ),
    Citation(
        "E28",
        "k1-for-k3",
        "estimates the divergence by the mean log-ratio, which is negative on half of the batches "
        "and stops nothing then",
        ("openai/spinningup#137", "DLR-RM/stable-baselines3#417", "DLR-RM/stable-baselines3#419"),
    ),
    Citation(
        "E30",
        "kl-of-clamped-log-ratio",
        "estimates the divergence from log-ratios that were clamped for the loss: what went "
        "furthest counts least",
        ("OpenRLHF/OpenRLHF@3a9815c5",),
    ),
    Citation(
        "E32",
        "kl-reversed",
        "takes the divergence the wrong way round",
        ("vwxyzjn/cleanrl@7dc0baef",),
    ),
    Citation(
        "E33",
        "kl-coefficient-misadapted",
        "moves the penalty's coefficient the wrong way (a), upwards only (b), or without the band "
        "in which it should stay (c)",
        ("CarperAI/trlx#361", "ray-project/ray#15698"),
    ),
    Citation(
        "E34",
        "clip-fraction-of-the-wrong-thing",
        "logs the mean distance of the ratio from 1 (a), or counts one side alone (b)",
        ("pytorch/rl#2021", "volcengine/verl#972"),
    ),
    Citation(
        "E35",
        "explained-variance-arguments-swapped",
        "divides by the variance of the predictions instead of that of the returns",
        ("DLR-RM/stable-baselines3@5ddda44a",),
    ),
    Citation(
        "K1",
        "penalty-sign",
        "adds the penalty to what is maximised: the policy is pushed away from the one that it "
        "should stay near",
        ("volcengine/verl@a65c9157", "volcengine/verl#179", "pytorch/rl@96c300322"),
    ),
)
