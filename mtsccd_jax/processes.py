"""The processes of one command, on one host or many: who they are, what they agree on, and what they hand each other.

Every process runs the same code on its share of the rows, on JAX's own distributed runtime. The first one decides what
its clock, its disk or a signal decides, writes all files and speaks; `from_first` and `together` carry this to the
others. A process that is alone is the first of one, and all of this costs it nothing.
"""

import importlib.util
import itertools
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import jax
import numpy as np
from jax._src import distributed
from jax.experimental import multihost_utils

from mtsccd_jax import watchdog
from mtsccd_jax.errors import InputError, RunError

T = TypeVar("T")

# Processes that fail for one reason fail within so long.
_FAILURE_MS = 30 * 1000
# Bytes that each process hands to all others at once: each device holds a copy of all parts.
_BYTES_AT_ONCE = 1 << 24
_turns, _failures = itertools.count(), itertools.count()


def index() -> int:
    """Return the number of this process, from 0."""
    return int(_runtime().process_id)


def count() -> int:
    """Return the number of processes."""
    return int(_runtime().num_processes)


def is_first() -> bool:
    """Return whether this is the process that decides, writes and speaks."""
    return index() == 0


def start(coordinator: str | None, number: int | None, own: int | None) -> None:
    """Join the processes that the three options name, or those that a launcher announces; without either, stay alone.

    Call it before anything uses a device. A process that has joined already stays with those.

    Args:
        coordinator: HOST:PORT of the first process, which listens there.
        number: Processes of the command.
        own: The number of this one, from 0.

    Raises:
        InputError: Some of the three are missing or cannot be.
        RunError: The others cannot be reached.
    """
    if jax.distributed.is_initialized():
        return
    given = {"--coordinator": coordinator, "--processes": number, "--process-id": own}
    if missing := [name for name, value in given.items() if value is None]:
        if len(missing) < len(given):
            raise InputError(f"{', '.join(given)} belong together; {', '.join(missing)} is missing")
        if not _announced():
            return
        coordinator, number, own = _of_environment()
    if number is not None and own is not None and not 0 <= own < number:
        raise InputError(f"--process-id {own}: of {number} processes they are 0 to {number - 1}")
    if coordinator is not None and not coordinator.rpartition(":")[2].isdigit():
        raise InputError(f"--coordinator {coordinator}: expected HOST:PORT of the first process")
    # Its handler of SIGTERM would take the place of ours.
    jax.config.update("jax_enable_preemption_service", False)
    apart = f"{coordinator or 'the coordinator'}: the processes do not come together"
    watchdog.on_abort(f"{apart} in five minutes; start all of them, and the first where --coordinator says")
    try:
        jax.distributed.initialize(coordinator, number, own)
    except (RuntimeError, ValueError) as error:
        if isinstance(error, ValueError) and not any(given.values()) and not _announced(by_tpu=False):
            watchdog.on_abort(None)
            return  # libtpu without a TPU
        raise RunError(f"{apart} ({' '.join(str(error).split())[:150]})") from None
    if count() > 1:
        watchdog.watch(_client(), index())
    else:
        watchdog.on_abort(None)


def finish() -> None:
    """End a command in all processes together, once the first has written all it writes."""
    from_first(None)


def _announced(by_tpu: bool = True) -> bool:
    """Return whether a launcher has started this process as one of several, or JAX has to ask a TPU if there is one."""
    known = os.environ
    numbers = (known.get(name, "1") for name in ("JAX_NUM_PROCESSES", "OMPI_COMM_WORLD_SIZE"))
    if any(number != "1" for number in numbers):
        return True
    if {"SLURM_PROCID", "SLURM_STEP_NODELIST"} <= known.keys():
        return known.get("SLURM_NTASKS", "1") != "1"
    is_indexed_job = {"KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"} <= known.keys()
    return is_indexed_job or (by_tpu and importlib.util.find_spec("libtpu") is not None)


def _of_environment() -> tuple[str | None, int | None, int | None]:
    """Return coordinator, number and own number where the variables of JAX name them; JAX finds the rest."""
    return os.environ.get("JAX_COORDINATOR_ADDRESS"), _number_in("JAX_NUM_PROCESSES"), _number_in("JAX_PROCESS_ID")


def _number_in(name: str) -> int | None:
    """Return the number in a variable of the environment, None where it is not set."""
    if (value := os.environ.get(name)) is None:
        return None
    if not value.isdigit():
        raise InputError(f"{name}={value}: expected a number")
    return int(value)


def from_first(value: T) -> T:
    """Return the value (of JSON's types) that the first process has; all of them must call this."""
    if count() == 1:
        return value
    if is_first():
        _put(f"agreed/{next(_turns)}", value)
        return value
    agreed: T = _get(f"agreed/{next(_turns)}")
    return agreed


def check_alike(chosen: dict[str, str]) -> None:
    """Raise InputError in all processes where one was started with other options than the first, with their name."""
    of_first = from_first(chosen)
    differing = sorted(name for name in {**of_first, **chosen} if of_first.get(name) != chosen.get(name))
    with together():
        if differing:
            raise InputError(f"{', '.join(differing)} differs from the first process; start all of them alike")


@contextmanager
def together() -> Iterator[None]:
    """End the block in all processes alike: an error of one is raised in all, so that none waits for it for ever.

    The block must not wait for other processes itself.

    Raises:
        InputError, RunError, OSError: One process raised it.
    """
    if count() == 1:
        yield
        return
    turn, mine = next(_turns), f"outcome/{{}}/{index()}"
    try:
        yield
    except (InputError, RunError, OSError) as error:
        _put(mine.format(turn), [type(error).__name__, error.args, getattr(error, "filename", None)])
        raise
    _put(mine.format(turn), None)
    for other in range(count()):
        if outcome := _get(f"outcome/{turn}/{other}"):
            raise _raised(f"process {other}", *outcome)


def by_first(act: Callable[[], T]) -> T:
    """Return what `act` returns in the first process (of JSON's types), in all; its error is raised in all."""
    done: list[T] = []
    with together():
        if is_first():
            done.append(act())
    value: T = from_first(done[0] if done else None)  # type: ignore[assignment]
    return value


def check_all_failed(error: Exception) -> None:
    """Raise an error again unless all processes have failed here, so that they can go on together.

    A process that failed alone must end: the others wait for it where it will not come.
    """
    global _turns
    if count() > 1:
        failure = next(_failures)
        try:
            _client().wait_at_barrier(_key(f"failure/{failure}"), _FAILURE_MS)
        except Exception:  # the runtime's own
            raise error from None
        _turns = itertools.count((failure + 1) * 10**9)  # they may have failed after more or fewer turns


def _raised(where: str, kind: str, arguments: Sequence[Any], filename: str | None) -> Exception:
    """Return the error that another process raised."""
    text = ": ".join(map(str, [where, *([filename] if filename else ()), *arguments]))
    return InputError(text) if kind == "InputError" else RunError(text)


def joined(own: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
    """Return the arrays of all processes, `lengths` rows of each, one after the other, bit for bit."""
    if len(lengths) == 1:
        return own
    width = own.dtype.itemsize * math.prod(own.shape[1:])
    content = np.zeros((max(lengths), width), np.uint8)
    content[: len(own)] = np.frombuffer(np.ascontiguousarray(own).tobytes(), np.uint8).reshape(len(own), width)
    step = max(1, _BYTES_AT_ONCE // max(1, width))
    parts = [multihost_utils.process_allgather(content[i : i + step]) for i in range(0, len(content), step)]
    of_processes = np.concatenate(parts, axis=1)
    rows = np.concatenate([of_processes[process, :length] for process, length in enumerate(lengths)])
    whole: np.ndarray = rows.reshape(-1).view(own.dtype).reshape(-1, *own.shape[1:])
    return whole


@dataclass(frozen=True)
class Share:
    """Which of n rows each device has, ascending; the devices of a process follow each other."""

    devices: tuple[np.ndarray, ...]

    @cached_property
    def rows(self) -> tuple[np.ndarray, ...]:
        """The rows of each process, ascending."""
        here = len(self.devices) // count()
        return tuple(np.sort(np.concatenate(self.devices[i : i + here])) for i in range(0, len(self.devices), here))

    @property
    def own(self) -> np.ndarray:
        """The rows of this process, (m,)."""
        return self.rows[index()]

    def whole(self, own_m: np.ndarray) -> np.ndarray:
        """Return the values of all n rows, given those of this process's (m, ...); all processes must call this."""
        if len(self.rows) == 1:
            return own_m
        in_turn = joined(own_m, [len(rows) for rows in self.rows])
        whole_n = np.empty_like(in_turn)
        whole_n[np.concatenate(self.rows)] = in_turn
        return whole_n

    def each(self, function: Callable[..., jax.Array | np.ndarray], *own_arrays: np.ndarray) -> np.ndarray:
        """Return what a function makes of all rows, row by row; each process calls it with its own.

        All call it with as many rows, some of zeros: a program for fewer may round otherwise.
        """
        if len(self.rows) == 1:
            return np.asarray(function(*own_arrays))
        most = max(len(rows) for rows in self.rows)
        even = (np.pad(array, [(0, most - len(array)), *[(0, 0)] * (array.ndim - 1)]) for array in own_arrays)
        return self.whole(np.asarray(function(*even))[: len(self.own)])

    def among(self, some: np.ndarray) -> "Share":
        """Return the share of some of the rows, ascending, which count from 0 then."""
        return Share(tuple(np.flatnonzero(np.isin(some, rows)) for rows in self.devices))


@dataclass(frozen=True, eq=False)
class Rows:
    """An array of n rows, of which each process holds its share.

    Attributes:
        own: (m, ...), the rows of this process.
        share: Which of the n they are.
    """

    own: np.ndarray
    share: Share

    @cached_property
    def whole(self) -> np.ndarray:
        """All rows, (n, ...). Many processes hand them to each other, so all must ask."""
        return self.share.whole(self.own)


def ask(name: str, value: Any) -> None:
    """Tell the first process something in passing, to be read there by `asked`."""
    _put(f"asked/{name}/{index()}", value)


def asked(name: str) -> list[Any]:
    """Return what the processes have told under a name so far, in the first process."""
    return [json.loads(value) for _, value in _client().key_value_dir_get(_key(f"asked/{name}/"))]


def _put(name: str, value: Any) -> None:
    _client().key_value_set(_key(name), json.dumps(value), allow_overwrite=True)


def _get(name: str) -> Any:
    """Wait for a value; once a second Python has its turn, so that signals are heard."""
    while True:
        try:
            return json.loads(_client().blocking_key_value_get(_key(name), 1000))
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise


def _key(name: str) -> str:
    return f"mtsccd-jax/{name}"


def _client() -> Any:
    return _runtime().client


def _runtime() -> Any:
    """Return the state of JAX's distributed runtime: its public names start the devices, and give no client."""
    return distributed.global_state
