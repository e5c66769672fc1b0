"""JAX, in the names of rlax: discounts instead of flags, time indices in the names."""

import jax
import jax.numpy as jnp


def truncated_generalized_advantage_estimation(r_t, discount_t, lambda_, values):
    delta_t = r_t + discount_t * values[1:] - values[:-1]

    def step(carry, x):
        delta, discount = x
        carry = delta + discount * lambda_ * carry
        return carry, carry

    return jax.lax.scan(step, jnp.zeros(()), (delta_t, discount_t), reverse=True)[1]


@jax.jit
def lambda_returns(r_t, discount_t, v_t, lambda_):
    def step(carry, x):
        reward, discount, value = x
        carry = reward + discount * ((1 - lambda_) * value + lambda_ * carry)
        return carry, carry

    return jax.lax.scan(step, v_t[-1], (r_t, discount_t, v_t), reverse=True)[1]


def td_learning(v_tm1, r_t, discount_t, v_t):
    return r_t + discount_t * v_t - v_tm1
