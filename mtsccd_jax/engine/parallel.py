"""Devices and how a step runs on them: the only file that knows of meshes, jit and pmap.

Runs are data parallel on one axis. `jit` partitions the global program; its axes are Auto, so that a class token can be
concatenated and windows reshaped without annotations. `pmap` maps a program of one device, which exchanges gradients
and statistics by the name of the axis. Both use the statistics of the global batch, and so give the same parameters
after the same steps.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import jax
import numpy as np
from flax import nnx
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.stages import Wrapped

from mtsccd_jax import processes
from mtsccd_jax.errors import InputError
from mtsccd_jax.ops.calls import row_bucket
from mtsccd_jax.processes import Rows

AXIS = "data"
Batch = Mapping[str, jax.Array]


@dataclass(frozen=True)
class Parallel:
    """The devices as a mesh with one axis, and the way steps are compiled for them."""

    mode: Literal["jit", "pmap"]
    mesh: Mesh

    @property
    def axis_name(self) -> str | None:
        """The axis that a step must average over by name, or None where the compiler partitions the global program."""
        return AXIS if self.mode == "pmap" else None

    @property
    def platform(self) -> str:
        """The kind of devices: "cpu", "gpu" or "tpu"."""
        platform: str = self.mesh.devices.flat[0].platform
        return platform

    @cached_property
    def replicated(self) -> NamedSharding:
        """The placement of the state: whole, on every device."""
        return NamedSharding(self.mesh, P())

    @cached_property
    def batch_sharding(self) -> NamedSharding:
        """The placement of a batch: its first axis divided over the devices."""
        return NamedSharding(self.mesh, P(AXIS))

    def check_batch(self, batch_size: int, key: str) -> None:
        """Raise InputError unless the global batch divides over the devices."""
        if batch_size <= 0 or batch_size % self.mesh.size:
            above = self.whole_batch(max(batch_size, 1))
            near = " or ".join(str(size) for size in (above - self.mesh.size, above) if size > 0)
            raise InputError(
                f"{key}={batch_size}: must be a positive multiple of the {self.mesh.size} devices; "
                f"take {near}, or fewer devices"
            )

    def whole_batch(self, batch_size: int) -> int:
        """Return the smallest batch of at least `batch_size` examples that divides over the devices."""
        return -(-batch_size // self.mesh.size) * self.mesh.size

    def layout(self, array: Any) -> Any:
        """Return `array` (b, ...) as the compiled step takes it: under pmap (devices, b / devices, ...)."""
        if self.mode == "jit":
            return array
        return array.reshape(self.mesh.size, array.shape[0] // self.mesh.size, *array.shape[1:])

    def abstract_layout(self, array: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        """Return the shape and placement of a global batch's `array` (b, ...) as the compiled step takes it."""
        shape = array.shape
        if self.mode == "pmap":
            shape = (self.mesh.size, shape[0] // self.mesh.size, *shape[1:])
        return jax.ShapeDtypeStruct(shape, array.dtype, sharding=self.batch_sharding)

    def own_rows(self, output: jax.Array) -> np.ndarray:
        """Return this process's rows of an output of a compiled step on the host: (b, ...) of a process alone."""
        if output.is_fully_addressable:
            host = np.asarray(output)
            return host if self.mode == "jit" else host.reshape(-1, *host.shape[2:])
        parts = sorted(output.addressable_shards, key=lambda part: part.index[0].start or 0)
        return np.concatenate([np.asarray(part.data) for part in parts])

    def replicate(self, array: np.ndarray) -> jax.Array:
        """Put an array that all processes have whole on every device."""
        placed: jax.Array = jax.make_array_from_process_local_data(self.replicated, array, array.shape)
        return placed

    def own_part(self, array: np.ndarray) -> np.ndarray:
        """Return this process's part of an array (b, ...) of a whole batch, as `place` takes it."""
        return np.split(array, processes.count())[processes.index()]

    def spread(self, rows: Rows) -> tuple[jax.Array | np.ndarray, np.ndarray]:
        """Leave rows where they are, each device's on that device, for `ops` to work on.

        Returns:
            The rows (s, ...), with zeros in places that hold none; and which row each place holds, (s,), -1 for none.
        """
        if self.mesh.size == 1:
            return rows.own, rows.share.own
        each = row_bucket(max(map(len, rows.share.devices)))
        row_s = np.concatenate([np.pad(its, (0, each - len(its)), constant_values=-1) for its in rows.share.devices])
        own_s = self.own_part(row_s)
        part = np.zeros((len(own_s), *rows.own.shape[1:]), rows.own.dtype)
        part[own_s >= 0] = rows.own[np.searchsorted(rows.share.own, own_s[own_s >= 0])]
        return jax.make_array_from_process_local_data(self.batch_sharding, part), row_s

    def train_view(self, model: nnx.Module, frozen: Callable[[tuple[Any, ...]], bool]) -> nnx.Module:
        """Return the model in training mode; batch norm below a frozen path keeps its running statistics."""
        view = nnx.view(model, use_running_average=False, axis_name=self.axis_name, raise_if_not_found=False)
        return nnx.view(view, only=lambda path, _: frozen(path), use_running_average=True, raise_if_not_found=False)

    def compile_update(self, step: Callable[..., Any]) -> Wrapped:
        """Compile `step(state, batch) -> (state, metrics)`: the old state is donated, all results are replicated."""
        if self.mode == "jit":
            shardings = (self.replicated, self.batch_sharding)
            return jax.jit(step, donate_argnums=0, in_shardings=shardings, out_shardings=self.replicated)
        mapped: Wrapped = jax.pmap(step, axis_name=AXIS, in_axes=(None, 0), out_axes=None, donate_argnums=0)
        return mapped

    def compile_steps(self, step: Callable[..., tuple[Any, Any]], gather: Callable[..., Any]) -> Wrapped:
        """Compile `steps(state, resident, row_sb) -> (state, metrics (s,))`: s training steps in one dispatch.

        Each step takes the batch of its rows (b,) by `gather(resident, row_b)` and the state of the step before it. The
        first state is donated and all results are replicated. A single step is compiled without a loop, because
        XLA:CPU uses slow convolutions inside loops. Only under jit: a program of pmap runs on one device and cannot
        gather from the others.
        """
        assert self.mode == "jit", "pmap takes one step a dispatch"

        def steps(state: Any, resident: Batch, row_sb: jax.Array) -> tuple[Any, Any]:
            def one(state: Any, row_b: jax.Array) -> tuple[Any, Any]:
                return step(state, jax.lax.with_sharding_constraint(gather(resident, row_b), self.batch_sharding))

            if row_sb.shape[0] > 1:
                return jax.lax.scan(one, state, row_sb)
            state, metrics = one(state, row_sb[0])
            return state, jax.tree.map(lambda metric: metric[None], metrics)

        shardings = (self.replicated, self.batch_sharding, self.replicated)
        return jax.jit(steps, donate_argnums=0, in_shardings=shardings, out_shardings=self.replicated)

    def compile_outputs(self, step: Callable[..., Any]) -> Wrapped:
        """Compile `step(state, batch) -> arrays (b, ...)`; results stay divided over the devices."""
        if self.mode == "jit":
            shardings = (self.replicated, self.batch_sharding)
            return jax.jit(step, in_shardings=shardings, out_shardings=self.batch_sharding)
        mapped: Wrapped = jax.pmap(step, axis_name=AXIS, in_axes=(None, 0), out_axes=0)
        return mapped

    def compile_counts(self, step: Callable[..., Any]) -> Wrapped:
        """Compile `step(state, batch) -> sums over the batch`; results are replicated."""
        if self.mode == "jit":
            shardings = (self.replicated, self.batch_sharding)
            return jax.jit(step, in_shardings=shardings, out_shardings=self.replicated)
        mapped: Wrapped = jax.pmap(step, axis_name=AXIS, in_axes=(None, 0), out_axes=None)
        return mapped

    def compile_gather(self, gather: Callable[..., Any]) -> Wrapped:
        """Compile `gather(resident, indices) -> batch`, the batch placed as a step takes it."""

        def gather_and_place(resident: Batch, indices: jax.Array) -> dict[str, jax.Array]:
            return {name: self.layout(array) for name, array in gather(resident, indices).items()}

        return jax.jit(gather_and_place, out_shardings=self.batch_sharding)

    def place(self, batch: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
        """Put this process's part of a batch on its devices, laid out as a compiled step takes it."""
        return {
            name: jax.make_array_from_process_local_data(self.batch_sharding, self._local_layout(array))
            for name, array in batch.items()
        }

    def _local_layout(self, array: np.ndarray) -> np.ndarray:
        """Return this process's part of `array` as the compiled step takes it."""
        if self.mode == "jit":
            return array
        devices = len(self.mesh.local_devices)
        return array.reshape(devices, array.shape[0] // devices, *array.shape[1:])


def find_devices(platform: Literal["cpu", "gpu", "tpu"] | None = None) -> list[jax.Device]:
    """Return all devices of all processes, of a platform or of the one that JAX chooses.

    JAX chooses what JAX_PLATFORMS names, or else the fastest. A platform given here holds for the whole process; give
    it before anything uses a device.

    Raises:
        InputError: The platform has no device here.
    """
    if platform is not None:
        jax.config.update("jax_platforms", "cpu" if platform == "cpu" else None)
    wanted = jax.config.values["jax_platforms"]
    try:
        devices = jax.devices()
    except (RuntimeError, AssertionError) as error:  # an assertion: JAX knows the platform but lacks its plugin
        if not wanted:
            raise
        raise InputError(
            f"JAX_PLATFORMS={wanted}: no such device here{_reason(error)}; name another, or none to take what there is"
        ) from None
    if platform is not None and devices[0].platform != platform:
        raise InputError(
            f"--device {platform}: none here, JAX finds {devices[0].platform}; install JAX for it "
            "(the extras cuda and tpu), or choose another"
        )
    return devices


def _reason(error: Exception) -> str:
    """Return JAX's reason why a platform does not start, in parentheses, or an empty string."""
    return f" ({str(error).splitlines()[0].split(' (set JAX_PLATFORMS')[0].rstrip('.')})" if str(error) else ""


def make_parallel(mode: Literal["jit", "pmap"], devices: list[jax.Device] | None = None) -> Parallel:
    """Return all devices of all processes, or those given, as one data-parallel mesh, process by process.

    Raises:
        InputError: `pmap` over several processes: this JAX compiles no program of it ahead of its first call there.
    """
    if mode == "pmap" and processes.count() > 1:
        raise InputError("engine.parallel=pmap: works in one process; over several take engine.parallel=jit")
    chosen = sorted(devices or find_devices(), key=lambda device: device.process_index)
    return Parallel(mode, Mesh(np.array(chosen), (AXIS,), axis_types=(AxisType.Auto,)))
