"""Replay buffers as libraries have them: filled with a recording, then read by age.

What `check` judges is a function, so each buffer is filled and read by one: row by row, the
oldest that is kept is pick 0.
"""

import numpy as np


class Ring:
    """Arrays that are written round and round."""

    def __init__(self, rows, columns, components):
        self.rows, self.pos, self.full = rows, 0, False
        self.obs = np.zeros((rows, columns, components))
        self.next_obs = np.zeros((rows, columns, components))
        self.actions = np.zeros((rows, columns), dtype=np.int64)
        self.rewards = np.zeros((rows, columns))
        self.dones = np.zeros((rows, columns), dtype=bool)

    def add(self, obs, action, reward, next_obs, done):
        """Write a row at the pointer."""
        i = self.pos
        self.obs[i], self.actions[i], self.rewards[i] = obs, action, reward
        self.next_obs[i], self.dones[i] = next_obs, done
        self.pos = (i + 1) % self.rows
        self.full = self.full or self.pos == 0

    def places(self, picks):
        """Return rows and columns of picks, the oldest row first."""
        columns = self.rewards.shape[1]
        first = self.pos if self.full else 0
        return (first + picks // columns) % self.rows, picks % columns

    def following(self, i):
        """Return the next observations of rows."""
        return self.next_obs[i]


class NextRow(Ring):
    """Takes the next row's observation for the next observation."""

    def following(self, i):
        """Return the rows after, but for the newest."""
        newest = (self.pos - 1) % self.rows
        return np.where(
            (i == newest)[:, None, None], self.next_obs[i], self.obs[(i + 1) % self.rows]
        )


class NextRowButEnds(Ring):
    """Keeps next observations where episodes end, and forgets that the newest row has no next."""

    def __init__(self, rows, columns, components):
        super().__init__(rows, columns, components)
        self.ends = np.zeros((rows, columns), dtype=bool)

    def end(self, ended):
        """Note where the row that was just written ended an episode."""
        self.ends[(self.pos - 1) % self.rows] = ended

    def following(self, i):
        """Return the rows after, round the ring."""
        return np.where(self.ends[i][:, :, None], self.next_obs[i], self.obs[(i + 1) % self.rows])


def read(ring, picks):
    """Return what stands at picks."""
    i, column = ring.places(picks)
    following = ring.following(i)[np.arange(len(i)), column]
    return (
        ring.obs[i, column],
        ring.actions[i, column],
        ring.rewards[i, column],
        following,
        (ring.dones[i, column]),
    )


def filled(kind, recording, rows):
    """Return a buffer that a recording has been pushed to."""
    obs, actions, rewards, next_obs, dones = recording
    ring = kind(rows, *obs.shape[1:])
    for t in range(len(rewards)):
        ring.add(obs[t], actions[t], rewards[t], next_obs[t], dones[t])
    return ring


def both_stored(obs, actions, rewards, next_obs, terminations, picks, rows):
    """Keep both observations, as Spinning Up and CleanRL."""
    return read(filled(Ring, (obs, actions, rewards, next_obs, terminations), rows), picks)


def timeouts(obs, actions, rewards, next_obs, dones, truncations, picks, rows):
    """Store done where it is no time limit, as Stable-Baselines3."""
    ended = dones & ~truncations
    return read(filled(Ring, (obs, actions, rewards, next_obs, ended), rows), picks)


def in_lists(obs, actions, rewards, next_obs, terminations, picks, rows):
    """Keep a deque of transitions, as the tutorial of PyTorch."""
    kept = [
        tuple(array[t, b] for array in (obs, actions, rewards, next_obs, terminations))
        for t in range(len(rewards))
        for b in range(rewards.shape[1])
    ][-rows * rewards.shape[1] :]
    batch = [kept[k] for k in picks]
    return tuple(np.array([item[j] for item in batch]) for j in range(5))


def one_buffer_each(obs, actions, rewards, next_obs, terminations, picks, rows):
    """Keep a buffer for each environment, one behind the other, as Tianshou."""
    kept = min(len(rewards), rows)
    arrays = (obs, actions, rewards, next_obs, terminations)
    joined = [np.concatenate(list(array[-kept:].swapaxes(0, 1))) for array in arrays]
    return tuple(array[picks] for array in joined)


def next_row(obs, actions, rewards, next_obs, terminations, picks, rows):
    """Take the next row for the next observation, as Stable-Baselines3 to save memory."""
    return read(filled(NextRow, (obs, actions, rewards, next_obs, terminations), rows), picks)


def next_slot(obs, actions, rewards, next_obs, terminations, truncations, picks, rows):
    """Take the next slot of the ring, at the write pointer too."""
    ring = NextRowButEnds(rows, *obs.shape[1:])
    for t in range(len(rewards)):
        ring.add(obs[t], actions[t], rewards[t], next_obs[t], terminations[t])
        ring.end(terminations[t] | truncations[t])
    return read(ring, picks)


def next_slot_always(obs, actions, rewards, next_obs, terminations, picks, rows):
    """Take the next slot of the ring, whatever stands there, as LeRobot once did."""
    ring = filled(NextRowButEnds, (obs, actions, rewards, next_obs, terminations), rows)
    return read(ring, picks)


def time_limit_ends(obs, actions, rewards, next_obs, terminations, truncations, picks, rows):
    """Store one flag for both."""
    ended = terminations | truncations
    return read(filled(Ring, (obs, actions, rewards, next_obs, ended), rows), picks)


def reward_before(obs, actions, rewards, next_obs, terminations, picks, rows):
    """Store the reward of the step before."""
    earlier = np.roll(rewards, 1, axis=0)
    return read(filled(Ring, (obs, actions, earlier, next_obs, terminations), rows), picks)
