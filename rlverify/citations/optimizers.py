"""Reports on schedules, initialisation and optimisers: the rest of E, L, and O."""

from rlverify.citations.record import Citation

ENTRIES = (
    Citation(
        "E37",
        "anneal-off",
        "anneals a tick ahead, not at all, past the end, or in one jump",
        (
            "ikostrikov/pytorch-a2c-ppo-acktr-gail@d933728",
            "thu-ml/tianshou#774",
        ),
    ),
    Citation(
        "O1",
        "clamped-for-falling",
        "clamps the value from below at its end, which is right only where it falls",
        (),
    ),
    Citation(
        "O2",
        "end-ignored",
        "anneals to 0, whatever the end was set to",
        (),
    ),
)
