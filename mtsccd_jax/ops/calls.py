"""What calls of `ops` share: JAX's settings at their defaults, checked arguments, few lengths, rows on many devices.

One mistake has one message, whichever function finds it. A compiled program is for one shape. Examples come in any
number, so they are padded to few lengths, and a process that sees new lengths again and again compiles, and keeps, few
programs.

Devices that share the rows of an array add what each makes of its own in the order of the devices, so that results do
not depend on how these are divided over processes.
"""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.typing import ArrayLike
from jaxtyping import Bool, Float, Float32, Int64, Real, Shaped

LABEL_VALUES = "labels are 0 (absent) and 1 (present)"
_SMALLEST_BUCKET = 256
_WHOLE_POWERS = 1024  # up to here the length of a batch is a power of two, so that it may double


@contextmanager
def own_settings() -> Iterator[None]:
    """Hold the settings of JAX that results and programs depend on at its defaults, whatever a process has set.

    They hold in this thread until the block ends; this is also a decorator of functions that are no generators. It
    costs some ten microseconds, and programs compiled before under JAX's defaults are used again. Settings that only
    watch (`jax_debug_nans`) stay as they are, and so does `jax_default_matmul_precision`, which networks on
    accelerators follow and `ops` do not.
    """
    with (
        jax.enable_x64(False),
        jax.disable_jit(False),  # without the compiler, a search or a training would take hours
        jax.default_prng_impl("threefry2x32"),
        jax.threefry_partitionable(True),
        jax.enable_custom_prng(False),
        jax.legacy_prng_key("allow"),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.transfer_guard("allow"),
    ):
        yield


def real_rows(name: str, value: Real[ArrayLike, "n d"], width: int | None = None) -> Float32[Array | np.ndarray, "n d"]:
    """Return real numbers as a float32 matrix where they lie; errors call it `name`.

    Raises:
        ValueError: the argument is no matrix of at least one row and one column (of `width`, if given), or (outside
            `jit`) holds values that are not finite float32.
    """
    given = value if isinstance(value, Array) else np.asarray(value)
    if given.ndim != 2 or 0 in given.shape:
        raise ValueError(f"{name} must be a matrix of at least one row and one column, got shape {given.shape}")
    if width not in (None, given.shape[1]):
        raise ValueError(f"{name} must be of width {width}, got shape {given.shape}")
    if not (jnp.issubdtype(given.dtype, jnp.floating) or jnp.issubdtype(given.dtype, jnp.integer)):
        raise ValueError(f"{name} must hold real numbers, got {given.dtype}")
    with np.errstate(over="ignore"):  # refused just below
        matrix = given.astype(np.float32) if isinstance(given, Array) else given.astype(np.float32, copy=False)
    if not isinstance(matrix, jax.core.Tracer) and not _all_finite(matrix):
        row = int(jnp.argmin(jnp.isfinite(matrix).all(1)))
        raise ValueError(f"{name} holds NaN, infinite or larger than float32 values, first in row {row}")
    return matrix


def class_vector(name: str, value: Shaped[ArrayLike, " n"], classes: int) -> Int64[np.ndarray, " n"]:
    """Return a vector of at least one class number in [0, classes), integers or bool; errors call it `name`."""
    given = np.asarray(value)
    if given.ndim != 1 or given.size == 0:
        raise ValueError(f"{name} must be a vector of at least one example, got shape {given.shape}")
    if given.dtype != bool and not np.issubdtype(given.dtype, np.integer):
        raise ValueError(f"{name} must hold integers, got {given.dtype}")
    outside = np.flatnonzero((given < 0) | (given >= classes))
    if outside.size:
        row = int(outside[0])
        raise ValueError(f"{name}[{row}] is {given[row]}, outside 0 to {classes - 1}")
    return given.astype(np.int64)


def flags(name: str, value: Shaped[ArrayLike, "..."], allowed: str) -> Bool[np.ndarray, "..."]:
    """Return labels, bool or 0 and 1, as bool on the host; the error gives the first other value and `allowed`."""
    given = np.asarray(value)
    if given.dtype != bool:
        odd = (given != 0) & (given != 1)
        if odd.any():
            raise ValueError(f"{_first(name, given, odd)}: {allowed}")
    return given.astype(bool)


def finite_floats(name: str, value: Real[ArrayLike, "..."], what: str) -> Float[np.ndarray, "..."]:
    """Return finite real numbers as float32 or float64 on the host, whichever holds all; errors call them `what`."""
    given = np.asarray(value)
    if not (jnp.issubdtype(given.dtype, jnp.floating) or np.issubdtype(given.dtype, np.integer)):
        raise ValueError(f"{name} must hold real numbers, got {given.dtype}")
    if given.dtype not in (np.float32, np.float64):
        given = given.astype(np.float32 if given.dtype.itemsize <= 2 else np.float64)
    finite = np.isfinite(given)
    if not finite.all():
        raise ValueError(f"{_first(name, given, ~finite)}: {what} must be finite")
    return given


def bucket(n: int) -> int:
    """Return the smallest power of two that is at least `n` and at least 256."""
    return max(_SMALLEST_BUCKET, 1 << (n - 1).bit_length())


def device_bucket(n: int) -> int:
    """Return a length that many lengths are padded to, at most an eighth longer: sorting padding costs time."""
    step = max(_SMALLEST_BUCKET, bucket(n) // 16)
    return -(-n // step) * step


def row_bucket(n: int) -> int:
    """Return the length to pad `n` rows of features to: a power of two, or from 1024 on at most a sixteenth more."""
    power = 1 << (n - 1).bit_length()
    step = power if power <= _WHOLE_POWERS else power // 32
    return -(-n // step) * step


def padded(x: Shaped[Array | np.ndarray, "n ..."], rows: int) -> Shaped[Array | np.ndarray, "p ..."]:
    """Append copies of the last row, up to `rows` in all; on the host where that holds the array, with no program."""
    if rows == len(x):
        return x
    widths = [(0, rows - len(x)), *[(0, 0)] * (x.ndim - 1)]
    return np.pad(np.asarray(x), widths, "edge") if on_host(x) else jnp.pad(x, widths, "edge")


def leading(x: Shaped[Array, "..."], *lengths: int) -> Shaped[Array, "..."]:
    """Return the first entries along the first axes; on the host where that holds the array, with no program."""
    if x.shape[: len(lengths)] == lengths:
        return x
    part = tuple(slice(length) for length in lengths)
    return jax.device_put(np.asarray(x)[part]) if on_host(x) else x[part]


def on_host(x: Shaped[Array | np.ndarray, "..."]) -> bool:
    """Return whether NumPy can read the array where it lies."""
    return isinstance(x, np.ndarray) or (
        not isinstance(x, jax.core.Tracer)
        and x.is_fully_addressable
        and all(device.platform == "cpu" for device in x.devices())
    )


def spans_processes(x: Shaped[ArrayLike, "..."]) -> bool:
    """Return whether an array lies on devices of several processes, which then all make the same calls with it."""
    return isinstance(x, Array) and not isinstance(x, jax.core.Tracer) and not x.is_fully_addressable


def row_mesh(x: Shaped[ArrayLike, "..."]) -> Mesh | None:
    """Return the mesh of one axis over whose devices the rows of an array are divided; None of any other array."""
    if not isinstance(x, Array) or isinstance(x, jax.core.Tracer) or not isinstance(x.sharding, NamedSharding):
        return None
    mesh, spec = x.sharding.mesh, x.sharding.spec
    return mesh if isinstance(mesh, Mesh) and mesh.size > 1 and tuple(spec[:1]) == mesh.axis_names else None


def divided(host: Shaped[np.ndarray, "..."], mesh: Mesh | None, along: int = 0) -> Shaped[Array, "..."]:
    """Place an array that all processes have whole, one axis divided over the devices of a mesh, if there is one."""
    if mesh is None:
        whole: Array = jax.device_put(host)
        return whole
    sharding = NamedSharding(mesh, P(*[None] * along, *mesh.axis_names))
    return jax.make_array_from_callback(host.shape, sharding, host.__getitem__)


def total(x: Shaped[Array, "..."], axis: str | None) -> Shaped[Array, "..."]:
    """Return the sum over the devices of an axis, added in their order, on all of them; `x` where there is no axis."""
    return x if axis is None else lax.all_gather(x, axis).sum(0, dtype=x.dtype)


def gathered(x: Shaped[Array, "..."], axis: str | None, along: int = 0) -> Shaped[Array, "..."]:
    """Return the parts of all devices of an axis, joined in their order; `x` where there is no axis."""
    return x if axis is None else lax.all_gather(x, axis, axis=along, tiled=True)


def of_first(x: Shaped[Array, "..."], axis: str | None) -> Shaped[Array, "..."]:
    """Return what the first device of an axis has, on all of them; `x` where there is no axis."""
    return x if axis is None else lax.all_gather(x, axis)[0]


def check_known(what: str, name: str, known: Iterable[str]) -> None:
    """Raise ValueError, with the nearest known name, unless the name of `what` (such as "metric") is known."""
    names = list(known)
    if name not in names:
        close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.4)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise ValueError(f"unknown {what} {name!r}, known are {', '.join(names)}.{hint}")


def check_at_least_one(**numbers: int) -> None:
    """Raise ValueError unless every number is at least 1."""
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")


def check_level(level: float) -> None:
    """Raise ValueError unless `level` can be the coverage of an interval."""
    if not 0 < level < 1:
        raise ValueError(f"level is a coverage between 0 and 1, got {level}")


def _first(name: str, value: np.ndarray, wrong: np.ndarray) -> str:
    """Name the first wrong value and its place: "distance_n[1] is nan"."""
    place = [int(index) for index in np.argwhere(wrong)[0]]
    return f"{name}{place} is {value[tuple(place)]}"


def _all_finite(x_nd: Array | np.ndarray) -> bool:
    if not on_host(x_nd):
        return bool(_is_largest_finite(x_nd))
    x_nd = np.asarray(x_nd)
    return bool(np.isfinite(x_nd.min()) and np.isfinite(x_nd.max()))  # a mask would take a quarter of the memory


@jax.jit
def _is_largest_finite(x_nd: Array) -> Array:
    return jnp.isfinite(jnp.max(jnp.abs(x_nd)))  # a maximum keeps NaN, and is faster than `all`
