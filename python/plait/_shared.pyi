"""The types of `plait.share`, `zeros`, `empty` and `full`: NumPy's, which `_shared.py` must not import."""

import array
import mmap
from collections.abc import Sequence
from typing import Any, Literal, SupportsIndex, TypeVar, overload

import numpy
from numpy.typing import DTypeLike, NDArray

_T = TypeVar("_T")
_Scalar = TypeVar("_Scalar", bound=numpy.generic)
_Shape = SupportsIndex | Sequence[SupportsIndex]
_Order = Literal["C", "F"]

@overload
def empty(shape: _Shape, dtype: type[float] = ..., order: _Order = "C") -> NDArray[numpy.float64]: ...
@overload
def empty(
    shape: _Shape, dtype: type[_Scalar] | numpy.dtype[_Scalar], order: _Order = "C"
) -> NDArray[_Scalar]: ...
@overload
def empty(shape: _Shape, dtype: DTypeLike, order: _Order = "C") -> NDArray[Any]: ...
@overload
def zeros(shape: _Shape, dtype: type[float] = ..., order: _Order = "C") -> NDArray[numpy.float64]: ...
@overload
def zeros(
    shape: _Shape, dtype: type[_Scalar] | numpy.dtype[_Scalar], order: _Order = "C"
) -> NDArray[_Scalar]: ...
@overload
def zeros(shape: _Shape, dtype: DTypeLike, order: _Order = "C") -> NDArray[Any]: ...
@overload
def full(
    shape: _Shape, fill_value: object, dtype: type[_Scalar] | numpy.dtype[_Scalar], order: _Order = "C"
) -> NDArray[_Scalar]: ...
@overload
def full(
    shape: _Shape, fill_value: object, dtype: DTypeLike | None = None, order: _Order = "C"
) -> NDArray[Any]: ...
@overload
def share(obj: bytes | bytearray | array.array[Any] | mmap.mmap) -> memoryview: ...
@overload
def share(obj: _T) -> _T: ...
