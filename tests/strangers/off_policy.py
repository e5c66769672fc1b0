"""V-trace and Retrace in the spelling of libraries, and what is got wrong about them.

Flags of one kind are not enough for a truncation: the code of IMPALA and its descendants knows
discounts alone, and cuts a recording there. What takes both flags is judged on both.
"""

import numpy as np
import torch

# V-trace as IMPALA has it: log-ratios, discounts, one bootstrap value


def from_importance_weights(
    log_rhos, discounts, rewards, values, bootstrap_value, clip_rho_threshold,
    clip_pg_rho_threshold,
):  # fmt: skip
    """Clip the trace at 1, as IMPALA's learner and torchbeast."""
    rhos = torch.exp(log_rhos)
    clipped_rhos = torch.clamp(rhos, max=clip_rho_threshold)
    cs = torch.clamp(rhos, max=1.0)
    values_t_plus_1 = torch.cat([values[1:], bootstrap_value.unsqueeze(0)], dim=0)
    deltas = clipped_rhos * (rewards + discounts * values_t_plus_1 - values)
    acc, result = torch.zeros_like(bootstrap_value), []
    for t in range(discounts.shape[0] - 1, -1, -1):
        acc = deltas[t] + discounts[t] * cs[t] * acc
        result.append(acc)
    vs = torch.stack(result[::-1]) + values
    vs_t_plus_1 = torch.cat([vs[1:], bootstrap_value.unsqueeze(0)], dim=0)
    clipped_pg_rhos = torch.clamp(rhos, max=clip_pg_rho_threshold)
    pg_advantages = clipped_pg_rhos * (rewards + discounts * vs_t_plus_1 - values)
    return vs, pg_advantages


def from_log_probs(
    behaviour_action_log_probs, target_action_log_probs, discounts, rewards, values,
    bootstrap_value, clip_rho_threshold, clip_pg_rho_threshold,
):  # fmt: skip
    """Subtract log-probabilities, then the same, as RLlib."""
    log_rhos = target_action_log_probs - behaviour_action_log_probs
    return from_importance_weights(
        log_rhos, discounts, rewards, values, bootstrap_value, clip_rho_threshold,
        clip_pg_rho_threshold,
    )  # fmt: skip


def inverted(
    behaviour_action_log_probs, target_action_log_probs, discounts, rewards, values,
    bootstrap_value, clip_rho_threshold, clip_pg_rho_threshold,
):  # fmt: skip
    """Subtract the other way round."""
    log_rhos = behaviour_action_log_probs - target_action_log_probs
    return from_importance_weights(
        log_rhos, discounts, rewards, values, bootstrap_value, clip_rho_threshold,
        clip_pg_rho_threshold,
    )  # fmt: skip


def last_step_dropped(
    log_rhos, discounts, rewards, values, bootstrap_value, clip_rho_threshold,
    clip_pg_rho_threshold,
):  # fmt: skip
    """Leave the last row's target as its value, as RLlib's vtrace_drop_last_ts."""
    rhos = torch.exp(log_rhos)
    following = torch.cat([values[1:], bootstrap_value.unsqueeze(0)], dim=0)
    deltas = rhos.clamp(max=clip_rho_threshold) * (rewards + discounts * following - values)
    deltas = torch.cat([deltas[:-1], torch.zeros_like(deltas[:1])])
    acc, result = torch.zeros_like(bootstrap_value), []
    for t in range(discounts.shape[0] - 1, -1, -1):
        acc = deltas[t] + discounts[t] * rhos[t].clamp(max=1.0) * acc
        result.append(acc)
    vs = torch.stack(result[::-1]) + values
    later = torch.cat([vs[1:], bootstrap_value.unsqueeze(0)], dim=0)
    return vs, rhos.clamp(max=clip_pg_rho_threshold) * (rewards + discounts * later - values)


def unclipped_policy_gradient(
    log_rhos, discounts, rewards, values, bootstrap_value, clip_rho_threshold,
    clip_pg_rho_threshold,
):  # fmt: skip
    """Take the ratio as it is in the advantage."""
    return from_importance_weights(
        log_rhos, discounts, rewards, values, bootstrap_value, clip_rho_threshold, float("inf")
    )


# V-trace in the names of rlax


def vtrace(v_tm1, v_t, r_t, discount_t, rho_tm1, lambda_, clip_rho_threshold):
    """Return the errors alone, as rlax."""
    c_tm1 = np.minimum(1.0, rho_tm1) * lambda_
    clipped_rhos_tm1 = np.minimum(clip_rho_threshold, rho_tm1)
    td_errors = clipped_rhos_tm1 * (r_t + discount_t * v_t - v_tm1)
    err, errors = np.zeros_like(r_t[0]), np.empty_like(r_t)
    for i in reversed(range(len(r_t))):
        err = td_errors[i] + discount_t[i] * c_tm1[i] * err
        errors[i] = err
    return errors


def vtrace_td_error_and_advantage(
    v_tm1, v_t, r_t, discount_t, rho_tm1, lambda_, clip_rho_threshold, clip_pg_rho_threshold
):
    """Mix the next target with the next value, as rlax."""
    errors = vtrace(v_tm1, v_t, r_t, discount_t, rho_tm1, lambda_, clip_rho_threshold)
    targets_tm1 = errors + v_tm1
    q_bootstrap = np.concatenate(
        [lambda_ * targets_tm1[1:] + (1 - lambda_) * v_tm1[1:], v_t[-1:]], axis=0
    )
    # where an episode ended q_bootstrap is multiplied by 0
    q_estimate = r_t + discount_t * q_bootstrap
    clipped_pg_rho_tm1 = np.minimum(clip_pg_rho_threshold, rho_tm1)
    return errors, clipped_pg_rho_tm1 * (q_estimate - v_tm1)


# V-trace with both flags


def _vtrace(rewards, values, next_values, rho, terminated, cut, gamma, trace, delta, advantage):
    """Return targets and advantages, with ready coefficients and a ready cut."""
    bootstrap = np.where(terminated, 0, next_values)
    error = delta * (rewards + gamma * bootstrap - values)
    targets, carry = np.empty_like(rewards), np.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        carry = error[t] + np.where(cut[t], 0, gamma * trace[t] * carry)
        targets[t] = values[t] + carry
    following = bootstrap.copy()
    following[:-1] = np.where(cut[:-1], bootstrap[:-1], targets[1:])
    return targets, advantage * (rewards + gamma * following - values)


def both_flags(rewards, values, next_values, log_rhos, terminated, truncated, gamma, lam, rho_bar,
               c_bar, rho_bar_advantage):  # fmt: skip
    """Cut at both flags, and bootstrap at a truncation."""
    rho = np.exp(log_rhos)
    return _vtrace(rewards, values, next_values, rho, terminated, terminated | truncated, gamma,
                   lam * np.minimum(rho, c_bar), np.minimum(rho, rho_bar),
                   np.minimum(rho, rho_bar_advantage))  # fmt: skip


def trace_leaks(rewards, values, next_values, log_rhos, terminated, truncated, gamma, lam, rho_bar,
                c_bar, rho_bar_advantage):  # fmt: skip
    """Carry the trace across a truncation into the episode before."""
    rho = np.exp(log_rhos)
    trace = lam * np.minimum(rho, c_bar)
    error = np.minimum(rho, rho_bar) * (
        rewards + gamma * np.where(terminated, 0, next_values) - values
    )
    carry, targets = np.zeros_like(rewards[0]), np.empty_like(rewards)
    for t in reversed(range(len(rewards))):
        carry = error[t] + np.where(terminated[t], 0, gamma * trace[t] * carry)
        targets[t] = values[t] + carry
    following = np.where(terminated, 0, next_values)
    cut = (terminated | truncated)[:-1]
    following[:-1] = np.where(cut, following[:-1], targets[1:])
    advantages = np.minimum(rho, rho_bar_advantage) * (rewards + gamma * following - values)
    return targets, advantages


def target_leaks(rewards, values, next_values, log_rhos, terminated, truncated, gamma, lam,
                 rho_bar, c_bar, rho_bar_advantage):  # fmt: skip
    """Take the target one row below for the next one, across a truncation too."""
    targets, _ = both_flags(rewards, values, next_values, log_rhos, terminated, truncated, gamma,
                            lam, rho_bar, c_bar, rho_bar_advantage)  # fmt: skip
    following = np.where(terminated, 0, np.concatenate([targets[1:], next_values[-1:]]))
    rho = np.minimum(np.exp(log_rhos), rho_bar_advantage)
    return targets, rho * (rewards + gamma * following - values)


def truncation_ends(rewards, values, next_values, log_rhos, terminated, truncated, gamma, lam,
                    rho_bar, c_bar, rho_bar_advantage):  # fmt: skip
    """Drop the value at a time limit."""
    done = terminated | truncated
    return both_flags(rewards, values, next_values, log_rhos, done, done, gamma, lam, rho_bar,
                      c_bar, rho_bar_advantage)  # fmt: skip


def coefficient_one_late(rewards, values, next_values, log_rhos, terminated, truncated, gamma, lam,
                         rho_bar, c_bar, rho_bar_advantage):  # fmt: skip
    """Weight what follows with the coefficient of the next step, as Retrace does."""
    rho = np.exp(log_rhos)
    later = np.concatenate([rho[1:], rho[-1:]])
    return _vtrace(rewards, values, next_values, rho, terminated, terminated | truncated, gamma,
                   lam * np.minimum(later, c_bar), np.minimum(rho, rho_bar),
                   np.minimum(rho, rho_bar_advantage))  # fmt: skip


def levels_exchanged(rewards, values, next_values, log_rhos, terminated, truncated, gamma, lam,
                     rho_bar, c_bar, rho_bar_advantage):  # fmt: skip
    """Clip errors at c̄ and traces at ρ̄."""
    return both_flags(rewards, values, next_values, log_rhos, terminated, truncated, gamma, lam,
                      c_bar, rho_bar, rho_bar_advantage)  # fmt: skip


# Retrace


def general_off_policy_returns_from_q_and_v(q_t, v_t, r_t, discount_t, c_t):
    """Return targets as rlax has them: `q_t` and `c_t` belong to the next step, one row fewer."""
    g = r_t[-1] + discount_t[-1] * v_t[-1]
    returns = [g]
    for i in reversed(range(len(q_t))):
        g = r_t[i] + discount_t[i] * (v_t[i] - c_t[i] * q_t[i] + c_t[i] * g)
        returns.insert(0, g)
    return np.array(returns)


def of_rlax(rewards, q_taken, next_state_values, log_ratios, terminated, gamma, lam):
    """Shift values and coefficients by a row, as a caller of rlax does."""
    trust = lam * np.minimum(1, np.exp(log_ratios))
    return general_off_policy_returns_from_q_and_v(
        q_taken[1:], next_state_values, rewards, gamma * (1 - terminated), trust[1:]
    )


def of_rlax_unshifted(rewards, q_taken, next_state_values, log_ratios, terminated, gamma, lam):
    """Forget to shift the coefficients."""
    trust = lam * np.minimum(1, np.exp(log_ratios))
    return general_off_policy_returns_from_q_and_v(
        q_taken[1:], next_state_values, rewards, gamma * (1 - terminated), trust[:-1]
    )


def q_retrace(R, D, q_i, v, rho_i, gamma):
    """Return targets as baselines' ACER, where `v` is V of T + 1 states."""
    rho_bar = np.minimum(1.0, rho_i)
    qret, qrets = v[-1], []
    for i in range(len(R) - 1, -1, -1):
        qret = R[i] + gamma * qret * (1.0 - D[i])
        qrets.append(qret)
        qret = (rho_bar[i] * (qret - q_i[i])) + v[i]
    return np.stack(qrets[::-1])


def of_acer(rewards, q_taken, next_state_values, ratios, dones, gamma):
    """Carry the target itself, its first value unread, as ACER."""
    states = np.concatenate([next_state_values[:1], next_state_values])
    return q_retrace(rewards, dones, q_taken, states, ratios, gamma)


def errors_weighted(rewards, q_taken, next_state_values, log_ratios, terminated, truncated, gamma,
                    lam):  # fmt: skip
    """Weight each error with the coefficient of its own step."""
    trust = lam * np.minimum(1, np.exp(log_ratios))
    cut = terminated | truncated
    errors = rewards + gamma * np.where(terminated, 0, next_state_values) - q_taken
    targets, correction = np.empty_like(rewards), np.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        later = trust[t + 1] if t + 1 < len(rewards) else 0
        correction = trust[t] * errors[t] + np.where(cut[t], 0, gamma * later * correction)
        targets[t] = q_taken[t] + correction
    return targets


def retrace_leaks(rewards, q_taken, next_state_values, log_ratios, terminated, truncated, gamma,
                  lam):  # fmt: skip
    """Stop at terminations alone."""
    trust = lam * np.minimum(1, np.exp(log_ratios))
    errors = rewards + gamma * np.where(terminated, 0, next_state_values) - q_taken
    targets, correction = np.empty_like(rewards), np.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        later = trust[t + 1] if t + 1 < len(rewards) else 0
        correction = errors[t] + np.where(terminated[t], 0, gamma * later * correction)
        targets[t] = q_taken[t] + correction
    return targets


def unclipped_retrace(rewards, q_taken, next_state_values, log_ratios, terminated, truncated,
                      gamma, lam):  # fmt: skip
    """Forget the minimum: importance sampling."""
    trust = lam * np.exp(log_ratios)
    errors = rewards + gamma * np.where(terminated, 0, next_state_values) - q_taken
    cut = terminated | truncated
    targets, correction = np.empty_like(rewards), np.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        later = trust[t + 1] if t + 1 < len(rewards) else 0
        correction = errors[t] + np.where(cut[t], 0, gamma * later * correction)
        targets[t] = q_taken[t] + correction
    return targets


# tables learnt with traces


def backward_view(states, rewards, next_states, terminations, truncations, v0, gamma, lambda_,
                  alpha, online, trace_type):  # fmt: skip
    """Keep a trace for every state, column by column, as tutorials on TD(λ)."""
    tables = np.repeat(v0[:, None], rewards.shape[1], axis=1)
    for b in range(rewards.shape[1]):
        known, trace = tables[:, b].copy(), np.zeros_like(v0)
        for t in range(len(rewards)):
            s, s_next = states[t, b], next_states[t, b]
            following = 0 if terminations[t, b] else known[s_next]
            delta = rewards[t, b] + gamma * following - known[s]
            trace[s] = 1 if trace_type == "replacing" else trace[s] + 1
            tables[:, b] += alpha * delta * trace
            trace *= gamma * lambda_
            if online:
                known = tables[:, b].copy()
            if terminations[t, b] or truncations[t, b]:
                trace[:] = 0
    return tables


def trace_kept(states, rewards, next_states, terminations, truncations, v0, gamma, lambda_, alpha,
               online, trace_type):  # fmt: skip
    """Carry the trace into the next episode after a truncation."""
    tables = np.repeat(v0[:, None], rewards.shape[1], axis=1)
    for b in range(rewards.shape[1]):
        known, trace = tables[:, b].copy(), np.zeros_like(v0)
        for t in range(len(rewards)):
            s, s_next = states[t, b], next_states[t, b]
            following = 0 if terminations[t, b] else known[s_next]
            delta = rewards[t, b] + gamma * following - known[s]
            trace[s] = 1 if trace_type == "replacing" else trace[s] + 1
            tables[:, b] += alpha * delta * trace
            trace *= 0 if terminations[t, b] else gamma * lambda_
            if online:
                known = tables[:, b].copy()
    return tables
