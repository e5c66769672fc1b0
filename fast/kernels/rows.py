"""How the CPU kernels sweep their rows; compiled by Numba.

A kernel goes from the last row to the first and does three things with a stretch of elements:
the terms, which do not depend on each other; the recurrence y = x + a · (y of the row behind),
which is the same for all; and what follows from y. A stretch is a piece of one row, and then all
is done in one loop. Where rows are short, it is a chunk of several taken as one flat array, which
stays in the nearest cache, and the three are loops of their own: two of them become vector
instructions whatever the shape.

Stretches are handed to small inner functions as one-dimensional arrays, because only then do
loops become vector instructions (measured: loops over two indices of seven arrays take 3 to 4
times as long). Few columns keep their last values in registers; the floor of one column is the
latency of one multiply-add.

A kernel takes one argument, the address of `WORDS` words of 64 bits, for each argument of a
foreign call costs more than packing a word: rows, first column, last column + 1, elements from
row to row, five doubles, addresses; where strided, bytes from row to row and column to column.
"""

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

DOUBLES, ADDRESSES, ROW_BYTES, COLUMN_BYTES = 4, 9, 20, 31  # where these words begin
WORDS = 42
SHORT = 48  # a row of fewer columns is too short to be a stretch of its own (a guess)
CHUNK = 1024  # elements of a chunk of short rows
PIECE = 2048  # elements of a piece of a long row
TILE = 16  # columns of a strided sweep: a cache line of each row or column

OPTIONS = {
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    "_nrt": False,  # no reference counts: the code stands by itself, and runs without Numba
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
compiled = njit(**OPTIONS)


def _array(context: Any, builder: Any, kind: Any, data: Any, length: Any, stride: Any) -> Any:
    array = make_array(kind)(context, builder)
    size = context.get_constant(types.intp, kind.dtype.bitwidth // 8)
    populate_array(
        array, data=data, shape=(length,), strides=(stride or size,), itemsize=size, meminfo=None
    )
    return array._getvalue()


def view_of(element: Any, layout: str) -> Any:
    """Return a function from an address, a length and a stride in bytes to an array."""
    kind = types.Array(element, 1, layout)

    @intrinsic
    def view(typing: Any, address: Any, length: Any, stride: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            pointer = builder.inttoptr(given[0], context.get_data_type(element).as_pointer())
            step = given[2] if layout == "A" else None
            return _array(context, builder, kind, pointer, given[1], step)

        return kind(types.intp, types.intp, types.intp), build

    return view


def scratch_of(element: Any, length: int) -> Any:
    """Return a function to an array on the stack."""
    kind = types.Array(element, 1, "C")

    @intrinsic
    def scratch(typing: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            data = cgutils.alloca_once(builder, context.get_data_type(element), size=length)
            count = context.get_constant(types.intp, length)
            return _array(context, builder, kind, data, count, None)

        return kind(), build

    return scratch


@intrinsic
def fused(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a · b + c, rounded once where the machine can, the same in every loop."""

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        number = given[0].type
        kind = ir.FunctionType(number, [number] * 3)
        module = builder.module
        return builder.call(module.declare_intrinsic("llvm.fmuladd", [number], kind), given)

    return a(a, a, a), build


@intrinsic
def double(typing: Any, word: Any) -> Any:
    """Return the double whose bits a word holds."""

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.bitcast(given[0], context.get_data_type(types.float64))

    return types.float64(types.intp), build


def joined_lanes(width: int) -> Any:
    """Return y = y + a · (0 where cut, else behind) for a row of `width` columns at a place."""

    @intrinsic
    def lanes(typing: Any, y: Any, a: Any, cut: Any, behind: Any, base: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            number = context.get_data_type(signature.args[0].dtype)
            kind = ir.VectorType(number, width)
            size = signature.args[0].dtype.bitwidth // 8

            def pointer(k: int, place: Any) -> Any:
                data = make_array(signature.args[k])(context, builder, given[k]).data
                return builder.bitcast(builder.gep(data, [place]), kind.as_pointer())

            start = context.get_constant(types.intp, 0)
            places = [pointer(0, given[4]), pointer(1, given[4]), pointer(2, given[4])]
            old, weight, ends = (builder.load(place, align=size) for place in places)
            kept = pointer(3, start)
            zero = ir.Constant(kind, [0.0] * width)
            tail = builder.select(
                builder.fcmp_unordered("!=", ends, zero), zero, builder.load(kept, align=size)
            )
            function = ir.FunctionType(kind, [kind] * 3)
            name = f"llvm.fmuladd.v{width}{number.intrinsic_name}"
            fma = cgutils.get_or_insert_function(builder.module, function, name)
            new = builder.call(fma, [weight, tail, old])
            builder.store(new, places[0], align=size)
            builder.store(new, kept, align=size)
            return context.get_dummy_value()

        return types.void(y, a, cut, behind, types.intp), build

    return lanes


words_at = view_of(types.intp, "C")


class Sweep:
    """The parts of a kernel for one element type and one layout.

    Args:
        real: the type of the numbers.
        strided: whether arrays have strides of their own; if not, all lie row behind row.
    """

    def __init__(self, real: Any, strided: bool) -> None:
        self.real, self.strided = real, strided
        self.zero = real(0)
        self.floats = self._stretch(real)
        self.flags = self._stretch(types.uint8)

    def _stretch(self, element: Any) -> Any:
        """Return a function to n elements of array k from row t, column b on."""
        strided, kind = self.strided, types.Array(element, 1, "A" if self.strided else "C")
        integer, size = types.intp, element.bitwidth // 8

        @intrinsic
        def stretch(typing: Any, w: Any, k: Any, t: Any, b: Any, n: Any) -> Any:
            def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
                data = make_array(signature.args[0])(context, builder, given[0]).data
                k, t, b, n = given[1:]

                def word(first: int, place: Any) -> Any:
                    at = builder.add(place, context.get_constant(integer, first))
                    return builder.load(builder.gep(data, [at]))

                zero, bytes_each = (context.get_constant(integer, item) for item in (0, size))
                step = word(COLUMN_BYTES, k) if strided else bytes_each
                row = word(ROW_BYTES, k) if strided else builder.mul(word(3, zero), step)
                offset = builder.add(builder.mul(t, row), builder.mul(b, step))
                address = builder.add(word(ADDRESSES, k), offset)
                pointer = builder.inttoptr(address, context.get_data_type(element).as_pointer())
                return _array(context, builder, kind, pointer, n, step if strided else None)

            return kind(w, integer, integer, integer, integer), build

        return stretch

    def _columns(self, width: int) -> Any:
        """Return the recurrence within a chunk of rows; width 0 is any number of columns."""
        zero, one_row, held = self.zero, joined_lanes(width), scratch_of(self.real, max(width, 1))

        @compiled
        def any_columns(y, a, cut, tail, rows, count):
            for row in range(rows):
                base = (rows - 1 - row) * count
                for j in range(count):
                    behind = zero if cut[base + j] != zero else tail[j]
                    tail[j] = fused(a[base + j], behind, y[base + j])
                    y[base + j] = tail[j]

        @compiled
        def fixed_columns(y, a, cut, tail, rows, count):
            behind = held()  # so short an array of fixed length is one register
            for j in range(width):
                behind[j] = tail[j]
            for row in range(rows):
                one_row(y, a, cut, behind, (rows - 1 - row) * width)
            for j in range(width):
                tail[j] = behind[j]

        return fixed_columns if width else any_columns

    def kernel(self, out: int, body: Any, follows: Any) -> Any:
        """Return the kernel whose array `out` takes y.

        Args:
            out: the place of the array among the addresses.
            body: a function from a bool to a function(w, t, b, n, a, cut, tail, last). Given
                True, it does all there is to do with the elements, with y of the row behind in
                `tail`, where it leaves its own; given False, it writes x to `out`, and the
                weights and the cuts to `a` and `cut`.
            follows: function(w, t, b, n, last) that makes of y what is wanted.
        """
        strided, floats = self.strided, self.floats
        scratch = scratch_of(self.real, PIECE)
        one, eight, many = (self._columns(width) for width in (1, 8, 0))
        whole, terms = body(True), body(False)

        def kernel(address):
            w = words_at(address, WORDS, 0)
            steps, first, end, width = w[0], w[1], w[2], w[3]
            a, cut, tail = scratch(), scratch(), scratch()
            if strided or width >= SHORT or width < 1 or end - first < width:
                piece = TILE if strided else PIECE
                for b in range(first, end, piece):
                    n = min(piece, end - b)
                    whole(w, steps - 1, b, n, a, cut, tail, True)
                    for i in range(1, steps):
                        whole(w, steps - 1 - i, b, n, a, cut, tail, False)
                return
            t = steps - 1
            whole(w, t, 0, width, a, cut, tail, True)
            most = CHUNK // width
            while t > 0:
                rows = min(most, t)
                t -= rows
                n = rows * width
                terms(w, t, 0, n, a, cut, tail, False)
                y = floats(w, out, t, 0, n)
                if width == 1:
                    one(y, a, cut, tail, rows, width)
                elif width == 8:
                    eight(y, a, cut, tail, rows, width)
                else:
                    many(y, a, cut, tail, rows, width)
                follows(w, t, 0, n, False)

        return njit(types.void(types.intp), **OPTIONS)(kernel)
