"""Three vector loops that numba cannot be made to write by itself, as LLVM instructions.

Around one word there are M context rows of one matrix and K output rows of the other, and the work of
skip-gram is two tiny matrix products over them (Ji et al. 2016, https://arxiv.org/abs/1604.04661). Written in
Python they compile to loops with checks for overlapping memory, a horizontal sum after each row and a tail;
here they are blocks of registers. Rows are float32, aligned to 64 bytes and padded with zeros to a multiple
of `LANES` numbers, which stay zero because a zero times anything is added to them.

Needs numba (the extra `fast`). What each loop computes is written above it in numpy, and tested against it.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types

from tx.word2vec.numba_cache import instruction

LANES = 16  # a row's length is a multiple of this
_FEATURES = llvm.get_host_cpu_features()
WIDTH = 16 if _FEATURES.get("avx512f") else 8 if _FEATURES.get("avx2") else 4  # numbers in a register
GROUP = 6 if WIDTH == 16 else 3  # output rows whose registers are held at once, with a sum for each

_FLOAT, _INT, _VOID = ir.FloatType(), ir.IntType(64), ir.VoidType()
_VECTOR = ir.VectorType(_FLOAT, WIDTH)
_ZERO = ir.Constant(_VECTOR, [0.0] * WIDTH)
Value = Any  # of llvmlite, which is not typed


class _Emit:
    """Emits instructions at one place of a function that numba is compiling."""

    def __init__(self, context: Any, builder: Any) -> None:
        self.context, self.builder = context, builder

    def loop(self, n: Value) -> AbstractContextManager[Any]:
        """`for index in range(n)`, as a context manager."""
        loop: AbstractContextManager[Any] = cgutils.for_range(self.builder, n)
        return loop

    def item(self, kind: Any, array: Value, i: Value) -> Value:
        """`array[i]` of a contiguous array of integers, as 64 bits."""
        data = self.context.make_array(kind)(self.context, self.builder, array).data
        value = self.builder.load(self.builder.gep(data, [i]))
        return value if value.type == _INT else self.builder.sext(value, _INT)

    def row(self, kind: Any, matrix: Value, i: Value) -> Value:
        """The address of `matrix[i]`, a number."""
        array = self.context.make_array(kind)(self.context, self.builder, matrix)
        stride = cgutils.unpack_tuple(self.builder, array.strides)[0]
        base = self.builder.ptrtoint(array.data, _INT)
        return self.builder.add(base, self.builder.mul(i, stride))

    def at(self, address: Value, offset: Value, kind: Any) -> Value:
        """A pointer `offset` float32 numbers after `address`."""
        offset = self.builder.mul(offset, _INT(4))
        return self.builder.inttoptr(self.builder.add(address, offset), kind.as_pointer())

    def load(self, row: Value, chunk: Value) -> Value:
        """Register number `chunk` of a row."""
        place = self.at(row, self.builder.mul(chunk, _INT(WIDTH)), _VECTOR)
        return self.builder.load(place, align=WIDTH * 4)

    def store(self, value: Value, row: Value, chunk: Value) -> None:
        place = self.at(row, self.builder.mul(chunk, _INT(WIDTH)), _VECTOR)
        self.builder.store(value, place, align=WIDTH * 4)

    def multiply_add(self, a: Value, b: Value, c: Value) -> Value:
        """`a * b + c`, rounded once where the processor can."""
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        return self._call(f"llvm.fmuladd.v{WIDTH}f32", kind, [a, b, c])

    def sum(self, vector: Value) -> Value:
        """The sum of a register's numbers, in the order that is quickest."""
        kind = ir.FunctionType(_FLOAT, [_FLOAT, _VECTOR])
        return self._call(f"llvm.vector.reduce.fadd.v{WIDTH}f32", kind, [_FLOAT(0.0), vector], ("fast",))

    def splat(self, number: Value) -> Value:
        """A register full of one number."""
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        one = self.builder.insert_element(undefined, number, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
        return self.builder.shuffle_vector(one, undefined, zeros)

    def sums(self, n: int) -> list[Value]:
        """Places for `n` running sums; LLVM keeps them in registers."""
        places = [cgutils.alloca_once(self.builder, _VECTOR) for _ in range(n)]
        for place in places:
            self.builder.store(_ZERO, place)
        return places

    def accumulate(self, place: Value, a: Value, b: Value) -> None:
        self.builder.store(self.multiply_add(a, b, self.builder.load(place)), place)

    def prefetch(self, address: Value) -> None:
        """Ask for the cache line at `address`, for reading and writing soon."""
        i8, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(_VOID, [i8, i32, i32, i32])
        place = self.builder.inttoptr(address, i8)
        self._call("llvm.prefetch.p0", kind, [place, i32(1), i32(3), i32(1)])

    def _call(self, name: str, kind: Any, args: Sequence[Value], fastmath: Sequence[str] = ()) -> Value:
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, args, fastmath=fastmath)


Signature = tuple[Any, Callable[..., Value]]


# G[:m, :K] = X[rows[:m]] @ Y[outs[:K]].T
@instruction
def dots(typing: Any, X: Any, rows: Any, m: Any, Y: Any, outs: Any, G: Any, K: Any, C: Any) -> Signature:
    """The products of `m` rows of X with K rows of Y, over C registers (K and C are compile-time constants)."""

    def generate(context: Any, builder: Any, signature: Any, values: Sequence[Value]) -> Value:
        emit = _Emit(context, builder)
        kinds = signature.args
        ys = [
            emit.row(kinds[3], values[3], emit.item(kinds[4], values[4], _INT(k)))
            for k in range(K.literal_value)
        ]
        with emit.loop(values[2]) as at:
            x = emit.row(kinds[0], values[0], emit.item(kinds[1], values[1], at.index))
            g = emit.row(kinds[5], values[5], at.index)
            for group in range(0, len(ys), 8):
                held = ys[group : group + 8]
                sums = emit.sums(len(held))
                with emit.loop(_INT(C.literal_value)) as chunk:
                    a = emit.load(x, chunk.index)
                    for y, place in zip(held, sums, strict=True):
                        emit.accumulate(place, a, emit.load(y, chunk.index))
                for k, place in enumerate(sums, group):
                    builder.store(emit.sum(builder.load(place)), emit.at(g, _INT(k), _FLOAT))
        return context.get_dummy_value()

    return types.void(X, rows, m, Y, outs, G, K, C), generate


# X[rows[:m]] += G[:m, :K] @ Y[outs[:K]] and Y[outs[:K]] += G[:m, :K].T @ X[rows[:m]], from the old X and Y
@instruction
def update(typing: Any, X: Any, rows: Any, m: Any, Y: Any, outs: Any, G: Any, K: Any, C: Any) -> Signature:
    """Add to both sides at once what the gradients G [m, K] say; a row that occurs twice gets both sums."""

    def generate(context: Any, builder: Any, signature: Any, values: Sequence[Value]) -> Value:
        emit = _Emit(context, builder)
        kinds = signature.args
        ys = [
            emit.row(kinds[3], values[3], emit.item(kinds[4], values[4], _INT(k)))
            for k in range(K.literal_value)
        ]
        for group in range(0, len(ys), GROUP):
            held = ys[group : group + GROUP]
            with emit.loop(_INT(C.literal_value)) as chunk:
                old = [emit.load(y, chunk.index) for y in held]
                sums = emit.sums(len(held))
                with emit.loop(values[2]) as at:
                    x = emit.row(kinds[0], values[0], emit.item(kinds[1], values[1], at.index))
                    g = emit.row(kinds[5], values[5], at.index)
                    a = new = emit.load(x, chunk.index)
                    for k, (b, place) in enumerate(zip(old, sums, strict=True), group):
                        weight = emit.splat(builder.load(emit.at(g, _INT(k), _FLOAT)))
                        new = emit.multiply_add(weight, b, new)
                        emit.accumulate(place, weight, a)
                    emit.store(new, x, chunk.index)
                for y, place in zip(held, sums, strict=True):  # loaded again: two of them may be one row
                    emit.store(builder.fadd(emit.load(y, chunk.index), builder.load(place)), y, chunk.index)
        return context.get_dummy_value()

    return types.void(X, rows, m, Y, outs, G, K, C), generate


@instruction
def prefetch(typing: Any, matrix: Any, row: Any) -> Signature:
    """Ask for `matrix[row]` to be in the cache soon; nothing changes but the speed."""

    def generate(context: Any, builder: Any, signature: Any, values: Sequence[Value]) -> Value:
        emit = _Emit(context, builder)
        kind, row = signature.args[0], values[1]
        array = context.make_array(kind)(context, builder, values[0])
        n_bytes = cgutils.unpack_tuple(builder, array.strides)[0]
        address = emit.row(kind, values[0], row)
        with emit.loop(builder.udiv(n_bytes, _INT(LANES * 4))) as line:
            emit.prefetch(builder.add(address, builder.mul(line.index, _INT(LANES * 4))))
        return context.get_dummy_value()

    return types.void(matrix, row), generate
