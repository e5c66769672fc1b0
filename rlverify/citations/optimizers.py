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
        "clamps the value at its end from below, which holds it only where it falls",
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
    Citation(
        "L5",
        "rmsprop-eps-placement",
        "puts ε beside the root where it belongs under it, or the reverse",
        (
            "DLR-RM/stable-baselines3#110",
            "pytorch/pytorch#23796",
        ),
    ),
    Citation(
        "E38",
        "grad-clip-wrong-parameters",
        "takes the norm over a part of the parameters",
        ("thu-ml/tianshou#46",),
    ),
    Citation(
        "E39",
        "grad-clip-without-effect",
        "clips when it is too late, and the step takes the gradients as they were",
        (),
    ),
    Citation(
        "O6",
        "uphill",
        "adds the step, which makes the loss larger",
        (),
    ),
    Citation(
        "O7",
        "velocity-of-before",
        "steps with the velocity from before the gradient came",
        (),
    ),
    Citation(
        "O8",
        "velocity-forgotten",
        "keeps nothing of the velocity",
        (),
    ),
    Citation(
        "O9",
        "decayed-twice",
        "shrinks the parameters at every step, where nobody asked for a decay of weights",
        (),
    ),
    Citation(
        "O10",
        "moments-not-corrected",
        "leaves out a correction for the empty start",
        (),
    ),
    Citation(
        "O11",
        "root-left-out",
        "divides by the mean square rather than by its root",
        (),
    ),
    Citation(
        "O12",
        "square-of-the-mean",
        "squares the mean of the gradients, where the mean of their squares is meant",
        (),
    ),
    Citation(
        "O13",
        "new-not-weighed",
        "adds the new to a running mean without its weight 1 − β",
        (),
    ),
    Citation(
        "O14",
        "one-for-all",
        "takes one mean square for all parameters",
        (),
    ),
    Citation(
        "O15",
        "clipped-by-value",
        "clips every element, which turns the direction",
        (),
    ),
    Citation(
        "O16",
        "always-normalised",
        "makes short gradients longer too",
        (),
    ),
    Citation(
        "O17",
        "norm-without-root",
        "takes the sum of squares for the norm",
        (),
    ),
    Citation(
        "O18",
        "unit-norm",
        "scales to norm 1 instead of max_norm",
        (),
    ),
)
