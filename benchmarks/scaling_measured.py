"""Scaling as measured on this machine: fake CPU devices in one process, and processes on loopback, against one device.

    python benchmarks/scaling_measured.py [--rounds 3] [--steps 12] [--batch 16] [--image-size 64] [--out FILE]

Every entry is `mtsccd-jax train` of ResNet-18 at half its width on resident scenes made up for it, in processes of its
own that take turns: one device, 8 devices in one process (JAX_NUM_CPU_DEVICES), and 2 and 4 processes of one device.
"strong" divides the batch of one device among all; "weak" gives each that batch. They share the cores, of which one
device uses all as well: "of_one" is their images/s over those of one device, round by round, and 1 is all there is.

What the exchange takes is measured apart: "gradients_ms" is an all-reduce (Gloo between processes) of as many bytes as
the gradients have, "small_ms" one of 64 channels, and "exchange_ms" the first and three of the latter a layer of batch
norm, which a step needs. "exchange_share" is that in a step; what else a step takes longer is contention for the cores.
"loads" are the 1-minute load before and after: with other programs beside it, all of this says little.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from record import make_parser, publish, scaled, spread
from step_overhead import write_scenes

from mtsccd_jax.models import Settings, create_model
from mtsccd_jax.models.layers.normalization import BatchNorm
from mtsccd_jax.perf.timing import Timing

WIDTH, SMALL_BYTES, NORM_EXCHANGES = 0.5, 4 * 64, 3
EXCHANGES = 20  # that are timed


@dataclass(frozen=True)
class Entry:
    """A training by processes of some devices each; `scaling` is None for one device, the peer of the others."""

    processes: int
    devices: int
    scaling: str | None = None

    def batch(self, of_one: int) -> int:
        """Return the images of a step, where one device has `of_one`."""
        return of_one * self.processes * self.devices if self.scaling == "weak" else of_one


ONE = Entry(1, 1)
SHAPES = ((1, 8), (2, 1), (4, 1))
ENTRIES = (ONE, *(Entry(*shape, scaling) for shape in SHAPES for scaling in ("strong", "weak")))


def main() -> None:
    parser = make_parser(__doc__, rounds=3, steps=12, batch=16, image_size=64)
    parser.add_argument("--exchange", type=int, help=argparse.SUPPRESS)  # bytes: one process of a measurement
    for name, kind in (("coordinator", str), ("processes", int), ("process-id", int)):
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.exchange:
        if options.coordinator:
            jax.distributed.initialize(options.coordinator, options.processes, options.process_id)
        print(exchange_s(options.exchange))
        return
    loads = [round(os.getloadavg()[0], 1)]
    with tempfile.TemporaryDirectory() as place:
        step_s = measure(options, Path(place))
    rows = list(rows_of(step_s, options))
    loads.append(round(os.getloadavg()[0], 1))
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()), file=sys.stderr)
    conditions = {"model": "resnet18", "width": WIDTH, "image_size": options.image_size, "loads": loads}
    publish({"benchmark": "measured scaling"} | conditions | {"rows": rows}, options.out)


def measure(options: argparse.Namespace, place: Path) -> dict[Entry, Timing]:
    """Train all entries in turns; return the seconds of their steps."""
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(place / "compiled")  # later rounds compile nothing
    for batch in {entry.batch(options.batch) for entry in ENTRIES}:
        write_scenes(place / f"scenes{batch}", options.steps * batch, options.image_size)
    found: dict[Entry, list[float]] = {entry: [] for entry in ENTRIES}
    for turn in range(options.rounds):
        for entry in ENTRIES if turn % 2 else reversed(ENTRIES):
            found[entry].append(train(entry, options, place, f"turn{turn}"))
            print(f"round {turn}: {entry}: {1e3 * found[entry][-1]:.0f} ms a step", file=sys.stderr)
    return {entry: Timing(tuple(samples)) for entry, samples in found.items()}


def train(entry: Entry, options: argparse.Namespace, place: Path, turn: str) -> float:
    """Return the seconds of a training step."""
    batch = entry.batch(options.batch)
    scenes, run = place / f"scenes{batch}", place / f"{turn}-{entry.processes}-{entry.devices}-{entry.scaling}"
    settings = [f"model.width={WIDTH}", f"engine.batch_size={batch}", "engine.epochs=1", "engine.validate=False"]
    settings += [f"data.image_size={options.image_size}", "data.input=resident", "data.crop_padding=0"]
    command = ["-m", "mtsccd_jax", "train", "demo", "--folder", str(scenes), "--workdir", str(run)]
    said = together(entry, *command, *(word for setting in settings for word in ("--set", setting)))
    return batch / json.loads(said)["images_per_s"]


def together(entry: Entry, *command: str) -> str:
    """Run a command in the processes of an entry; return the last line of the first."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(entry.devices)}
    with socket.socket() as free:
        free.bind(("localhost", 0))
        where = f"localhost:{free.getsockname()[1]}"
    started = []
    for process in range(entry.processes):
        numbers = ["--coordinator", where, "--processes", str(entry.processes), "--process-id", str(process)]
        words = [sys.executable, *command, *(numbers if entry.processes > 1 else [])]
        started.append(
            subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    ended = [process.communicate() for process in started]
    for process, (_, error) in zip(started, ended, strict=True):
        if process.returncode:
            sys.exit(f"{' '.join(command)}: status {process.returncode}\n{error}")
    return ended[0][0].splitlines()[-1]


def exchange_s(size: int) -> float:
    """Return the seconds of an all-reduce of `size` bytes over the devices of all processes."""
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
    parts = NamedSharding(mesh, PartitionSpec("data"))
    value = jax.make_array_from_callback(
        (jax.device_count(), size // 4), parts, lambda index: np.ones((1, size // 4), np.float32)
    )
    add = jax.jit(lambda value: value.sum(0), out_shardings=NamedSharding(mesh, PartitionSpec()))
    samples = []
    for _ in range(2 + EXCHANGES):
        started = time.perf_counter()
        add(value).block_until_ready()
        samples.append(time.perf_counter() - started)
    return statistics.median(samples[2:])


def rows_of(step_s: dict[Entry, Timing], options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield a row for each entry."""
    gradient_bytes, layers = network_size(options.image_size)
    times = {shape: [exchange_by(Entry(*shape), size) for size in (gradient_bytes, SMALL_BYTES)] for shape in SHAPES}
    for entry, timing in step_s.items():
        row = asdict(entry) | {"batch": entry.batch(options.batch), "step_ms": round(1e3 * timing.median_s, 2)}
        if entry.scaling is None:
            yield row
            continue
        factor = entry.batch(options.batch) / options.batch
        of_one = spread(scaled(step_s[ONE], factor), timing)
        gradients_s, small_s = times[entry.processes, entry.devices]
        exchange_ms = 1e3 * (gradients_s + NORM_EXCHANGES * layers * small_s)
        row |= {"of_one": of_one, "gradients_ms": round(1e3 * gradients_s, 2), "small_ms": round(1e3 * small_s, 3)}
        yield row | {"exchange_ms": round(exchange_ms, 2), "exchange_share": round(exchange_ms / row["step_ms"], 3)}


def exchange_by(entry: Entry, size: int) -> float:
    """Return the seconds of an all-reduce by the processes of an entry."""
    return float(together(entry, __file__, "--exchange", str(size)))


def network_size(image_size: int) -> tuple[int, int]:
    """Return the bytes of all gradients of the network, and its layers of batch norm."""
    make = partial(create_model, "resnet18", num_classes=2, image_size=image_size, settings=Settings(WIDTH))
    model = nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0)))
    params = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    return 4 * params, sum(isinstance(node, BatchNorm) for _, node in nnx.iter_graph(model))


if __name__ == "__main__":
    main()
