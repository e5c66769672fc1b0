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
    Citation(
        "L7",
        "orthogonal-init",
        "orthogonalises the wrong side of a matrix with more columns than rows, or loses or "
        "repeats the gain",
        ("ikostrikov/pytorch-a2c-ppo-acktr-gail@ef5880f",),
    ),
    Citation(
        "O3",
        "normalised-not-orthogonal",
        "gives the vectors their length and leaves the angles between them",
        (),
    ),
    Citation(
        "O4",
        "signs-on-the-wrong-side",
        "corrects the signs of the rows of Q, where they belong to its columns",
        (),
    ),
    Citation(
        "O5",
        "plain-normal",
        "scales the normal numbers by the gain and orthogonalises nothing",
        (),
    ),
)
