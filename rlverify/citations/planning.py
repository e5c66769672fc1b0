"""Reports on planning in known models: dynamic programming, and the comparison of policies."""

from rlverify.citations.record import Citation

ENTRIES = (
    Citation(
        "P1",
        "end-is-gone-through",
        "adds the value of what follows an end: a terminal state is worth what V says, not 0",
        ("lazyprogrammer/machine_learning_examples#13", "walkinglabs/hands-on-modern-rl#54"),
    ),
    Citation(
        "P2",
        "planning-without-discount",
        "does not pass the discount on, so that later rewards count in full",
        ("kevin-hanselman/grid-world-rl#1",),
    ),
    Citation(
        "P3",
        "reward-of-the-end-dropped",
        "masks the whole target of a step that ends, its reward too, not what follows alone",
    ),
    Citation(
        "P4",
        "change-taken-for-error",
        "stops where the last change is within the tolerance (a) or below it (b); the error may be "
        "γ/(1−γ) times that",
        ("sawcordwell/pymdptoolbox#14", "sawcordwell/pymdptoolbox#39"),
    ),
    Citation(
        "P5",
        "transition-transposed",
        "reads the table as P[next state, action, state]",
    ),
    Citation(
        "P6",
        "backs-up-the-state-itself",
        "adds the value of the state it is in for that of the state it goes to",
        ("aimacode/aima-python#16",),
    ),
    Citation(
        "P7",
        "stable-flag-inverted",
        "takes a policy for stable where it changed",
        ("llSourcell/navigating_a_virtual_world_with_dynamic_programming#3",),
    ),
    Citation(
        "P8",
        "visitation-normalised",
        "takes d that sums to 1 where Σ γᵗ P(sₜ = s) is wanted: a factor 1−γ is lost",
    ),
    Citation(
        "P9",
        "visits-without-the-first",
        "counts states as they are entered, so that the first one is not counted",
    ),
    Citation(
        "P10",
        "visits-flow-backwards",
        "propagates visits with P instead of its transpose, as values are",
        ("yrlu/irl-imitation#1",),
    ),
    Citation(
        "P11",
        "residual-of-some-states",
        "leaves states out of the change that decides when to stop, so that it stops before what "
        "they are worth has reached the others",
        ("jsboige/CoursIA#14836",),
    ),
    Citation(
        "P12",
        "last-successor-only",
        "assigns where it should add up, so that only the last of several successors counts",
        ("dennybritz/reinforcement-learning#5",),
    ),
    Citation(
        "P13",
        "greedy-over-states",
        "takes the maximum over the wrong axis",
    ),
    Citation(
        "P14",
        "ties-share-more-than-there-is",
        "gives every one of several best actions probability 1",
    ),
    Citation(
        "P15",
        "threshold-built-in",
        "stops at a threshold of its own, whatever the tolerance and the size of the rewards",
    ),
    Citation(
        "P16",
        "evaluation-cut-short",
        "takes the values of a few sweeps for those of the policy when it decides that it is best",
    ),
    Citation(
        "P17",
        "average-for-maximum",
        "backs up the average over actions, so that it evaluates the even policy",
    ),
    Citation(
        "P18",
        "visitation-of-the-other-policy",
        "weights by the visits of the old policy where those of the new are meant, or conversely",
    ),
    Citation(
        "P19",
        "advantages-of-the-other-policy",
        "takes the advantages of the new policy where those of the old are meant",
    ),
    Citation(
        "P20",
        "values-for-advantages",
        "weights action values where advantages are meant, so that the old policy gains something",
    ),
    Citation(
        "P21",
        "bound-with-one-horizon",
        "divides by 1−γ, not by its square",
    ),
    Citation(
        "P22",
        "mean-divergence-for-greatest",
        "takes the mean of the divergences over states; the theorem needs the greatest",
    ),
    Citation(
        "P23",
        "sign-of-advantages-kept",
        "takes the greatest advantage, not the greatest in size",
    ),
    Citation(
        "P24",
        "uniform-policy-evaluated",
        "evaluates the even policy whatever policy it was given",
    ),
    Citation(
        "P25",
        "cross-entropy-for-divergence",
        "takes −Σ π_old log π for the divergence: the entropy of the old policy is left in it",
    ),
)
