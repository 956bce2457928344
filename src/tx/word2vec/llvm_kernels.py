"""Three vector loops as LLVM instructions, because numba does not generate them well enough from Python.

For one word there are M context rows of one matrix and K output rows of the other, and skip-gram computes two tiny
matrix products of them (Ji et al. 2016, https://arxiv.org/abs/1604.04661). Written in Python, they compile to loops
with checks for overlapping memory, a horizontal sum after each row and a tail; here they work on blocks of registers.
Rows are float32, aligned to 64 bytes and padded with zeros to a multiple of `LANES` numbers. The padding stays zero,
because only multiples of zero are added to it.

This module needs numba. The comment above each loop shows in numpy what it computes, and a test compares the two.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types

from tx.word2vec.jit import intrinsic

LANES = 16  # a row's length is a multiple of this
_FEATURES = llvm.get_host_cpu_features()
WIDTH = 16 if _FEATURES.get("avx512f") else 8 if _FEATURES.get("avx2") else 4  # numbers in a register
GROUP = 6 if WIDTH == 16 else 3  # output rows in registers at once, with a sum for each

_FLOAT, _INT, _VOID = ir.FloatType(), ir.IntType(64), ir.VoidType()
_VECTOR = ir.VectorType(_FLOAT, WIDTH)
_ZERO = ir.Constant(_VECTOR, [0.0] * WIDTH)
Value = Any  # of llvmlite, which is not typed


class _Emitter:
    """Emits instructions into a function that numba is compiling."""

    def __init__(self, context: Any, builder: Any) -> None:
        self.context, self.builder = context, builder

    def loop(self, n: Value) -> AbstractContextManager[Any]:
        """`for index in range(n)`, as a context manager."""
        loop: AbstractContextManager[Any] = cgutils.for_range(self.builder, n)
        return loop

    def row(self, kind: Any, matrix: Value, i: Value) -> Value:
        """The address of `matrix[i]`, as an integer."""
        array = self.context.make_array(kind)(self.context, self.builder, matrix)
        stride = cgutils.unpack_tuple(self.builder, array.strides)[0]
        base = self.builder.ptrtoint(array.data, _INT)
        return self.builder.add(base, self.builder.mul(i, stride))

    def indexed_row(self, kind: Any, matrix: Value, index_kind: Any, index: Value, i: Value) -> Value:
        """The address of `matrix[index[i]]`, where `index` is a contiguous array of integers."""
        data = self.context.make_array(index_kind)(self.context, self.builder, index).data
        value = self.builder.load(self.builder.gep(data, [i]))
        return self.row(kind, matrix, value if value.type == _INT else self.builder.sext(value, _INT))

    def at(self, address: Value, offset: Value, kind: Any) -> Value:
        """A pointer `offset` float32 numbers after `address`."""
        offset = self.builder.mul(offset, _INT(4))
        return self.builder.inttoptr(self.builder.add(address, offset), kind.as_pointer())

    def chunk(self, row: Value, i: Value) -> Value:
        """A pointer to chunk `i` of a row: the numbers that fill a register."""
        return self.at(row, self.builder.mul(i, _INT(WIDTH)), _VECTOR)

    def load(self, row: Value, i: Value) -> Value:
        """Chunk `i` of a row in a register."""
        return self.builder.load(self.chunk(row, i), align=WIDTH * 4)

    def store(self, value: Value, row: Value, i: Value) -> None:
        """Write a register to chunk `i` of a row."""
        self.builder.store(value, self.chunk(row, i), align=WIDTH * 4)

    def multiply_add(self, a: Value, b: Value, c: Value) -> Value:
        """`a * b + c`, rounded once where the processor can."""
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        return self._call(f"llvm.fmuladd.v{WIDTH}f32", kind, [a, b, c])

    def sum(self, vector: Value) -> Value:
        """The sum of the numbers in a register, in any order."""
        kind = ir.FunctionType(_FLOAT, [_FLOAT, _VECTOR])
        return self._call(f"llvm.vector.reduce.fadd.v{WIDTH}f32", kind, [_FLOAT(0.0), vector], ("fast",))

    def splat(self, number: Value) -> Value:
        """A register filled with one number."""
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        one = self.builder.insert_element(undefined, number, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
        return self.builder.shuffle_vector(one, undefined, zeros)

    def zeros(self, n: int) -> list[Value]:
        """Pointers to `n` vector sums, zero at first; LLVM keeps them in registers."""
        sums = [cgutils.alloca_once(self.builder, _VECTOR) for _ in range(n)]
        for sum in sums:
            self.builder.store(_ZERO, sum)
        return sums

    def accumulate(self, sum: Value, a: Value, b: Value) -> None:
        """Add `a * b` to a vector sum."""
        self.builder.store(self.multiply_add(a, b, self.builder.load(sum)), sum)

    def prefetch(self, address: Value) -> None:
        """Prefetch the cache line at `address` for reading and writing."""
        i8, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(_VOID, [i8, i32, i32, i32])
        self._call("llvm.prefetch.p0", kind, [self.builder.inttoptr(address, i8), i32(1), i32(3), i32(1)])

    def _call(self, name: str, kind: Any, args: Sequence[Value], fastmath: Sequence[str] = ()) -> Value:
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, args, fastmath=fastmath)


Signature = tuple[Any, Callable[..., Value]]


# G[:m, :K] = X[rows[:m]] @ Y[outs[:K]].T
@intrinsic
def dots(typing: Any, X: Any, rows: Any, m: Any, Y: Any, outs: Any, G: Any, K: Any, C: Any) -> Signature:
    """The dot products of `m` rows of X and K rows of Y, of C registers each (K and C are compile-time constants)."""

    def generate(context: Any, builder: Any, signature: Any, values: Sequence[Value]) -> Value:
        emit = _Emitter(context, builder)
        arrays = list(zip(signature.args, values, strict=True))
        ys = [emit.indexed_row(*arrays[3], *arrays[4], _INT(k)) for k in range(K.literal_value)]
        with emit.loop(values[2]) as at:
            x = emit.indexed_row(*arrays[0], *arrays[1], at.index)
            g = emit.row(*arrays[5], at.index)
            for group in range(0, len(ys), 8):
                held = ys[group : group + 8]
                sums = emit.zeros(len(held))
                with emit.loop(_INT(C.literal_value)) as chunk:
                    a = emit.load(x, chunk.index)
                    for y, total in zip(held, sums, strict=True):
                        emit.accumulate(total, a, emit.load(y, chunk.index))
                for k, total in enumerate(sums, group):
                    builder.store(emit.sum(builder.load(total)), emit.at(g, _INT(k), _FLOAT))
        return context.get_dummy_value()

    return types.void(X, rows, m, Y, outs, G, K, C), generate


# X[rows[:m]] += G[:m, :K] @ Y[outs[:K]] and Y[outs[:K]] += G[:m, :K].T @ X[rows[:m]], from the old X and Y
@intrinsic
def update(typing: Any, X: Any, rows: Any, m: Any, Y: Any, outs: Any, G: Any, K: Any, C: Any) -> Signature:
    """Add the gradients, with weights G [m, K], to both sides at once; a row that occurs twice gets both sums."""

    def generate(context: Any, builder: Any, signature: Any, values: Sequence[Value]) -> Value:
        emit = _Emitter(context, builder)
        arrays = list(zip(signature.args, values, strict=True))
        ys = [emit.indexed_row(*arrays[3], *arrays[4], _INT(k)) for k in range(K.literal_value)]
        for group in range(0, len(ys), GROUP):
            held = ys[group : group + GROUP]
            with emit.loop(_INT(C.literal_value)) as chunk:
                old = [emit.load(y, chunk.index) for y in held]
                sums = emit.zeros(len(held))
                with emit.loop(values[2]) as at:
                    x = emit.indexed_row(*arrays[0], *arrays[1], at.index)
                    g = emit.row(*arrays[5], at.index)
                    a = new = emit.load(x, chunk.index)
                    for k, (b, total) in enumerate(zip(old, sums, strict=True), group):
                        weight = emit.splat(builder.load(emit.at(g, _INT(k), _FLOAT)))
                        new = emit.multiply_add(weight, b, new)
                        emit.accumulate(total, weight, a)
                    emit.store(new, x, chunk.index)
                for y, total in zip(held, sums, strict=True):  # loaded again: two of them may be the same row
                    emit.store(builder.fadd(emit.load(y, chunk.index), builder.load(total)), y, chunk.index)
        return context.get_dummy_value()

    return types.void(X, rows, m, Y, outs, G, K, C), generate


@intrinsic
def prefetch(typing: Any, matrix: Any, row: Any) -> Signature:
    """Prefetch `matrix[row]` into the processor's cache; only the speed changes."""

    def generate(context: Any, builder: Any, signature: Any, values: Sequence[Value]) -> Value:
        emit = _Emitter(context, builder)
        kind, row = signature.args[0], values[1]
        array = context.make_array(kind)(context, builder, values[0])
        n_bytes = cgutils.unpack_tuple(builder, array.strides)[0]
        address = emit.row(kind, values[0], row)
        with emit.loop(builder.udiv(n_bytes, _INT(LANES * 4))) as line:
            emit.prefetch(builder.add(address, builder.mul(line.index, _INT(LANES * 4))))
        return context.get_dummy_value()

    return types.void(matrix, row), generate
