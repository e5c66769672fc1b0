"""The scan under every backward recursion, against exact rational arithmetic.

`exact_recurrences` says what is exact, and derives the bounds.
"""

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exact_recurrences import (
    Case,
    Sum,
    cases,
    fractions,
    gradients,
    recurrence,
    window,
    within,
)
from rlverify.fast import scan
from rlverify.fast.kernels import loading, running
from rlverify.fast.scan import reverse_linear_recurrence, windowed_linear_recurrence

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
STRATEGIES = list(scan.STRATEGIES)
DTYPES = [torch.float32, torch.float64]
NAN, INF = math.nan, math.inf

each_strategy = pytest.mark.parametrize("strategy", STRATEGIES)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)
each_device = pytest.mark.parametrize("device", DEVICES)


@pytest.fixture(autouse=True, scope="module")
def _small_passes() -> Iterator[None]:
    """Let halving go down to one row, as it does on large inputs only."""
    with mock.patch.dict(scan.CHEAP_PASS, {"cpu": 1, "cuda": 1}):
        yield


# values


@each_device
@each_dtype
@each_strategy
@given(draw=cases())
@settings(deadline=None)
def test_recurrence(
    draw: Callable[[torch.dtype, str], Case], strategy: str, dtype: torch.dtype, device: str
) -> None:
    case = draw(dtype, device)
    y = reverse_linear_recurrence(case.x, case.decay, case.cut, strategy=strategy)
    assert y.dtype == dtype
    assert y.shape == case.x.shape
    within(y, recurrence(case))


@each_device
@each_dtype
@given(draw=cases(), n=st.one_of(st.integers(1, 9), st.integers(10, 50)))
@settings(deadline=None)
def test_window(
    draw: Callable[[torch.dtype, str], Case], n: int, dtype: torch.dtype, device: str
) -> None:
    case = draw(dtype, device)
    y = windowed_linear_recurrence(case.x, case.decay, case.cut, case.other, n=n)
    within(y, window(case, n))


@each_device
@each_strategy
@pytest.mark.parametrize("number", [True, False])
def test_long_recording_without_decay(strategy: str, number: bool, device: str) -> None:
    steps, batch = 4096, 2
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(steps, batch, generator=generator).to(device)
    cut = torch.zeros(steps, batch, dtype=torch.bool, device=device)
    cut[1000, 1] = True
    with mock.patch.dict(scan.CHEAP_PASS, {"cpu": 64, "cuda": 64}):  # both halves of halving
        decay = 1.0 if number else torch.ones_like(x)
        y = reverse_linear_recurrence(x, decay, cut, strategy=strategy)
    # the products are exact, so what remains are the roundings of a sum: fewer than T + log₂ T
    roundings = (steps + 2 * steps.bit_length() + 2) * Fraction(torch.finfo(x.dtype).eps) / 2
    exact = []
    for column, cuts in zip(fractions(x), cut.T.tolist(), strict=True):
        sums, total, size = [], Fraction(0), Fraction(0)
        for value, stop in reversed(list(zip(column, cuts, strict=True))):
            total = value + (0 if stop else total)
            size = abs(value) + (0 if stop else size)
            sums.append(Sum(total, size * roundings / (1 - roundings)))
        exact.append(sums[::-1])
    within(y, exact)


@pytest.mark.parametrize(
    ("shape", "name"), [((128, 8), "halving"), ((2048, 1), "halving"), ((8, 4096), "loop")]
)
@pytest.mark.parametrize("kernel", [True, False])
def test_choice_agrees_with_the_named_strategy(
    shape: tuple[int, int], name: str, kernel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    cut = x > 1
    if kernel:
        name = "compiled"
    else:
        monkeypatch.setattr(loading, "kernel", lambda *key, **layout: None)
    assert scan.choose(x) == "compiled"
    assert running.choose_plain(x) == name or kernel
    chosen = reverse_linear_recurrence(x, 0.9, cut)
    assert torch.equal(chosen, reverse_linear_recurrence(x, 0.9, cut, strategy=name))


def test_a_traced_call_never_unrolls_the_loop() -> None:
    wide = torch.ones(8, scan.WIDE_ROW)
    assert running.choose_plain(wide) == "loop"
    with mock.patch.object(torch.compiler, "is_compiling", return_value=True):
        assert scan.choose(wide) == "halving"


@each_strategy
def test_non_finite_number_is_selected_away(strategy: str) -> None:
    x, cut = torch.tensor([[1.0], [2.0], [3.0]]), torch.ones(3, 1, dtype=torch.bool)
    for decay in (NAN, INF, -2.0, 1e30):
        assert torch.equal(reverse_linear_recurrence(x, decay, cut, strategy=strategy), x)
        assert torch.equal(windowed_linear_recurrence(x, decay, cut, x * decay, n=2), x)


@each_strategy
def test_nan_reaches_all_of_its_own_episode(strategy: str) -> None:
    x, cut = torch.ones(9, 1), torch.zeros(9, 1, dtype=torch.bool)
    cut[2], x[6] = True, NAN
    y = reverse_linear_recurrence(x, 0.0, cut, strategy=strategy)
    assert y.isnan().flatten().tolist() == [False] * 3 + [True] * 4 + [False] * 2


# what lies beyond an end


@each_device
@each_strategy
@pytest.mark.parametrize("poison", [NAN, INF, -INF])
@given(draw=cases(numbers=False), place=st.integers(0, 39))
@settings(deadline=None)
def test_nothing_beyond_a_cut_matters(
    draw: Callable[[torch.dtype, str], Case], place: int, poison: float, strategy: str, device: str
) -> None:
    case = draw(torch.float32, device)
    end = place % len(case.x)
    case.cut[end, 0] = True
    beyond = torch.zeros_like(case.cut)
    beyond[end + 1 :, 0] = True
    unread = beyond.clone()
    unread[end, 0] = True  # the decay at the cut itself

    def results(x: torch.Tensor, decay: torch.Tensor, other: torch.Tensor) -> list[torch.Tensor]:
        x, decay, other = (array.clone().requires_grad_() for array in (x, decay, other))
        y = reverse_linear_recurrence(x, decay, case.cut, strategy=strategy)
        w = windowed_linear_recurrence(x, decay, case.cut, other, n=3)
        kept = case.other.masked_fill(beyond, 0)
        inputs = (x, decay, other)
        slopes = torch.autograd.grad((y, w), inputs, (kept, kept), materialize_grads=True)
        return [y.detach(), w.detach(), *slopes]

    clean = results(case.x, case.decay, case.other)
    spoiled = results(
        case.x.masked_fill(beyond, poison),
        case.decay.masked_fill(unread, poison),
        case.other.masked_fill(unread, poison),
    )
    for kind, before, after in zip("yw", clean[:2], spoiled[:2], strict=True):
        assert torch.equal(before[~beyond], after[~beyond]), kind
    for before, after in zip(clean[2:], spoiled[2:], strict=True):
        assert torch.equal(before[~beyond], after[~beyond])
        assert not after[beyond].any()
    assert not spoiled[3][unread].any()


@each_strategy
@given(draw=cases(numbers=False), place=st.integers(0, 39))
@settings(deadline=None)
def test_cotangents_do_not_cross_a_cut(
    draw: Callable[[torch.dtype, str], Case], place: int, strategy: str
) -> None:
    case = draw(torch.float32, "cpu")
    end = place % len(case.x)
    case.cut[end, 0] = True
    before = torch.zeros_like(case.cut)
    before[: end + 1, 0] = True
    x, decay = case.x.requires_grad_(), case.decay.requires_grad_()
    y = reverse_linear_recurrence(x, decay, case.cut, strategy=strategy)
    clean = torch.autograd.grad(y, (x, decay), case.other, retain_graph=True)
    spoiled = torch.autograd.grad(y, (x, decay), case.other.masked_fill(before, NAN))
    for right, got in zip(clean, spoiled, strict=True):
        assert torch.equal(right[~before], got[~before])
    assert not spoiled[1][end, 0]


# gradients


@each_device
@each_dtype
@each_strategy
@given(draw=cases(numbers=False))
@settings(deadline=None)
def test_gradients(
    draw: Callable[[torch.dtype, str], Case], strategy: str, dtype: torch.dtype, device: str
) -> None:
    case = draw(dtype, device)
    x, decay = case.x.clone().requires_grad_(), case.decay.clone().requires_grad_()
    y = reverse_linear_recurrence(x, decay, case.cut, strategy=strategy)
    slopes = torch.autograd.grad(y, (x, decay), case.other)
    for slope, exact in zip(slopes, gradients(case), strict=True):
        within(slope, exact)


@pytest.mark.parametrize("number", [True, False])
@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("strategy", [*STRATEGIES, "window"])
def test_gradients_of_both_orders(strategy: str, steps: int, number: bool) -> None:
    generator = torch.Generator().manual_seed(steps)
    x, decay, beyond = torch.rand(3, steps, 2, generator=generator, dtype=torch.float64)
    cut = torch.rand(steps, 2, generator=generator) < 0.3
    arrays = (x, beyond) if number else (x, beyond, decay)

    def function(
        x: torch.Tensor, beyond: torch.Tensor, decay: float | torch.Tensor = 0.9
    ) -> torch.Tensor:
        if strategy == "window":
            return windowed_linear_recurrence(x, decay, cut, beyond, n=3)
        return reverse_linear_recurrence(x, decay, cut, strategy=strategy) + 0 * beyond

    arrays = tuple(array.clone().requires_grad_() for array in arrays)
    assert torch.autograd.gradcheck(function, arrays)
    assert torch.autograd.gradgradcheck(function, arrays)


@each_strategy
def test_function_transforms(strategy: str) -> None:
    # few bits, so that every order of summation is exact
    generator = torch.Generator().manual_seed(0)
    x, decay = torch.randint(-4, 5, (2, 6, 2), generator=generator).double() / 4
    cut = torch.rand(6, 2, generator=generator) < 0.3

    def loss(x: torch.Tensor, decay: torch.Tensor) -> torch.Tensor:
        return reverse_linear_recurrence(x, decay, cut, strategy=strategy).square().sum()

    def slopes(x: torch.Tensor, decay: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x, decay = x.requires_grad_(), decay.requires_grad_()
        return torch.autograd.grad(loss(x, decay), (x, decay))

    transformed = torch.func.grad(loss, argnums=(0, 1))
    mapped = torch.vmap(transformed, in_dims=(0, None))(torch.stack([x, 2 * x]), decay)
    for i, scale in enumerate((1, 2)):
        wanted = slopes(scale * x, decay.clone())
        for right, got, many in zip(wanted, transformed(scale * x, decay), mapped, strict=True):
            assert torch.equal(right, got)
            assert torch.equal(right, many[i])

    inputs = x.clone().requires_grad_()
    jacobian = torch.func.jacrev(
        lambda x: reverse_linear_recurrence(x, decay, cut, strategy=strategy)
    )(x)
    for t in range(6):
        y = reverse_linear_recurrence(inputs, decay, cut, strategy=strategy)[t, 0]
        assert torch.equal(jacobian[t, 0], torch.autograd.grad(y, inputs)[0])


# number formats, layouts, bookkeeping


@each_strategy
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@given(draw=cases(numbers=False), number=st.booleans())
@settings(deadline=None)
def test_half_precision_is_rounded_once(
    draw: Callable[[torch.dtype, str], Case], number: bool, strategy: str, dtype: torch.dtype
) -> None:
    case = draw(dtype, "cpu")

    def results(wide: torch.dtype) -> list[torch.Tensor]:
        arrays = (case.x, case.other, case.decay)
        x, other, decay = (array.to(wide).requires_grad_() for array in arrays)
        weight = 0.99 if number else decay
        y = reverse_linear_recurrence(x, weight, case.cut, strategy=strategy)
        w = windowed_linear_recurrence(x, weight, case.cut, other, n=3)
        inputs = (x, other) if number else (x, other, decay)
        slopes = [
            slope
            for result in (y, w)
            for slope in torch.autograd.grad(result, inputs, other.detach(), allow_unused=True)
            if slope is not None
        ]
        return [y.detach(), w.detach(), *slopes]

    for got, wide in zip(results(dtype), results(torch.float32), strict=True):
        assert got.dtype == dtype
        assert torch.equal(got, wide.to(dtype))


@each_strategy
@given(draw=cases(numbers=False))
@settings(deadline=None)
def test_layout_does_not_matter(draw: Callable[[torch.dtype, str], Case], strategy: str) -> None:
    case = draw(torch.float32, "cpu")
    layouts: list[Callable[[torch.Tensor], torch.Tensor]] = [
        lambda array: array.T.contiguous().T,
        lambda array: torch.stack([array, array], 1)[:, 0],
        lambda array: array.repeat_interleave(2, 0)[::2],
    ]
    plain = reverse_linear_recurrence(case.x, case.decay, case.cut, strategy=strategy)
    window = windowed_linear_recurrence(case.x, case.decay, case.cut, case.other, n=3)
    for layout in layouts:
        x, decay, cut, other = map(layout, (case.x, case.decay, case.cut, case.other))
        assert torch.equal(reverse_linear_recurrence(x, decay, cut, strategy=strategy), plain)
        assert torch.equal(windowed_linear_recurrence(x, decay, cut, other, n=3), window)
    wide = case.x[:, :1].expand_as(case.x), case.decay[:1].expand_as(case.decay)
    assert torch.equal(
        reverse_linear_recurrence(*wide, case.cut, strategy=strategy),
        reverse_linear_recurrence(*(array.clone() for array in wide), case.cut, strategy=strategy),
    )


@each_strategy
def test_inputs_are_left_alone_and_the_result_is_new(strategy: str) -> None:
    for steps in (1, 6):
        x, decay = torch.rand(2, steps, 2, generator=torch.Generator().manual_seed(0))
        cut, copies = x > 0.8, (x.clone(), decay.clone())
        y = reverse_linear_recurrence(x, decay, cut, strategy=strategy)
        y += 1
        assert torch.equal(x, copies[0])
        assert torch.equal(decay, copies[1])
        assert torch.equal(cut, copies[0] > 0.8)


def test_gradients_are_recorded_only_where_wanted() -> None:
    x, cut = torch.ones(3, 1), torch.zeros(3, 1, dtype=torch.bool)
    assert reverse_linear_recurrence(x, x, cut).grad_fn is None
    x.requires_grad_()
    assert reverse_linear_recurrence(x, 0.5, cut).grad_fn is not None
    with torch.no_grad():
        assert reverse_linear_recurrence(x, x, cut).grad_fn is None


def test_decay_may_be_one_learnable_number() -> None:
    decay = torch.tensor(0.5, requires_grad=True)
    x, cut = torch.tensor([[1.0], [2.0], [4.0]]), torch.zeros(3, 1, dtype=torch.bool)
    y = reverse_linear_recurrence(x, decay, cut)
    assert y.flatten().tolist() == [3.0, 4.0, 4.0]
    # y₀ = 1 + 2a + 4a², whose slope at ½ is 6
    assert torch.autograd.grad(y[0], decay)[0].item() == 6.0


def test_shapes_must_agree() -> None:
    x, cut = torch.ones(3, 2), torch.zeros(3, 1, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"recurrence: cut has shape \(3, 1\), but x has shape"):
        reverse_linear_recurrence(x, 0.5, cut)
    with pytest.raises(ValueError, match=r"recurrence: decay has shape \(1, 2\), but x has"):
        reverse_linear_recurrence(x, x[:1], x > 1)
    with pytest.raises(ValueError, match=r"recurrence: beyond has shape \(2, 2\), but x has"):
        windowed_linear_recurrence(x, 0.5, x > 1, x[:2], n=2)


# the tracer itself makes an instance of autograd.Function
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("number", [True, False])
@pytest.mark.parametrize("shape", [(9, 2), (3, scan.WIDE_ROW)])
def test_compiled(shape: tuple[int, int], number: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    x, decay, other = torch.rand(3, *shape, generator=generator).unbind(0)
    case = Case(x, 0.9 if number else decay, torch.rand(shape, generator=generator) < 0.2, other)

    def function(x: torch.Tensor, decay: float | torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = reverse_linear_recurrence(x, decay, case.cut)
        return y, windowed_linear_recurrence(x, decay, case.cut, other, n=3)

    torch.compiler.reset()
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    inputs = [x.requires_grad_()] if number else [x.requires_grad_(), decay.requires_grad_()]
    y, windows = compiled(x, case.decay)
    within(y, recurrence(case))
    within(windows, window(case, 3))
    slopes = torch.autograd.grad(y, inputs, other)
    for slope, exact in zip(slopes, gradients(case), strict=not number):
        within(slope, exact)
