"""Reports on whole updates: the rest of families E and L, and U."""

from rlverify.citations.record import Citation

ENTRIES = (
    Citation(
        "E8",
        "normalised-not-used",
        "normalises the advantages and hands the raw ones to the loss, whose scale then is that "
        "of the rewards",
        ("openai/baselines#64",),
    ),
    Citation(
        "E15",
        "normalised-twice",
        "normalises advantages that are normalised already",
        ("axon-rl/gem#113", "leggedrobotics/rsl_rl@1e61178"),
    ),
    Citation(
        "E26",
        "loss-not-scaled-by-mini-batch",
        "adds up the critic's loss where a mean is meant: its weight follows the size of the "
        "mini-batch",
        ("AechPro/rlgym-ppo#28",),
    ),
    Citation(
        "E29",
        "stopped-after-the-step",
        "looks at the divergence after the step, so the step that goes too far is taken",
        ("DLR-RM/stable-baselines3#419", "kashif/firedup#3"),
    ),
    Citation(
        "E31",
        "old-policy-overwritten",
        "compares the policy with itself: what the old one said was overwritten before it was "
        "read, and the divergence is 0",
        ("pytorch/rl#1922",),
    ),
    Citation(
        "E47",
        "parameters-not-optimised",
        "hands the optimiser some of the parameters only; the others never move",
        ("leggedrobotics/rsl_rl@750e845",),
    ),
    Citation(
        "L10",
        "left-over-dropped",
        "drops the samples that are left over when a batch is cut into mini-batches",
        ("ikostrikov/pytorch-a2c-ppo-acktr-gail@ecb83f7",),
    ),
    Citation(
        "U1",
        "rows-out-of-step",
        "shuffles the samples and leaves what belongs to them in its old order",
        (),
    ),
    Citation(
        "U2",
        "moments-forgotten",
        "makes the optimiser anew for every step, so it remembers nothing",
        (),
    ),
)
