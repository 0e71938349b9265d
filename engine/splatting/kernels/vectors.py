"""Sixteen pixels at once: LLVM's vectors, for intrinsics inside numba's kernels.

LLVM splits the vectors where the processor has eight or four lanes. A kernel's ``fastmath`` holds for what is written
here as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

WIDE = 16
F32, I32 = ir.FloatType(), ir.IntType(32)
FLOATS, INTEGERS = ir.VectorType(F32, WIDE), ir.VectorType(I32, WIDE)
LOWEST = -100.0  # exponents below are taken as this
# 2^f for |f| <= 0.5, relative error 2e-7: Cephes' exp2f.
EXP2 = (
    1.535336188319500e-4,
    1.339887440266574e-3,
    9.618437357674640e-3,
    5.550332471162809e-2,
    2.402264791363012e-1,
    6.931472028550421e-1,
    1.0,
)


class Lanes:
    """Writes operations on vectors of float32 at the place of an llvmlite builder."""

    def __init__(self, context: Any, builder: Any):
        self.context, self.b = context, builder

    def constant(self, value: float) -> Any:
        return ir.Constant(FLOATS, [float(np.float32(value))] * WIDE)

    def counting(self) -> Any:
        """0, 1, 2 …"""
        return ir.Constant(FLOATS, [float(i) for i in range(WIDE)])

    def broadcast(self, scalar: Any) -> Any:
        undefined = ir.Constant(FLOATS, ir.Undefined)
        first = self.b.insert_element(undefined, scalar, ir.Constant(I32, 0))
        return self.b.shuffle_vector(first, undefined, ir.Constant(INTEGERS, [0] * WIDE))

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        """x y + z, fused where the processor can."""
        return self._call("llvm.fmuladd.v16f32", x, y, z)

    def least(self, x: Any, y: Any) -> Any:
        return self.b.select(self.b.fcmp_ordered("<", x, y), x, y)

    def most(self, x: Any, y: Any) -> Any:
        return self.b.select(self.b.fcmp_ordered(">", x, y), x, y)

    def exp2(self, x: Any) -> Any:
        """2^x for x up to 0: to the nearest integer, then a polynomial."""
        b = self.b
        x = self.most(x, self.constant(LOWEST))
        whole = b.fptosi(b.fsub(x, self.constant(0.5)), INTEGERS)  # toward 0, and x is not above it
        f = b.fsub(x, b.sitofp(whole, FLOATS))
        value = self.constant(EXP2[0])
        for coefficient in EXP2[1:]:
            value = self.fma(value, f, self.constant(coefficient))
        shift, bias = (ir.Constant(INTEGERS, [n] * WIDE) for n in (23, 127))
        power = b.shl(b.add(whole, bias), shift)
        return b.fmul(value, b.bitcast(power, FLOATS))

    def total(self, x: Any) -> Any:
        """The sum of the lanes, halves first, as a scalar."""
        half = WIDE
        while half > 1:
            half //= 2
            lanes = [*range(half, 2 * half), *range(WIDE - half)][:WIDE]
            moved = self.b.shuffle_vector(x, ir.Constant(FLOATS, ir.Undefined), ir.Constant(INTEGERS, lanes))
            x = self.b.fadd(x, moved)
        return self.b.extract_element(x, ir.Constant(I32, 0))

    def at(self, kind: Any, array: Any, index: Any) -> Any:
        """A pointer to the sixteen values of a one-dimensional float32 array from an index on."""
        data = self.context.make_array(kind)(self.context, self.b, array).data
        return self.b.bitcast(self.b.gep(data, [index]), FLOATS.as_pointer())

    def load(self, place: Any) -> Any:
        value = self.b.load(place)
        value.align = 4
        return value

    def store(self, value: Any, place: Any) -> None:
        self.b.store(value, place).align = 4

    def _call(self, name: str, *values: Any) -> Any:
        function = self.b.module.globals.get(name)
        if function is None:
            function = ir.Function(self.b.module, ir.FunctionType(FLOATS, [FLOATS] * len(values)), name)
        return self.b.call(function, values)
