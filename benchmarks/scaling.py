"""Calculate the efficiency of data-parallel training on 8 to 1,024 H200 or TPU v5e, and what limits it.

    python benchmarks/scaling.py [--network resnet50] [--cluster h200] [--batch 256] [--devices 8 64 1024] [...]

Every device has `--batch` images a step (weak scaling). To the step of one device all others add, one after another:

* gradients: an all-reduce of parameters x `--gradient-bytes`, less what `--overlap` hides behind the backward pass,
  two thirds of a step. XLA joins nearly all gradients into one exchange at the end, so the default hides nothing.
* statistics: `--norm-exchanges` all-reduces a batch norm layer, of a few kB, each of which the step waits for: latency
  alone. Statistics are those of the global batch, by two in the forward pass and one in the backward pass (the program
  of ResNet-18 on two CPU devices holds 53 for its 20 layers, since parallel branches share some).
* input: where `--input-images-per-s` of a host do not suffice.
* checkpoints: `--checkpoint-s` of standing still after every `--checkpoint-every-s`.

An all-reduce of B bytes over n devices takes 2 (n-1)/n B/bandwidth + 2 (n-1) latency in a ring and 2 B/bandwidth +
2 log2(n) latency in a tree, whichever is less, and `--start-us` to begin. Devices on islands of fast links reduce
inside, each exchanges its part with those of the other islands, and all gather inside.

Left out: unequal hosts, congestion, failures, compiling, and that more devices want another learning rate. Links reach
`--link-share` of their rate. Sources: NVIDIA's data sheets (NVLink 900 GB/s both ways, a 400 Gb/s NDR port for a GPU),
Google Cloud's page of TPU v5e (4 links of 400 Gb/s; rings close only along 16 chips; a chip's part of the data centre's
network is 25 Gb/s). Latencies are typical ones. No step of ours on an H200 has been measured: the images/s of EXPECTED
follow from FLOPs and memory traffic and may be wrong by a third. Give `--images-per-s` where you know better.
"""

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache

from flax import nnx

from mtsccd_jax.cli.options import at_least, number
from mtsccd_jax.errors import InputError
from mtsccd_jax.models import create_model, describe_models, list_models
from mtsccd_jax.models.layers.normalization import BatchNorm
from mtsccd_jax.recipes.ranges import NOT_NEGATIVE, POSITIVE, SHARE

# Images/s in training on one H200 in bfloat16 at 224 px, expected.
EXPECTED = {
    **{"alexnet": 45_000, "vgg16": 2_500, "vgg19": 2_100, "googlenet": 11_000, "resnet18": 14_000, "resnet50": 4_500},
    **{"resnet101": 2_800, "seresnet50": 3_900, "densenet201": 2_500, "efficientnet_b0": 5_500},
    **{"vit_base_patch16": 2_400, "swin_tiny": 2_500},
}
BACKWARD_SHARE = 2 / 3
RING_SIDE = 16  # chips along a side of a v5e slice from which its rings close


@dataclass(frozen=True)
class Link:
    """A device's connection to others: bytes/s in one direction, and seconds of a hop."""

    bytes_per_s: float
    latency_s: float


@dataclass(frozen=True)
class Cluster:
    """Devices in islands.

    Attributes:
        speed: Images/s of a device in those of an H200: memory bandwidths, which limit most networks.
        island: Devices that `inside` connects; `between` connects the islands, every device with a port of its own.
        host: Devices that one host feeds.
        start_s: Seconds to begin an all-reduce.
        sides: Rows and columns of a torus by its number of devices, where `inside` is one of its links; else empty.
    """

    speed: float
    island: int
    host: int
    inside: Link
    between: Link
    start_s: float
    sides: Mapping[int, tuple[int, int]]


SIDES = {4: (2, 2), 8: (2, 4), 16: (4, 4), 32: (4, 8), 64: (8, 8), 128: (8, 16), 256: (16, 16)}
CLUSTERS = {
    "h200": Cluster(1.0, 8, 8, Link(450e9, 1e-6), Link(50e9, 5e-6), 10e-6, {}),
    "v5e": Cluster(0.819 / 4.8, 256, 4, Link(50e9, 1e-6), Link(3.125e9, 25e-6), 5e-6, SIDES),
}


@dataclass(frozen=True)
class Training:
    """What one device does, and what all share.

    Attributes:
        step_s: Seconds of a step of one device alone.
        gradient_bytes: Bytes that all devices add up in a step.
        norm_exchanges: All-reduces of statistics in a step.
        overlap: Share of the gradients' exchange that runs beside the backward pass.
        checkpoint_share: Share of the time in which the loop stands still for checkpoints.
        input_images_per_s: Images/s that a host can feed; None for any number.
    """

    batch: int
    step_s: float
    gradient_bytes: float
    norm_exchanges: int
    overlap: float
    checkpoint_share: float
    input_images_per_s: float | None


@dataclass(frozen=True)
class Row:
    """The step of some devices; `limit` is the largest loss."""

    devices: int
    step_ms: float
    gradients_ms: float
    statistics_ms: float
    input_wait_ms: float
    host_images_per_s: float
    images_per_s: float
    efficiency: float
    limit: str


def exchange_s(size: float, n: int, link: Link) -> float:
    """Return the seconds of an all-reduce of `size` bytes over n devices, in a ring or a tree."""
    ring = 2 * (n - 1) / n * size / link.bytes_per_s + 2 * (n - 1) * link.latency_s
    tree = 2 * size / link.bytes_per_s + 2 * math.ceil(math.log2(n)) * link.latency_s
    return min(ring, tree) if n > 1 else 0.0


def torus_s(size: float, sides: tuple[int, int], link: Link) -> float:
    """Return the seconds of an all-reduce over a torus, along both sides at once: rings, or lines on short sides."""
    n = math.prod(sides)
    links = sum(2 if side >= RING_SIDE else 1 for side in sides)
    hops = 2 * sum(side - 1 for side in sides)
    return 2 * (n - 1) / n * size / (links * link.bytes_per_s) + hops * link.latency_s


def all_reduce_s(size: float, n: int, cluster: Cluster) -> float:
    """Return the seconds of an all-reduce over n devices: inside the islands, and between them."""
    if n == 1:
        return 0.0
    inside = min(n, cluster.island)
    if n % inside or (cluster.sides and inside not in cluster.sides):
        raise InputError(f"--devices {n}: no whole islands of devices; take a power of two from 8 up")
    within = torus_s(size, cluster.sides[inside], cluster.inside) if cluster.sides else None
    if within is None:
        within = exchange_s(size, inside, cluster.inside)
    return cluster.start_s + within + exchange_s(size / inside, n // inside, cluster.between)


def predict(training: Training, n: int, cluster: Cluster) -> Row:
    """Return the step of n devices."""
    whole = all_reduce_s(training.gradient_bytes, n, cluster)
    gradients = whole - min(training.overlap * whole, BACKWARD_SHARE * training.step_s)
    statistics = training.norm_exchanges * all_reduce_s(0, n, cluster)
    computed = training.step_s + gradients + statistics
    host_batch = training.batch * min(n, cluster.host)
    fed = host_batch / training.input_images_per_s if training.input_images_per_s else 0.0
    wait = max(fed - computed, 0.0)
    step = (computed + wait) / (1 - training.checkpoint_share)
    lost = {"gradients": gradients, "statistics": statistics, "input": wait}
    lost["checkpoints"] = step - computed - wait
    return Row(
        devices=n,
        step_ms=1e3 * step,
        gradients_ms=1e3 * gradients,
        statistics_ms=1e3 * statistics,
        input_wait_ms=1e3 * wait,
        host_images_per_s=host_batch / step,
        images_per_s=n * training.batch / step,
        efficiency=training.step_s / step,
        limit=max(lost, key=lost.__getitem__),
    )


@cache
def norm_layers(network: str) -> int:
    """Return the number of batch norm layers of a network."""
    model = nnx.eval_shape(lambda: create_model(network, num_classes=1000, rngs=nnx.Rngs(0)))
    return sum(isinstance(node, BatchNorm) for _, node in nnx.iter_graph(model))


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    positive, not_negative, share = (number(float, allowed) for allowed in (POSITIVE, NOT_NEGATIVE, SHARE))
    parser.add_argument("--network", choices=list_models(), metavar="NAME", default="resnet50")
    parser.add_argument("--cluster", choices=list(CLUSTERS), default="h200")
    parser.add_argument("--devices", type=at_least(1), nargs="+", default=[8, 16, 32, 64, 128, 256, 512, 1024])
    parser.add_argument("--batch", type=at_least(1), default=256, help="images of a device (default: 256)")
    parser.add_argument("--images-per-s", type=positive, help="of one device alone (default: expected, not measured)")
    parser.add_argument("--gradient-bytes", type=positive, default=4, help="of a parameter (default: 4, float32)")
    parser.add_argument("--norm-exchanges", type=not_negative, default=3, help="of a batch norm layer (default: 3)")
    parser.add_argument("--overlap", type=share, default=0.0, help="share of the gradients' exchange (default: 0)")
    parser.add_argument("--link-share", type=number(float, replace(SHARE, above=0)), default=0.8, help="default: 0.8")
    for kind in ("inside", "between"):
        parser.add_argument(f"--{kind}-gbit", type=positive, help=f"Gb/s of a link {kind} islands (default: as built)")
        parser.add_argument(f"--{kind}-us", type=not_negative, help="latency of a hop on it (default: as usual)")
    parser.add_argument("--start-us", type=not_negative, help="to begin an all-reduce (default: as usual)")
    parser.add_argument("--checkpoint-s", type=not_negative, default=0.5, help="standing still (default: 0.5)")
    parser.add_argument("--checkpoint-every-s", type=positive, default=120, help="default: 120, as the engine's")
    parser.add_argument("--input-images-per-s", type=positive, help="that a host can feed (default: any number)")
    return parser


def cluster_of(options: argparse.Namespace) -> Cluster:
    """Return the cluster with the links of the command line, at the share of their rate that they reach."""
    cluster = CLUSTERS[options.cluster]
    links = {}
    for kind in ("inside", "between"):
        built: Link = getattr(cluster, kind)
        gbit, hop_us = getattr(options, f"{kind}_gbit"), getattr(options, f"{kind}_us")
        rate = built.bytes_per_s if gbit is None else gbit * 1e9 / 8
        links[kind] = Link(options.link_share * rate, built.latency_s if hop_us is None else hop_us * 1e-6)
    start = cluster.start_s if options.start_us is None else options.start_us * 1e-6
    return replace(cluster, **links, start_s=start)


def training_of(options: argparse.Namespace, cluster: Cluster) -> Training:
    """Return the training of the command line.

    Raises:
        InputError: No images/s are expected of this network.
    """
    rate = options.images_per_s or cluster.speed * EXPECTED.get(options.network, 0)
    if not rate:
        raise InputError(f"--network {options.network}: nobody knows how fast it is; give --images-per-s of one device")
    (params,) = (entry["params"] for entry in describe_models() if entry["name"] == options.network)
    return Training(
        batch=options.batch,
        step_s=options.batch / rate,
        gradient_bytes=params * options.gradient_bytes,
        norm_exchanges=round(norm_layers(options.network) * options.norm_exchanges),
        overlap=options.overlap,
        checkpoint_share=options.checkpoint_s / (options.checkpoint_s + options.checkpoint_every_s),
        input_images_per_s=options.input_images_per_s,
    )


def table(rows: list[Row]) -> str:
    """Return the rows as a table in Markdown."""
    head = (
        "devices",
        "step ms",
        "gradients",
        "statistics",
        "input wait",
        "images/s a host",
        "all",
        "efficiency",
        "limit",
    )
    lines = [head, ["---"] * len(head)]
    for row in rows:
        times = (f"{ms:.2f}" for ms in (row.step_ms, row.gradients_ms, row.statistics_ms, row.input_wait_ms))
        rates = f"{row.host_images_per_s:,.0f}", f"{row.images_per_s:,.0f}", f"{100 * row.efficiency:.1f} %"
        lines.append([f"{row.devices:,}", *times, *rates, row.limit])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    options = make_parser().parse_args(arguments)
    try:
        cluster = cluster_of(options)
        training = training_of(options, cluster)
        rows = [predict(training, n, cluster) for n in options.devices]
    except InputError as error:
        print(f"scaling.py: {error}", file=sys.stderr)
        return 2
    print(table(rows))
    result = {"benchmark": "calculated scaling", "network": options.network, "cluster": options.cluster}
    result["rate"] = "given" if options.images_per_s else "expected, not measured"
    print(json.dumps(result | asdict(training) | {"rows": [asdict(row) for row in rows]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
