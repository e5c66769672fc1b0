"""Tokenization: a task on sequences of tokens whose answers can be checked.

The vocabulary has eight tokens: the digits 0 to 6 and one that ends the response. A prompt is a
first digit and a count n from 0 to 11; the right response counts up from the digit, n tokens
modulo 7, and then ends:

    prompt (5, 3)      response 5 6 0 end

The reward is the share of the right response, from its beginning, that the response got right:
5 6 0 end earns 4/4 = 1, the most there is; 5 6 end 2/4; 5 6 0 1 3/4, because it should have
ended. A policy that counts and never ends earns 0.74 on average: for more it has to learn where
to stop, of each count by itself.
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
# first digit, count, previous token (nothing before the first), position: one of each is 1
INPUTS = DIGITS + LENGTH + VOCABULARY + LENGTH

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
    prompts: Int[np.ndarray, "M 2"], previous: Int[np.ndarray, "M"], position: int
) -> Float[np.ndarray, "M I"]:
    """Return what the policy sees before a token; `previous` is END before the first."""
    rows = np.arange(len(prompts))
    found = np.zeros((len(prompts), INPUTS))
    found[rows, prompts[:, 0]] = 1
    found[rows, DIGITS + prompts[:, 1]] = 1
    found[rows, DIGITS + LENGTH + previous] = 1
    found[:, DIGITS + LENGTH + VOCABULARY + position] = 1
    return found


def rewards_of(
    prompts: Int[np.ndarray, "M 2"], tokens: Int[np.ndarray, "M L"], mask: Bool[np.ndarray, "M L"]
) -> Float[np.ndarray, "M"]:
    """Return how many tokens of each response are right, as a share of the longer response."""
    first, count = prompts[:, :1], prompts[:, 1:]
    following = np.concatenate([first, (tokens[:, :-1] + 1) % DIGITS], axis=1)
    places = np.arange(LENGTH)
    wanted = np.where(places < count, following, END)
    right = (tokens == wanted) & mask & (places <= count)
    share: np.ndarray = right.sum(axis=1) / np.maximum(mask.sum(axis=1), prompts[:, 1] + 1)
    return share


def responses(
    prompter: Prompter, actor: Actor, generator: np.random.Generator, prompts: int, group: int
) -> Responses:
    """Sample a group of responses to each of some prompts."""
    asked = np.stack(
        [generator.integers(0, DIGITS, prompts), generator.integers(0, LENGTH, prompts)], axis=1
    )
    group_ids = np.repeat(np.arange(prompts), group)
    asked = asked[group_ids]
    count = len(asked)
    noise = generator.random((LENGTH, count))
    inputs = np.zeros((count, LENGTH, INPUTS))
    tokens = np.zeros((count, LENGTH), dtype=np.int64)
    mask = np.zeros((count, LENGTH), dtype=np.bool_)
    previous, going = np.full(count, END), np.ones(count, dtype=np.bool_)
    for position in range(LENGTH):
        seen = features(asked, previous, position)
        previous = actor.act(seen, noise[position])
        inputs[going, position] = seen[going]
        tokens[going, position] = previous[going]
        mask[:, position] = going
        going = going & (previous != END)
        # a response that has ended is no longer looked at; any digit does
        previous = np.where(going, previous, 0)
    rewards = rewards_of(asked, tokens, mask)
    prompter.steps += int(mask.sum())
    judged = zip(rewards.tolist(), mask.sum(axis=1).tolist(), strict=True)
    prompter.ended += [Episode(prompter.steps, *pair) for pair in judged]
    return Responses(inputs, tokens, mask, rewards, group_ids)
