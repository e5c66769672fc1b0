"""What the CPU kernels compute with a stretch of elements; compiled by Numba, swept by `rows`.

Each maker below states one recurrence in the words of the topic it belongs to. Its loop is
written once and compiled twice: `whole` carries the row behind in `tail` and writes the results;
otherwise x, the weights and the cuts are written, and `follows` makes the results of y later.
A stretch never holds both the last row of a recording and another one; `last` says which it is,
and nothing behind it is read. Flags select: what must not be read takes part in no product.
"""

from typing import Any

from numba import njit, types

from rlverify.fast.kernels.rows import (
    DOUBLES,
    OPTIONS,
    WORDS,
    Sweep,
    compiled,
    double,
    fused,
    words_at,
)

REALS = {"float32": types.float32, "float64": types.float64}


def linear(sweep: Sweep) -> Any:
    """Make the bare recurrence; words: whether the decay is an array, the number if not."""
    # 0 x, 1 decay, 2 cut, 3 y
    floats, flags, real, zero = sweep.floats, sweep.flags, sweep.real, sweep.zero

    def body(whole: bool) -> Any:
        @compiled
        def by_number(x, ends, y, a, cut, tail, decay):
            for i in range(len(y)):
                if whole:
                    tail[i] = fused(decay, zero if ends[i] else tail[i], x[i])
                    y[i] = tail[i]
                else:
                    y[i], a[i], cut[i] = x[i], decay, ends[i]

        @compiled
        def by_array(x, decay, ends, y, a, cut, tail):
            for i in range(len(y)):
                if whole:
                    # a decay beyond an end may be infinite, and times 0 that would be NaN
                    joined = fused(decay[i], tail[i], x[i])
                    tail[i] = x[i] if ends[i] else joined
                    y[i] = tail[i]
                else:
                    y[i], a[i], cut[i] = x[i], zero if ends[i] else decay[i], ends[i]

        @compiled
        def copied(x, y, tail):
            for i in range(len(y)):
                y[i] = x[i]
                tail[i] = x[i]

        @compiled
        def loop(w, t, b, n, a, cut, tail, last):
            x, ends, y = floats(w, 0, t, b, n), flags(w, 2, t, b, n), floats(w, 3, t, b, n)
            if last:  # nothing else is read there: an adjoint has no decay for it
                copied(x, y, tail)
            elif double(w[DOUBLES]) != 0:
                by_array(x, floats(w, 1, t, b, n), ends, y, a, cut, tail)
            else:
                by_number(x, ends, y, a, cut, tail, real(double(w[DOUBLES + 1])))

        return loop

    @compiled
    def follows(w, t, b, n, last):
        pass

    return sweep.kernel(3, body, follows)


def gae(sweep: Sweep) -> Any:
    """Make GAE with returns; words: γ, λ."""
    # 0 r, 1 V, 2 V', 3 terminated, 4 truncated, 5 Â, 6 Â + V, 7 the last row of V'
    floats, flags, real, zero = sweep.floats, sweep.flags, sweep.real, sweep.zero

    def body(whole: bool) -> Any:
        @compiled
        def elements(r, v, following, over, stopped, y, returns, a, cut, tail, gamma, decay, end):
            for i in range(len(y)):
                beyond, value = following[i], v[i]
                delta = fused(gamma, zero if over[i] else beyond, r[i]) - value
                ends = over[i] | stopped[i] | end
                if whole:
                    behind = tail[i]
                    tail[i] = fused(decay, zero if ends else behind, delta)
                    y[i] = tail[i]
                    returns[i] = tail[i] + value
                else:
                    y[i], a[i], cut[i] = delta, decay, ends

        @compiled
        def loop(w, t, b, n, a, cut, tail, last):
            r, v, y = floats(w, 0, t, b, n), floats(w, 1, t, b, n), floats(w, 5, t, b, n)
            over, stopped = flags(w, 3, t, b, n), flags(w, 4, t, b, n)
            following = floats(w, 7, 0, b, n) if last else floats(w, 2, t, b, n)
            gamma, lam = real(double(w[DOUBLES])), real(double(w[DOUBLES + 1]))
            returns, decay, end = floats(w, 6, t, b, n), gamma * lam, types.uint8(last)
            elements(r, v, following, over, stopped, y, returns, a, cut, tail, gamma, decay, end)

        return loop

    @compiled
    def sums(y, v, returns):
        for i in range(len(y)):
            returns[i] = y[i] + v[i]

    @compiled
    def follows(w, t, b, n, last):
        sums(floats(w, 5, t, b, n), floats(w, 1, t, b, n), floats(w, 6, t, b, n))

    return sweep.kernel(5, body, follows)


def returned(sweep: Sweep) -> Any:
    """Make λ-returns, or discounted returns; words: γ, λ, whether V' is mixed in."""
    # 0 r, 1 V', 2 terminated, 3 truncated, 4 G
    floats, flags, real, zero = sweep.floats, sweep.flags, sweep.real, sweep.zero

    def body(whole: bool) -> Any:
        def variant(mixed: bool) -> Any:
            @compiled
            def elements(r, following, over, stopped, y, a, cut, tail, gamma, decay, rest, end):
                for i in range(len(y)):
                    ends, beyond = over[i] | stopped[i] | end, following[i]
                    within = rest * beyond if mixed else zero
                    held = beyond if ends else within
                    x = fused(gamma, zero if over[i] else held, r[i])
                    if whole:
                        behind = tail[i]
                        tail[i] = fused(decay, zero if ends else behind, x)
                        y[i] = tail[i]
                    else:
                        y[i], a[i], cut[i] = x, decay, ends

            return elements

        mixture, summed = variant(True), variant(False)

        @compiled
        def loop(w, t, b, n, a, cut, tail, last):
            r, following, y = floats(w, 0, t, b, n), floats(w, 1, t, b, n), floats(w, 4, t, b, n)
            over, stopped, end = flags(w, 2, t, b, n), flags(w, 3, t, b, n), types.uint8(last)
            gamma, lam = real(double(w[DOUBLES])), real(double(w[DOUBLES + 1]))
            if double(w[DOUBLES + 2]) != 0:
                rest = real(1 - types.float64(lam))
                mixture(r, following, over, stopped, y, a, cut, tail, gamma, gamma * lam, rest, end)
            else:
                summed(r, following, over, stopped, y, a, cut, tail, gamma, gamma, zero, end)

        return loop

    @compiled
    def follows(w, t, b, n, last):
        pass

    return sweep.kernel(4, body, follows)


def corrected(sweep: Sweep) -> Any:
    """Make returns of a target policy; words: γ, λ, the most that a coefficient counts."""
    # 0 r, 1 Q, 2 V', 3 coefficients, 4 terminated, 5 truncated, 6 G
    floats, flags, real, zero = sweep.floats, sweep.flags, sweep.real, sweep.zero

    def body(whole: bool) -> Any:
        @compiled
        def elements(r, q, following, trust, over, stopped, y, a, cut, tail, gamma, lam, most, end):
            for i in range(len(y)):
                beyond, share, value = following[i], trust[i], q[i]
                delta = fused(gamma, zero if over[i] else beyond, r[i]) - value
                weight = gamma * (lam * (most if share > most else share))
                ends = over[i] | stopped[i] | end
                if whole:
                    joined = fused(weight, tail[i], delta)
                    tail[i] = delta if ends else joined
                    y[i] = tail[i] + value
                else:
                    y[i], a[i], cut[i] = delta, zero if ends else weight, ends

        @compiled
        def loop(w, t, b, n, a, cut, tail, last):
            r, q, following = floats(w, 0, t, b, n), floats(w, 1, t, b, n), floats(w, 2, t, b, n)
            trust = floats(w, 3, t if last else t + 1, b, n)  # in the action of the row behind
            over, stopped, y = flags(w, 4, t, b, n), flags(w, 5, t, b, n), floats(w, 6, t, b, n)
            gamma, lam = real(double(w[DOUBLES])), real(double(w[DOUBLES + 1]))
            most, end = real(double(w[DOUBLES + 2])), types.uint8(last)
            elements(r, q, following, trust, over, stopped, y, a, cut, tail, gamma, lam, most, end)

        return loop

    @compiled
    def sums(y, q):
        for i in range(len(y)):
            y[i] += q[i]

    @compiled
    def follows(w, t, b, n, last):
        sums(floats(w, 6, t, b, n), floats(w, 1, t, b, n))

    return sweep.kernel(6, body, follows)


def vtrace(sweep: Sweep) -> Any:
    """Make targets and advantages of V-trace; words: γ, λ, ρ̄, c̄, ρ̄ₐ."""
    # 0 r, 1 V, 2 V', 3 ratios, 4 terminated, 5 truncated, 6 targets, 7 advantages
    floats, flags, real, zero = sweep.floats, sweep.flags, sweep.real, sweep.zero

    @compiled
    def sums(y, v, goal):
        for i in range(len(y)):
            goal[i] = v[i] + y[i]

    @compiled
    def results(r, v, following, ratio, over, stopped, after, y, gamma, most, end):
        for i in range(len(y)):
            beyond, carried, share = following[i], after[i], ratio[i]
            held = beyond if over[i] | stopped[i] | end else carried
            delta = fused(gamma, zero if over[i] else held, r[i]) - v[i]
            y[i] = (most if share > most else share) * delta

    @compiled
    def follows(w, t, b, n, last):
        r, v, following = floats(w, 0, t, b, n), floats(w, 1, t, b, n), floats(w, 2, t, b, n)
        ratio, over, stopped = floats(w, 3, t, b, n), flags(w, 4, t, b, n), flags(w, 5, t, b, n)
        goal, y, end = floats(w, 6, t, b, n), floats(w, 7, t, b, n), types.uint8(last)
        gamma, most = real(double(w[DOUBLES])), real(double(w[DOUBLES + 4]))
        after = floats(w, 6, t if last else t + 1, b, n)
        sums(y, v, goal)  # of all rows of the stretch, before any of them is read as the one behind
        results(r, v, following, ratio, over, stopped, after, y, gamma, most, end)

    def body(whole: bool) -> Any:
        @compiled
        def elements(
            r, v, following, ratio, over, stopped, y, a, cut, tail, gamma, lam, rho, c, end
        ):
            for i in range(len(y)):
                beyond, share = following[i], ratio[i]
                delta = fused(gamma, zero if over[i] else beyond, r[i]) - v[i]
                x = (rho if share > rho else share) * delta
                weight = gamma * (lam * (c if share > c else share))
                ends = over[i] | stopped[i] | end
                if whole:
                    joined = fused(weight, tail[i], x)
                    tail[i] = x if ends else joined
                    y[i] = tail[i]
                else:
                    y[i], a[i], cut[i] = x, zero if ends else weight, ends

        @compiled
        def loop(w, t, b, n, a, cut, tail, last):
            r, v, following = floats(w, 0, t, b, n), floats(w, 1, t, b, n), floats(w, 2, t, b, n)
            ratio, y, end = floats(w, 3, t, b, n), floats(w, 7, t, b, n), types.uint8(last)
            over, stopped = flags(w, 4, t, b, n), flags(w, 5, t, b, n)
            gamma, lam = real(double(w[DOUBLES])), real(double(w[DOUBLES + 1]))
            rho, c = real(double(w[DOUBLES + 2])), real(double(w[DOUBLES + 3]))
            elements(
                r, v, following, ratio, over, stopped, y, a, cut, tail, gamma, lam, rho, c, end
            )
            if whole:
                follows(w, t, b, n, last)

        return loop

    return sweep.kernel(7, body, follows)


def sequences(sweep: Sweep) -> Any:
    """Make GAE over the real tokens of sequences, each a row; words: γ, λ."""
    # 0 r, 1 V, 2 mask, 3 Â, 4 Â + V
    floats, flags, real, zero = sweep.floats, sweep.flags, sweep.real, sweep.zero

    @compiled
    def token(r, v, mask, y, returns, i, behind, following, gamma, decay):
        value, is_real = v[i], mask[i] != 0
        whole = fused(decay, behind, fused(gamma, following, r[i]) - value)
        y[i] = whole if is_real else zero
        returns[i] = whole + value if is_real else zero
        return whole if is_real else behind, value if is_real else following

    @compiled
    def four(w, s, n, gamma, decay):  # the chains of four sequences hide each other's latency
        r0, v0, m0 = floats(w, 0, s, 0, n), floats(w, 1, s, 0, n), flags(w, 2, s, 0, n)
        y0, g0 = floats(w, 3, s, 0, n), floats(w, 4, s, 0, n)
        r1, v1, m1 = floats(w, 0, s + 1, 0, n), floats(w, 1, s + 1, 0, n), flags(w, 2, s + 1, 0, n)
        y1, g1 = floats(w, 3, s + 1, 0, n), floats(w, 4, s + 1, 0, n)
        r2, v2, m2 = floats(w, 0, s + 2, 0, n), floats(w, 1, s + 2, 0, n), flags(w, 2, s + 2, 0, n)
        y2, g2 = floats(w, 3, s + 2, 0, n), floats(w, 4, s + 2, 0, n)
        r3, v3, m3 = floats(w, 0, s + 3, 0, n), floats(w, 1, s + 3, 0, n), flags(w, 2, s + 3, 0, n)
        y3, g3 = floats(w, 3, s + 3, 0, n), floats(w, 4, s + 3, 0, n)
        a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = zero
        for j in range(n):
            i = n - 1 - j
            a0, b0 = token(r0, v0, m0, y0, g0, i, a0, b0, gamma, decay)
            a1, b1 = token(r1, v1, m1, y1, g1, i, a1, b1, gamma, decay)
            a2, b2 = token(r2, v2, m2, y2, g2, i, a2, b2, gamma, decay)
            a3, b3 = token(r3, v3, m3, y3, g3, i, a3, b3, gamma, decay)

    @compiled
    def one(w, s, n, gamma, decay):
        r, v, mask = floats(w, 0, s, 0, n), floats(w, 1, s, 0, n), flags(w, 2, s, 0, n)
        y, returns = floats(w, 3, s, 0, n), floats(w, 4, s, 0, n)
        behind = following = zero
        for j in range(n):
            behind, following = token(
                r, v, mask, y, returns, n - 1 - j, behind, following, gamma, decay
            )

    def kernel(address):
        w = words_at(address, WORDS, 0)
        n, first, end = w[0], w[1], w[2]
        gamma, lam = real(double(w[DOUBLES])), real(double(w[DOUBLES + 1]))
        for s in range(first, end - 3, 4):
            four(w, s, n, gamma, gamma * lam)
        for s in range(end - (end - first) % 4, end):
            one(w, s, n, gamma, gamma * lam)

    return njit(types.void(types.intp), **OPTIONS)(kernel)


MAKERS = {
    "linear": linear,
    "gae": gae,
    "returned": returned,
    "corrected": corrected,
    "vtrace": vtrace,
    "sequences": sequences,
}


def assembled(name: str, real: str, strided: bool) -> tuple[str, str]:
    """Compile a kernel, and return its LLVM code with the name of its function."""
    kernel = MAKERS[name](Sweep(REALS[real], strided))
    (signature,) = kernel.signatures
    return kernel.inspect_llvm(signature), kernel.overloads[signature].fndesc.llvm_func_name
