"""Tokenization: a task on sequences of tokens whose answers can be checked.

The vocabulary has eight tokens: the digits 0 to 6 and one that ends the response. A prompt is a
count n from 0 to 11 and a digit; the right response goes on counting from the digit, n tokens
modulo 7, and then ends:

    prompt 4, 5      response 6 0 1 2 end

A token is right if it follows the one before it, or ends where the count is reached. The reward
is how many are right, as a share of the response or of the right response, whichever is longer:
6 0 1 2 end earns 5/5 = 1, the most there is; 6 0 end 2/5; 6 0 2 3 end 4/5, because 2 does not
follow 0. A policy that counts and never ends earns 0.46 on average: for more it has to learn of
every count by itself where to stop.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from rlverify.training.action import Actor
from rlverify.training.interaction import Episode, Position, Problem

DIGITS = 7
END = DIGITS
VOCABULARY = DIGITS + 1
LENGTH = 12  # of a response, its end included, at most
BEST = 1.0  # the reward of a right response
# count, the token before (the prompt's digit before the first), position: one of each is 1
INPUTS = LENGTH + DIGITS + LENGTH

TOKENS = Problem("tokens", INPUTS, VOCABULARY, "categorical", LENGTH)


class Responses(NamedTuple):
    """M responses of at most L tokens.

    Attributes:
        inputs: what the policy saw before each token, [M, L, I].
        actions: the tokens, [M, L]; 0 after the end.
        mask: the token was really sampled, [M, L]; the end is among them.
        rewards: of each response, [M].
        group_ids: number of the prompt, [M].
    """

    inputs: Float[np.ndarray, "M L I"]
    actions: Int[np.ndarray, "M L"]
    mask: Bool[np.ndarray, "M L"]
    rewards: Float[np.ndarray, "M"]
    group_ids: Int[np.ndarray, "M"]


class Prompter:
    """What asks.

    Attributes:
        steps: how many tokens have been sampled.
        ended: responses that were judged, in their order; whoever reads them empties the list.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.ended: list[Episode] = []

    def position(self) -> Position:
        """Return how far it is, as an array that `restore` takes."""
        return {"steps": np.array(self.steps)}

    def restore(self, position: Position) -> None:
        """Go on from there."""
        self.steps = int(position["steps"])

    def close(self) -> None:
        """Do nothing."""


def features(
    counts: Int[np.ndarray, "M"], previous: Int[np.ndarray, "M"], position: int
) -> Float[np.ndarray, "M I"]:
    """Return what the policy sees before a token."""
    rows = np.arange(len(counts))
    found = np.zeros((len(counts), INPUTS))
    found[rows, counts] = 1
    found[rows, LENGTH + previous] = 1
    found[:, LENGTH + DIGITS + position] = 1
    return found


def rewards_of(
    counts: Int[np.ndarray, "M"],
    digits: Int[np.ndarray, "M"],
    tokens: Int[np.ndarray, "M L"],
    mask: Bool[np.ndarray, "M L"],
) -> Float[np.ndarray, "M"]:
    """Return how many tokens of each response are right, as a share of the longer response."""
    before = np.concatenate([digits[:, None], tokens[:, :-1]], axis=1)
    places, ends = np.arange(LENGTH), counts[:, None]
    wanted = np.where(places < ends, (before + 1) % DIGITS, END)
    right = (tokens == wanted) & mask & (places <= ends)
    share: np.ndarray = right.sum(axis=1) / np.maximum(mask.sum(axis=1), counts + 1)
    return share


def responses(
    prompter: Prompter, actor: Actor, generator: np.random.Generator, prompts: int, group: int
) -> Responses:
    """Sample a group of responses to each of some prompts."""
    group_ids = np.repeat(np.arange(prompts), group)
    counts = generator.integers(0, LENGTH, prompts)[group_ids]
    digits = generator.integers(0, DIGITS, prompts)[group_ids]
    many = len(group_ids)
    noise = generator.random((LENGTH, many))
    inputs = np.zeros((many, LENGTH, INPUTS))
    tokens = np.zeros((many, LENGTH), dtype=np.int64)
    mask = np.zeros((many, LENGTH), dtype=np.bool_)
    previous, going = digits, np.ones(many, dtype=np.bool_)
    for position in range(LENGTH):
        seen = features(counts, previous, position)
        chosen = actor.act(seen, noise[position])
        inputs[going, position] = seen[going]
        tokens[going, position] = chosen[going]
        mask[:, position] = going
        going = going & (chosen != END)
        # a response that has ended is no longer looked at; any digit does
        previous = np.where(going, chosen, 0)
    rewards = rewards_of(counts, digits, tokens, mask)
    prompter.steps += int(mask.sum())
    judged = zip(rewards.tolist(), mask.sum(axis=1).tolist(), strict=True)
    prompter.ended += [Episode(prompter.steps, *pair) for pair in judged]
    return Responses(inputs, tokens, mask, rewards, group_ids)
