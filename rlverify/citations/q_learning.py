"""Reports on Q-learning and replay: families H and I, B9, and Q."""

from rlverify.citations.record import Citation

ENTRIES = (
    Citation(
        "H1",
        "target-of-the-online-network",
        "takes the value from the network that learns, where the target network is meant",
        ("facebookresearch/ReAgent#88", "exalearn/EXARL#247", "vwxyzjn/cleanrl@8fc71147"),
    ),
    Citation(
        "H2",
        "double-q-networks-exchanged",
        "lets the target network pick the action, which is what double Q-learning avoids",
        ("higgsfield/RL-Adventure#5", "chainer/chainerrl#567"),
    ),
    Citation(
        "H3",
        "action-of-another-step",
        "evaluates the action that was chosen in another state",
        ("ray-project/ray#5731",),
    ),
    Citation(
        "H4",
        "illegal-action-in-the-bootstrap",
        "masks actions when acting, and not in the maximum over the next state",
        ("thu-ml/tianshou#310",),
    ),
    Citation(
        "H6",
        "gradient-through-the-target",
        "lets the gradient run through the target too: the mean square of the errors is followed, "
        "which no Q-learning is meant to do",
        ("philtabor/Deep-Q-Learning-Paper-To-Code#9", "datawhalechina/easy-rl#117"),
    ),
    Citation(
        "H8",
        "tau-reversed",
        "takes τ as the share of the old where it is the share of the new: the target network "
        "is nearly copied at every step",
        (),
    ),
    Citation(
        "H10",
        "target-never-updated",
        "leaves the target network as it is",
        ("pytorch/rl#1186", "DLR-RM/stable-baselines3#996"),
    ),
    Citation(
        "H21",
        "terminal-value-multiplied-away",
        "multiplies what follows an end by 0, where no action need be legal: the greatest of no "
        "values is −∞, and 0 times that is NaN",
        ("anthonytorlucci/rlevo#357", "pytorch/rl@c8676f4a8"),
    ),
    Citation(
        "H31",
        "terminal-value-used",
        "bootstraps from the state that ended the episode, whose value no target ever trains",
        ("navneet-nmk/pytorch-rl#2", "seungeunrho/minimalRL#21"),
    ),
    Citation(
        "Q1",
        "reward-discounted-too",
        "discounts the reward of the transition together with what follows",
        (),
    ),
    Citation(
        "Q2",
        "maximum-over-the-batch",
        "takes the maximum over all that was handed over, not over the actions of each state",
        (),
    ),
    Citation(
        "Q3",
        "target-of-the-wrong-policy",
        "takes the greatest value where the action taken, or the policy, decides, or the "
        "other way round",
        (),
    ),
    Citation(
        "Q4",
        "huber-pieces-wrong",
        "puts Huber's loss together from pieces that do not meet: another slope or offset "
        "beyond δ, or the pieces exchanged",
        ("tensorforce/tensorforce#139",),
    ),
    Citation(
        "Q5",
        "error-clipped-before-squaring",
        "clips the error and squares it: beyond δ the gradient is 0, where ±δ was meant",
        ("devsisters/DQN-tensorflow#16", "spragunr/deep_q_rl#46"),
    ),
    Citation(
        "Q6",
        "online-added-without-decay",
        "adds τ times the new without taking that share off the old",
        (),
    ),
    Citation(
        "Q7",
        "updates-lost",
        "computes all updates from the table as it was, so that of two visits of one pair only "
        "one counts",
        (),
    ),
    Citation(
        "Q8",
        "maximum-of-the-same-state",
        "takes the greatest value of the state that was left, not of the one that was reached",
        (),
    ),
    Citation(
        "Q9",
        "old-value-not-taken-off",
        "adds a share of the target where one of the error is meant, or takes the wrong share",
        (),
    ),
    Citation(
        "Q10",
        "cells-collide",
        "numbers the cells of a grid so that different ones get one number, or looks a component "
        "up among the edges of another",
        (),
    ),
    Citation(
        "Q11",
        "whole-row-updated",
        "moves the values of all actions of a state, where one was taken",
        (),
    ),
    Citation(
        "B9",
        "truncation-stored-as-termination",
        "keeps one flag for both, so that targets drop the value of the state at a time limit",
        ("anthonytorlucci/rlevo#170",),
    ),
    Citation(
        "I1",
        "next-observation-of-the-reset",
        "takes the next row for the next observation where an episode was cut: it is the "
        "observation after the reset",
        ("DLR-RM/stable-baselines3#934", "vwxyzjn/cleanrl#460"),
    ),
    Citation(
        "I2",
        "next-observation-at-the-write-pointer",
        "takes the next row for the next observation of the newest one: it is the oldest, or "
        "has never been written",
        ("huggingface/lerobot#918", "tensorforce/tensorforce#142"),
    ),
    Citation(
        "I9",
        "window-one-row-late",
        "reads one row behind the write pointer: misses the newest, and reads one that is lost",
        (),
    ),
)
