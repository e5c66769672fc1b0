"""Steps of optimisers, clipping, schedules and initial weights, as people write them."""

import math

import numpy as np
import torch


def adam(params, grads, m, v, t, lr, beta1, beta2, eps):
    """Follow algorithm 1 of the paper, as torch."""
    m = beta1 * m + (1 - beta1) * grads
    v = beta2 * v + (1 - beta2) * grads**2
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return params - lr * m_hat / (torch.sqrt(v_hat) + eps), m, v


def torchs_adam(parameters, gradients, first, second, count, learning_rate, beta1, beta2, eps):
    """Let torch.optim.Adam take the step."""
    weights = torch.nn.Parameter(parameters.clone())
    knobs = {"lr": learning_rate, "betas": (beta1, beta2), "eps": eps}
    optimiser = torch.optim.Adam([weights], **knobs)
    state = optimiser.state[weights]
    state["step"] = torch.tensor(float(count - 1))
    state["exp_avg"], state["exp_avg_sq"] = first.clone(), second.clone()
    weights.grad = gradients.clone()
    optimiser.step()
    return weights.detach(), state["exp_avg"], state["exp_avg_sq"]


def mpi_adam(theta, g, m, v, t, stepsize, beta1, beta2, epsilon):
    """Put both corrections into the rate, as TensorFlow and baselines."""
    a = stepsize * math.sqrt(1 - beta2**t) / (1 - beta1**t)
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    return theta - a * m / (v.sqrt() + epsilon), m, v


def adam_eps_root(params, grads, mu, nu, count, learning_rate, b1, b2, eps_root):
    """Put ε under the root, as optax can."""
    mu, nu = b1 * mu + (1 - b1) * grads, b2 * nu + (1 - b2) * grads**2
    mu_hat, nu_hat = mu / (1 - b1**count), nu / (1 - b2**count)
    return params - learning_rate * mu_hat / torch.sqrt(nu_hat + eps_root), mu, nu


def adam_from_zero(params, grads, mu, nu, count, learning_rate, b1, b2, eps):
    """Count the steps before this one, as optax's state does."""
    return adam(params, grads, mu, nu, count + 1, learning_rate, b1, b2, eps)


def adam_uncorrected(params, grads, m, v, t, lr, beta1, beta2, eps):
    """Forget both corrections."""
    m = beta1 * m + (1 - beta1) * grads
    v = beta2 * v + (1 - beta2) * grads**2
    return params - lr * m / (torch.sqrt(v) + eps), m, v


def adam_uphill(params, grads, m, v, t, lr, beta1, beta2, eps):
    """Climb."""
    return adam(params, grads, m, v, t, -lr, beta1, beta2, eps)


def adam_without_root(params, grads, m, v, t, lr, beta1, beta2, eps):
    """Forget the root."""
    m = beta1 * m + (1 - beta1) * grads
    v = beta2 * v + (1 - beta2) * grads**2
    return params - lr * (m / (1 - beta1**t)) / (v / (1 - beta2**t) + eps), m, v


def rmsprop(params, grads, square_avg, lr, alpha, eps):
    """Add ε to the root, as torch."""
    square_avg = alpha * square_avg + (1 - alpha) * grads**2
    return params - lr * grads / (square_avg.sqrt() + eps), square_avg


def rmsprop_tf_like(params, grads, square_avg, lr, alpha, eps):
    """Put ε under the root, as TensorFlow and Stable-Baselines3's A2C."""
    square_avg = alpha * square_avg + (1 - alpha) * grads * grads
    return params - lr * grads / torch.sqrt(square_avg + eps), square_avg


def rmsprop_either(params, grads, square_avg, lr, alpha, eps, eps_inside):
    """Do as told."""
    step = rmsprop_tf_like if eps_inside else rmsprop
    return step(params, grads, square_avg, lr, alpha, eps)


def rmsprop_deaf_inside(params, grads, square_avg, lr, alpha, eps, eps_inside):
    """Put ε under the root whatever is told."""
    return rmsprop_tf_like(params, grads, square_avg, lr, alpha, eps)


def rmsprop_deaf_outside(params, grads, square_avg, lr, alpha, eps, eps_inside):
    """Add ε to the root whatever is told."""
    return rmsprop(params, grads, square_avg, lr, alpha, eps)


def rmsprop_without_root(params, grads, square_avg, lr, alpha, eps):
    """Forget the root."""
    square_avg = alpha * square_avg + (1 - alpha) * grads**2
    return params - lr * grads / (square_avg + eps), square_avg


def global_norm(grads, clip_norm):
    """Divide by the larger of both norms, as TensorFlow."""
    norm = torch.sqrt((grads**2).sum())
    return grads * clip_norm / torch.clamp(norm, min=clip_norm), norm


def torchs_clipping(grads, max_norm):
    """Let torch clip: it adds 1e-6 to the norm."""
    weights = torch.nn.Parameter(torch.zeros_like(grads))
    weights.grad = grads.clone()
    norm = torch.nn.utils.clip_grad_norm_([weights], max_norm)
    return weights.grad, norm


def always_scaled(grads, max_norm):
    """Scale short gradients up, too."""
    norm = grads.norm()
    return torch.where(norm > 0, grads * max_norm / norm, grads), norm


def by_value(grads, max_norm):
    """Clip each component."""
    return grads.clamp(-max_norm, max_norm), grads.norm()


def first_alone(grads, max_norm):
    """Take the norm of a part of the parameters."""
    norm = grads[:1].norm()
    return torch.where(norm > max_norm, grads * max_norm / norm, grads), norm


def only_measured(grads, max_norm):
    """Measure, and hand back what came."""
    return grads.clone(), grads.norm()


def squared_norm(grads, max_norm):
    """Forget the root."""
    norm = (grads**2).sum()
    return torch.where(norm > max_norm, grads * max_norm / norm, grads), norm


def epsilon_schedule(start_e, end_e, duration, t):
    """Go down a slope to a floor, as CleanRL's DQN: it cannot go up."""
    slope = (end_e - start_e) / duration
    return np.maximum(slope * t + start_e, end_e)


def mixed(t, start, end, steps):
    """Mix both ends."""
    share = np.clip(t / steps, 0.0, 1.0)
    return (1 - share) * start + share * end


def progress_remaining(t, start, end, total_steps):
    """Count down what remains, as Stable-Baselines3."""
    remaining = np.clip(1.0 - t / total_steps, 0.0, 1.0)
    return end + remaining * (start - end)


def annealed(update, num_updates, start):
    """Count updates from 1 and end at 0, as CleanRL's PPO."""
    share = np.clip((update - 1.0) / num_updates, 0.0, 1.0)
    return (1.0 - share) * start


def one_ahead(t, start, end, steps):
    """Be one step ahead."""
    return mixed(t + 1.0, start, end, steps)


def never(t, start, end, steps):
    """Never anneal."""
    return start + 0 * t


def beyond(t, start, end, steps):
    """Go on past the end."""
    return start + (end - start) * np.maximum(t, 0) / steps


def staircase(t, start, end, steps):
    """Divide integers."""
    return mixed(np.floor(t / steps) * steps, start, end, steps)


def qr(normals, gain):
    """Factorise the tall side and make the signs unique, as torch."""
    rows, columns = normals.shape
    q, r = torch.linalg.qr(normals.T if rows < columns else normals)
    q = q * torch.diagonal(r).sign()
    return gain * (q.T.contiguous() if rows < columns else q)


def qr_as_it_comes(normals, gain):
    """Leave the signs to the library."""
    rows, columns = normals.shape
    q, _ = np.linalg.qr(normals.T if rows < columns else normals)
    return gain * (q.T.copy() if rows < columns else q)


def qr_reshaped(normals, gain):
    """Reshape where it should transpose."""
    rows, columns = normals.shape
    q, r = torch.linalg.qr(normals.T if rows < columns else normals)
    return gain * (q * torch.diagonal(r).sign()).reshape(rows, columns)


def qr_without_gain(normals, gain):
    """Forget the gain."""
    return qr(normals, 1.0)


def qr_gain_squared(normals, gain):
    """Apply the gain twice."""
    return qr(normals, gain) * gain


def unit_columns(normals, gain):
    """Normalise each vector alone."""
    rows, columns = normals.shape
    axis = 1 if rows < columns else 0
    return gain * normals / normals.norm(dim=axis, keepdim=True)


def svd(normals, gain):
    """Take singular vectors, as baselines and Lasagne."""
    u, _, v = np.linalg.svd(normals, full_matrices=False)
    return gain * (u if u.shape == normals.shape else v)
