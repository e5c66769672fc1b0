"""Public reports of the mistakes that the known bugs reproduce.

One entry a mistake, by the id under which the contracts edit it into their references.
Everything is told in our words; the link is to a thread or commit where it really happened.
"""

from rlverify.citations import (
    estimators,
    grpo,
    losses,
    networks,
    normalization,
    optimizers,
    policies,
    ppo,
    returns,
)
from rlverify.citations.record import Citation

__all__ = ["CITATIONS", "LEFT_OUT", "Citation", "citation"]

CITATIONS: dict[str, Citation] = {
    entry.id: entry
    for module in (
        returns,
        policies,
        losses,
        networks,
        estimators,
        ppo,
        grpo,
        normalization,
        optimizers,
    )
    for entry in module.ENTRIES
}

# entries of the same families that no edit of these functions can express, and why
LEFT_OUT = {
    "A15": "a convention (brax: no λ in the first link); it is inferred and named as one",
    "A23": "a recurrent critic advanced by the bootstrap call; these functions call no critic",
    "B3": "the same edit as A17: the value after the reset is V of step t + 1",
    "B7": "the rollout buffer stores the done mask as the time-limit mask; the same edit as B1",
    "B8": "a reset row that is trained on; the recording excludes it, with a test",
    "B9": "a replay target; it belongs to q_learning",
    "B10": "a wrapper that the final observation bypasses; no estimator is involved",
    "B11": "an actor fed with the final observation; no estimator is involved",
    "C19": "normalised and real values mixed in a clipped loss: what a program passes on",
    "D15": "the entropy added to the reward: another objective; no loss here takes rewards",
    "D19": "the entropy of heads that are not used; no policy here has several",
    "E14-E17": "over which batch, and in which branch, a program normalises",
    "E22": "a convention (the squared error is clamped); it is inferred and named as one",
    "E23": "one range for ratios and values: what a program passes on",
    "E24": "a convention (with ½ or without); it is inferred and named as one",
    "E25": "a convention (a sum, or a mean); a loss that is no number is refused by its shape",
    "E26": "the loss of a mini-batch that is not scaled; of whole updates",
    "E29": "the early stop after the step; of whole updates",
    "E31": "the old distribution overwritten before it is read; of whole updates",
    "E40-E42": "recurrent replay: of whole updates",
    "E44-E47": "resampling, samplers and optimisers: of whole updates",
    "J9": "the same edit as J8: a return that no reward was earned for is counted",
    "J12": "an action mask inside the observation: what a program passes on",
    "J14": "a convention (where ε stands); it is inferred and named as one",
    "K2": "no reference policy where β is 0: a crash; both twins leave it unread, with a test",
    "K3": "the gradient of a right value: what k1 and k3 are in the mean; a test states it",
    "K7": "the log-ratio clamped against overflow: a convention; it is inferred and named as one",
    "K8": "a difference taken in bfloat16: a rounding, which the bound of bfloat16 catches",
    "K13": "the same edit as L2: the own return in the mean of the others",
    "K29": "log-probabilities of a filtered sampler: what a program hands over",
    "K32": "means of means over ranks; the same edit as K17",
    "K33": "the scale of the critic's loss: of whole updates",
    "L1": "a convention (with γᵗ or without); it is inferred and named as one",
    "L6": "a convention (the size of Adam's ε), which every call states",
    "L10": "what is left over when a batch is cut up; no loop over batches is here",
}


def citation(bug_id: str) -> Citation:
    """Return the report behind a known bug; variants such as `A22a` share one."""
    return CITATIONS[bug_id.rstrip("abcdefgh")]
