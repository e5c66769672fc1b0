"""Losses over elements and tokens, each with its gradient in one pass; compiled by Numba.

A kernel goes through its rows in pieces that stay in the nearest cache and writes the slope of
every element, not yet divided by what the mean divides by, and three doubles: the sum of the
terms, how many elements are real, how many rows have a real one. What is not real is replaced by
0 before any arithmetic. Pieces are summed in the compute dtype, lane by lane, and then in double.

The exponential is written out, because only then does its loop become vector instructions: with
x = k log 2 + r and |r| ≤ ½ log 2, exp x = 2ᵏ (1 + r + r² q(r)), q a Taylor polynomial whose first
omitted term is below an eighth of a rounding. Its error is below 2 u, which is within the 4 u
that bounds allow (docs/elementary.md). exp(x) − 1 and exp(x) − 1 − x come from the same parts
without the cancellation.

Words as in `rows`: rows, elements a row, then doubles, then addresses.
"""

import math
from typing import Any

import numpy as np
from numba import njit, types

from rlverify.fast.kernels.rows import (
    ADDRESSES,
    DOUBLES,
    OPTIONS,
    WORDS,
    compiled,
    double,
    fused,
    scratch_of,
    view_of,
    words_at,
)

PIECE = 1024
# how sums may be reordered, so that they run in lanes
summed = njit(fastmath={"reassoc", "nsz"}, **OPTIONS)
outcomes_at = view_of(types.float64, "C")
flags_at = view_of(types.uint8, "C")


class Format:
    """What a kernel knows of its floating-point format.

    Attributes:
        real: the type of the numbers, of Numba.
        one: 1 in that type.
        zero: 0 in that type.
        view: from an address to an array of such numbers.
        scratch: makes an array of a piece's length on the stack.
    """

    def __init__(self, real: Any) -> None:
        self.number = np.float32 if real == types.float32 else np.float64
        self.real, self.one, self.zero = real, self.number(1), self.number(0)
        self.view, self.scratch = view_of(real, "C"), scratch_of(real, PIECE)
        self.parts = self._parts()

    def _parts(self) -> Any:
        """Make x ↦ (k, r, r + r² q(r), r² q(r))."""
        single, number = self.real == types.float32, self.number
        integer = np.int32 if single else np.int64
        bits = 24 if single else 53
        # added and taken away again, it leaves a number rounded to an integer
        round_to = number(1.5 * 2.0 ** (bits - 1))
        low, high = (number(-105), number(89)) if single else (number(-746), number(710))
        per_log = number(1 / math.log(2))
        coarse = number(355 / 512) if single else number(math.floor(math.log(2) * 2**32) / 2**32)
        fine = number(math.log(2) - float(coarse)) if single else number(1.9082149292705877e-10)
        terms = 7 if single else 13
        c = tuple(number(1 / math.factorial(i)) for i in range(terms, 1, -1))

        @compiled
        def parts(x):
            x = x if x > low else low  # NaN becomes a number here, and is put back in the end
            x = x if x < high else high
            k = fused(x, per_log, round_to) - round_to
            r = fused(-k, fine, fused(-k, coarse, x))
            q = c[0]
            for i in range(1, len(c)):
                q = fused(q, r, c[i])
            square = r * r * q
            return integer(k), r, r + square, square

        return parts

    def exponential(self) -> Any:
        """Make x ↦ exp x."""
        parts, one, power = self.parts, self.one, self.power()

        @compiled
        def exp(x):
            k, _, above, _ = parts(x)
            half = k >> 1  # two factors, for 2ᵏ alone may overflow where exp x does not
            y = (one + above) * power(half) * power(k - half)
            return y if x == x else x

        return exp

    def power(self) -> Any:
        """Make k ↦ 2ᵏ, for exponents of normal numbers."""
        if self.real == types.float32:

            @compiled
            def power(k):
                return np.int32((k + 127) << 23).view(np.float32)

            return power

        @compiled
        def power_of_double(k):
            return np.int64((k + 1023) << 52).view(np.float64)

        return power_of_double

    def surplus(self) -> Any:
        """Make x ↦ (exp x − 1, exp x − 1 − x)."""
        parts, one, power, exp = self.parts, self.one, self.power(), self.exponential()

        @compiled
        def rest(x):
            k, _, above, square = parts(x)
            near = power(k if k > -60 else -60) if k < 60 else one
            less = fused(near, above, near - one) if k < 60 else exp(x)
            less = less if x == x else x
            return less, square if k == 0 and x == x else less - x

        return rest

    def total(self) -> Any:
        """Make the sum of an array."""
        zero = self.zero

        @summed
        def total(array):
            found = zero
            for i in range(len(array)):
                found += array[i]
            return found

        return total


@summed
def counted(flags):
    """Return how many flags are set."""
    found = np.int64(0)
    for i in range(len(flags)):
        found += np.int64(flags[i])
    return found


def driven(form: Format, inputs: int, piece: Any) -> Any:
    """Make a kernel that hands pieces of elements to a function: `inputs` arrays, mask, slopes.

    Addresses: the inputs, the mask or 0, the slopes, the outcomes.
    """
    view, total = form.view, form.total()
    scratch, flags = form.scratch, scratch_of(types.uint8, PIECE)

    def kernel(address):
        w = words_at(address, WORDS, 0)
        length = w[1]
        terms, ones = scratch(), flags()
        for i in range(PIECE):
            ones[i] = 1
        masked = w[ADDRESSES + inputs] != 0
        found, elements = 0.0, np.int64(0)
        for start in range(0, length, PIECE):
            n = min(PIECE, length - start)
            real = flags_at(w[ADDRESSES + inputs] + start, n, 0) if masked else ones[:n]
            slopes = view(w[ADDRESSES + inputs + 1] + start * SIZE, n, 0)
            piece(w, start, n, real, slopes, terms[:n])
            found += total(terms[:n])
            elements += counted(real)
        outcomes = outcomes_at(w[ADDRESSES + inputs + 2], 3, 0)
        outcomes[0], outcomes[1], outcomes[2] = found, elements, 1.0

    SIZE = np.int64(np.dtype(form.number).itemsize)
    return njit(types.void(types.intp), **OPTIONS)(kernel)


def clipped(form: Format) -> Any:
    """Make PPO's clipped surrogate; words: 1 − ε, 1 + ε; slopes ρA where it is not flat."""
    exp, real_of, view, zero = form.exponential(), form.real, form.view, form.zero
    size = np.int64(np.dtype(form.number).itemsize)

    @compiled
    def elements(now, old, gains, real, slopes, terms, low, high):
        for i in range(len(now)):
            rho = exp(now[i] - old[i] if real[i] else zero)
            gain = gains[i] if real[i] else zero
            edge = high if gain >= zero else low
            flat = (rho > edge) if gain >= zero else (rho < edge)
            term = (edge if flat else rho) * gain
            terms[i] = term
            slopes[i] = zero if flat else term

    @compiled
    def piece(w, start, n, real, slopes, terms):
        now = view(w[ADDRESSES] + start * size, n, 0)
        old = view(w[ADDRESSES + 1] + start * size, n, 0)
        gains = view(w[ADDRESSES + 2] + start * size, n, 0)
        low, high = real_of(double(w[DOUBLES])), real_of(double(w[DOUBLES + 1]))
        elements(now, old, gains, real, slopes, terms, low, high)

    return driven(form, 3, piece)


def valued(form: Format) -> Any:
    """Make PPO's clipped error of a critic; words: ε; slopes V − R where it is not flat."""
    real_of, view, zero = form.real, form.view, form.zero
    size = np.int64(np.dtype(form.number).itemsize)

    @compiled
    def elements(values, olds, goals, real, slopes, terms, edge):
        for i in range(len(values)):
            value = values[i] if real[i] else zero
            old = olds[i] if real[i] else zero
            goal = goals[i] if real[i] else zero
            change, error = value - old, value - goal
            held = change if change > -edge else -edge
            held = held if held < edge else edge
            away = old + held - goal
            worse, plain = away * away, error * error
            flat = (held != change) & (worse > plain)
            terms[i] = worse if worse > plain else plain
            slopes[i] = zero if flat else error

    @compiled
    def piece(w, start, n, real, slopes, terms):
        values = view(w[ADDRESSES] + start * size, n, 0)
        olds = view(w[ADDRESSES + 1] + start * size, n, 0)
        goals = view(w[ADDRESSES + 2] + start * size, n, 0)
        elements(values, olds, goals, real, slopes, terms, real_of(double(w[DOUBLES])))

    return driven(form, 3, piece)


def tokens(form: Format) -> Any:
    """Make GRPO's loss of tokens; words: 1 − ε, 1 + ε, β, estimator (0: none), per sequence.

    Addresses: log π, log π_old, log π_ref, A of every row, mask or 0, slopes, outcomes.
    """
    exp, rest, real_of, view = form.exponential(), form.surplus(), form.real, form.view
    one, zero, total, scratch = form.one, form.zero, form.total(), form.scratch
    flags, half = scratch_of(types.uint8, PIECE), form.number(0.5)
    size = np.int64(np.dtype(form.number).itemsize)

    @compiled
    def surrogate(now, old, gain, real, slopes, terms, low, high):
        for i in range(len(now)):
            rho = exp(now[i] - old[i] if real[i] else zero)
            edge = high if gain >= zero else low
            flat = (rho > edge) if gain >= zero else (rho < edge)
            term = (edge if flat else rho) * gain if real[i] else zero
            terms[i] = -term
            slopes[i] = zero if flat else -term

    def penalty(estimator: int) -> Any:
        @compiled
        def added(now, reference, real, slopes, terms, beta):
            for i in range(len(now)):
                d = reference[i] - now[i] if real[i] else zero
                if estimator == 1:
                    kl, slope = -d, -one
                elif estimator == 2:
                    kl, slope = half * d * d, d
                else:
                    slope, kl = rest(d)
                terms[i] += beta * kl
                slopes[i] -= beta * slope if real[i] else zero

        return added

    first, second, third = penalty(1), penalty(2), penalty(3)

    @compiled
    def scaled(slopes, factor):
        for i in range(len(slopes)):
            slopes[i] *= factor

    def kernel(address):
        w = words_at(address, WORDS, 0)
        rows, length = w[0], w[1]
        low, high = real_of(double(w[DOUBLES])), real_of(double(w[DOUBLES + 1]))
        beta, estimator = real_of(double(w[DOUBLES + 2])), double(w[DOUBLES + 3])
        apart = double(w[DOUBLES + 4]) != 0
        gains = view(w[ADDRESSES + 3], rows, 0)
        terms, ones = scratch(), flags()
        for i in range(PIECE):
            ones[i] = 1
        masked = w[ADDRESSES + 4] != 0
        found, elements, sequences = 0.0, np.int64(0), np.int64(0)
        for b in range(rows):
            count, mine = length, 0.0
            if masked:
                count = counted(flags_at(w[ADDRESSES + 4] + b * length, length, 0))
            for start in range(0, length, PIECE):
                place, n = (b * length + start), min(PIECE, length - start)
                real = flags_at(w[ADDRESSES + 4] + place, n, 0) if masked else ones[:n]
                now = view(w[ADDRESSES] + place * size, n, 0)
                old = view(w[ADDRESSES + 1] + place * size, n, 0)
                slopes = view(w[ADDRESSES + 5] + place * size, n, 0)
                surrogate(now, old, gains[b], real, slopes, terms[:n], low, high)
                if estimator > 0:
                    reference = view(w[ADDRESSES + 2] + place * size, n, 0)
                    if estimator == 1:
                        first(now, reference, real, slopes, terms[:n], beta)
                    elif estimator == 2:
                        second(now, reference, real, slopes, terms[:n], beta)
                    else:
                        third(now, reference, real, slopes, terms[:n], beta)
                if apart:
                    scaled(slopes, one / real_of(max(count, 1)))
                mine += total(terms[:n])
            found += mine / max(count, 1) if apart else mine
            elements += count
            sequences += count > 0
        outcomes = outcomes_at(w[ADDRESSES + 6], 3, 0)
        outcomes[0], outcomes[1], outcomes[2] = found, elements, sequences

    return njit(types.void(types.intp), **OPTIONS)(kernel)


MAKERS = {"clipped": clipped, "valued": valued, "tokens": tokens}


def assembled(name: str, real: str) -> tuple[str, str]:
    """Compile a kernel, and return its LLVM code with the name of its function."""
    kernel = MAKERS[name](Format({"float32": types.float32, "float64": types.float64}[real]))
    (signature,) = kernel.signatures
    return kernel.inspect_llvm(signature), kernel.overloads[signature].fndesc.llvm_func_name
