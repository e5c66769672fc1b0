"""Reports on traces and off-policy corrections: family G."""

from rlverify.citations.record import Citation

ENTRIES = (
    Citation(
        "G1",
        "advantage-from-next-trajectory",
        "takes the target one row below for that of the next state although the recording was "
        "truncated in between: it belongs to another episode",
        ("pytorch/rl#4209", "pytorch/rl#4210"),
    ),
    Citation(
        "G2",
        "last-step-dropped",
        "corrects nothing at the last recorded step, whose reward is lost",
        ("ray-project/ray#36013", "ray-project/ray#34779"),
    ),
    Citation(
        "G3",
        "bootstrap-from-own-value",
        "bootstraps the last step from the value of the state it left, not of the one it led to",
    ),
    Citation(
        "G4",
        "carry-seeded-with-bootstrap",
        "starts the backward recursion at the last next value, which the last error already "
        "contains",
        ("simonsays1980/rl-triton#4",),
    ),
    Citation(
        "G7",
        "clipping-mistakes",
        "clips the wrong way: from below (a), the logarithm instead of the ratio (b), with ρ̄ and "
        "c̄ exchanged (c), without λ in the coefficient (d), or nothing, everywhere (e) or in the "
        "advantage (f)",
    ),
    Citation(
        "G8",
        "coefficient-shifted-by-one",
        "weights what follows with the coefficient of the wrong step",
        ("google-deepmind/trfl#24",),
    ),
    Citation(
        "G9",
        "ratio-on-first-error",
        "weights the error of step t with the coefficient of step t, although the action is given",
        ("pytorch/rl#4124",),
    ),
    Citation(
        "G11",
        "end-mask-shifted",
        "reads the end flags one step late when it cuts the trace",
        ("opendilab/DI-engine#21",),
    ),
    Citation(
        "G13",
        "ratio-applied-twice",
        "multiplies by the ratio twice in each step",
        ("SlopDotCash/asi#487",),
    ),
    Citation(
        "G14",
        "trace-decays-with-outgoing-discount",
        "lets the trace fade with the discount of the step that leaves the state, 0 at a "
        "termination, instead of the one that led to it",
        ("SlopDotCash/asi#2840", "SlopDotCash/asi#2362", "SlopDotCash/asi#2350"),
    ),
    Citation(
        "G15",
        "trace-not-reset",
        "carries the trace into the next episode: always (a), or after a truncation (b)",
        (
            "mpatacchiola/dissecting-reinforcement-learning#22",
            "MJeremy2017/reinforcement-learning-implementation#4",
            "SlopDotCash/asi#2972",
        ),
    ),
    Citation(
        "G17",
        "ratio-product-range",
        "starts the product of the ratios at the action whose value is estimated, not after it",
        ("LyWangPX/Reinforcement-Learning-2nd-Edition-by-Sutton-Exercise-Solutions#44",),
    ),
)
