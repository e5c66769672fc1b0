"""Public reports of the mistakes that the known bugs reproduce.

One entry a mistake, by the id under which the contracts edit it into their references.
Everything is told in our words; the link is to a thread or commit where it really happened.
"""

from rlverify.citations import (
    estimators,
    grpo,
    losses,
    natural_gradient,
    networks,
    normalization,
    optimizers,
    planning,
    policies,
    ppo,
    q_learning,
    returns,
    traces,
    trpo,
    updates,
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
        natural_gradient,
        ppo,
        grpo,
        normalization,
        optimizers,
        trpo,
        updates,
        planning,
        traces,
        q_learning,
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
    "B10": "a wrapper that the final observation bypasses; no estimator is involved",
    "B11": "an actor fed with the final observation; no estimator is involved",
    "C19": "normalised and real values mixed in a clipped loss: what a program passes on",
    "D15": "the entropy added to the reward: another objective; no loss here takes rewards",
    "D19": "the entropy of heads that are not used; no policy here has several",
    "E14": "the same edit as E8: one branch of a program does not normalise",
    "E16": "a convention (over the mini-batch or the batch); it is inferred and named as one",
    "E17": "moments of several processes put together; an update here runs in one",
    "E22": "a convention (the squared error is clamped); it is inferred and named as one",
    "E23": "a convention (one range for ratios and values); it is inferred and named as one",
    "E24": "a convention (with ½ or without); it is inferred and named as one",
    "E25": "a convention (a sum, or a mean); a loss that is no number is refused by its shape",
    "E40": "a rate that every process sets for itself; an update here runs in one",
    "E41-E42": "the replay of a recurrent policy; the policies of these updates have no memory",
    "E44": "samples drawn before the recursion; an update takes advantages that are ready",
    "E45": "noise that a sampler adds; an update samples nothing",
    "E46": "a NaN that reaches σ through the mean; log σ is a parameter of its own here",
    "F5": "a convention (which way the divergence goes); it is inferred and named as one",
    "F7": "sᵀFs below 0: refused by name, with a test",
    "F15": "advantages that are NaN: refused by name",
    "F16": "a critic that shares the policy's parameters; none here does",
    "F17": "a list of distributions where one is expected; no policy here has several",
    "F19": "a convention (products of a part of the samples): what a program hands over",
    "F20": "what is logged beside an update; its divergence is a result here, with a law",
    "F21": "a convention (the entropy as a part of the objective); the surrogate here has none",
    "G6": "ratios of several action components: a log-ratio comes in as one number",
    "H9": "soft and hard updates in one loop; one function does both, and is called once",
    "H11": "how often a loop updates its target network; no function here counts",
    "H12-H20": "actors of continuous actions (DDPG, TD3, SAC); no function here has one",
    "H22-H28": "distributions of returns, quantiles and expectiles; no function here has them",
    "I4-I5": "prioritised replay; the buffer here draws evenly",
    "I7": "relabelled goals; the buffer here knows none",
    "I8": "another entry of the batch scaled: what a program passes on",
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
    "K33": "the scale of the critic's loss; the same edit as E26",
    "L1": "a convention (with γᵗ or without); it is inferred and named as one",
    "L6": "a convention (the size of Adam's ε), which every call states",
}


def citation(bug_id: str) -> Citation:
    """Return the report behind a known bug; variants such as `A22a` share one."""
    return CITATIONS[bug_id.rstrip("abcdefgh")]
