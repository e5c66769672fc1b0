"""Running moments as people write them: functions, a class, a loop over samples."""

import numpy as np
import torch


def from_moments(mean, var, count, batch_mean, batch_var, batch_count):
    """Join two streams as baselines does."""
    delta, tot_count = batch_mean - mean, count + batch_count
    new_mean = mean + delta * batch_count / tot_count
    m2 = var * count + batch_var * batch_count + delta**2 * count * batch_count / tot_count
    new_var = m2 / tot_count
    return new_mean, new_var, tot_count


class RunningMeanStd:
    """A state with a method, as in baselines, Gymnasium, CleanRL and Stable-Baselines3."""

    def __init__(self, epsilon=1e-4, shape=()):
        self.mean = np.zeros(shape, "float64")
        self.var = np.ones(shape, "float64")
        self.count = epsilon

    def update(self, x):
        """Take a batch in."""
        self.update_from_moments(np.mean(x, axis=0), np.var(x, axis=0), x.shape[0])

    def update_from_moments(self, batch_mean, batch_var, batch_count):
        """Take moments in."""
        self.mean, self.var, self.count = from_moments(
            self.mean, self.var, self.count, batch_mean, batch_var, batch_count
        )


class TorchMoments(torch.nn.Module):
    """Buffers of a module, as rl_games and rsl_rl keep them."""

    def __init__(self, shape):
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("running_var", torch.ones(shape, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    def update(self, x):
        """Take a batch in."""
        total = self.count + x.shape[0]
        delta = x.mean(0) - self.running_mean
        spread = self.running_var * self.count + x.var(0, correction=0) * x.shape[0]
        self.running_var = (spread + delta**2 * self.count * x.shape[0] / total) / total
        self.running_mean = self.running_mean + delta * x.shape[0] / total
        self.count = total


class Welford:
    """One sample after another, with the sum of squares as state."""

    def __init__(self, shape):
        self.n = 0
        self.mean = np.zeros(shape)
        self.m2 = np.zeros(shape)

    def update(self, x):
        """Take rows in."""
        for row in x:
            self.n = self.n + 1
            delta = row - self.mean
            self.mean = self.mean + delta / self.n
            self.m2 = self.m2 + delta * (row - self.mean)

    @property
    def var(self):
        """The population variance."""
        return self.m2 / np.maximum(self.n, 1)

    @var.setter
    def var(self, value):
        self.m2 = value * self.n


def update(count, mean, var, x):
    """Have the state go through arguments and results."""
    mean, var, count = from_moments(mean, var, count, x.mean(0), x.var(0), len(x))
    return count, mean, var


def sum_of_squares(count, mean, m2, x):
    """Carry M₂ instead of the variance."""
    total = count + len(x)
    delta = x.mean(0) - mean
    m2 = m2 + ((x - x.mean(0)) ** 2).sum(0) + delta**2 * count * len(x) / total
    return total, mean + delta * len(x) / total, m2


class CountedOnce(RunningMeanStd):
    """Counts a batch as one sample."""

    def update(self, x):
        """Take a batch in."""
        self.update_from_moments(np.mean(x, axis=0), np.var(x, axis=0) * len(x), 1)


class Overwritten(RunningMeanStd):
    """Forgets the variance of what came before."""

    def update(self, x):
        """Take a batch in."""
        self.var = 0 * self.var
        super().update(x)


class MeanForVariance(RunningMeanStd):
    """Stores the mean as the variance."""

    def update(self, x):
        """Take a batch in."""
        super().update(x)
        self.var = self.mean.copy()


class NoDistance(RunningMeanStd):
    """Forgets how far apart the means are."""

    def update(self, x):
        """Take a batch in."""
        total = self.count + len(x)
        self.var = (self.var * self.count + x.var(0) * len(x)) / total
        self.mean = self.mean + (x.mean(0) - self.mean) * len(x) / total
        self.count = total


class Naive(RunningMeanStd):
    """Takes the variance of a batch as E[x²] − E[x]²."""

    def update(self, x):
        """Take a batch in."""
        mean = x.mean(0)
        self.update_from_moments(mean, (x**2).mean(0) - mean**2, len(x))


def normalized(obs, running_mean, running_var, epsilon, clip_obs):
    """Put ε under the root, as Stable-Baselines3 and Gymnasium."""
    scaled = (obs - running_mean) / np.sqrt(running_var + epsilon)
    return np.clip(scaled, -clip_obs, clip_obs)


def normalized_beside(obs, running_mean, running_var, epsilon, clip_obs):
    """Add ε to the deviation, as rsl_rl."""
    scaled = (obs - running_mean) / (np.sqrt(running_var) + epsilon)
    return np.clip(scaled, -clip_obs, clip_obs)


def normalized_by_variance(obs, running_mean, running_var, epsilon, clip_obs):
    """Forget the root."""
    return np.clip((obs - running_mean) / (running_var + epsilon), -clip_obs, clip_obs)


def normalized_by_itself(obs, running_mean, running_var, epsilon, clip_obs):
    """Use the moments of the batch at hand."""
    scaled = (obs - obs.mean(0)) / np.sqrt(obs.var(0) + epsilon)
    return np.clip(scaled, -clip_obs, clip_obs)


def normalized_without_epsilon(obs, running_mean, running_var, epsilon, clip_obs):
    """Divide by the deviation alone."""
    return np.clip((obs - running_mean) / np.sqrt(running_var), -clip_obs, clip_obs)


def _scaled(
    rewards, done, returns, count, mean, var, gamma, eps, clip, *, before=False, after=True
):
    returns, out = returns.copy(), np.empty_like(rewards)
    for t in range(len(rewards)):
        if before:
            returns = np.where(done[t], 0.0, returns * gamma + rewards[t])
        else:
            returns = returns * gamma + rewards[t]
        moments = returns.mean(), returns.var(), len(returns)
        mean, var, count = from_moments(mean, var, count, *moments)
        out[t] = np.clip(rewards[t] / np.sqrt(var + eps), -clip, clip)
        if after:
            returns = np.where(done[t], 0.0, returns)
    return out, returns, count, mean, var


def reward_scaling(rewards, dones, returns, count, mean, variance, gamma, eps, clip):
    """Divide by the deviation of the running return, as VecNormalize."""
    return _scaled(rewards, dones, returns, count, mean, variance, gamma, eps, clip)


def reward_scaling_endless(rewards, dones, returns, count, mean, variance, gamma, eps, clip):
    """Never start the return anew."""
    return _scaled(rewards, dones, returns, count, mean, variance, gamma, eps, clip, after=False)


def reward_scaling_early(rewards, dones, returns, count, mean, variance, gamma, eps, clip):
    """Start the return anew before it is counted."""
    return _scaled(rewards, dones, returns, count, mean, variance, gamma, eps, clip, before=True)
