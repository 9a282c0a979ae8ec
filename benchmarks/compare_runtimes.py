"""Inference of the networks against ONNX Runtime and OpenVINO, which run what `export --format onnx` writes.

    python benchmarks/compare_runtimes.py [--models resnet18 ... | all] [--batch 8 32] [--image-size 96] [--classes 10]
                                          [--rounds 9] [--out FILE]

All sides take the same uint8 images, normalise them, and return logits and features in float32, on as many threads as
this process has cores (`taskset -c 0` for one). Ours takes the engine's own inference step. The sides take turns within
a round, a call each; "ratio" is our images/s over those of the faster peer of the median, "ratio_onnxruntime" and
"ratio_openvino" over each, round by round. "difference" is the largest of a peer's logits from ours, relative to the
largest of ours. "load_s" is the time to open a model; ours compiles. `--out` names a record as `mtsccd-jax bench`
writes it; rows that are there are not measured again. The last line is the geometric mean of the ratios.
"""

import argparse
import contextlib
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from record import make_parser, peer, spread
from torch_sides import Conditions, jax_workload

from mtsccd_jax.engine.evaluate import Trained
from mtsccd_jax.engine.export.forward import IMAGE, forward_of
from mtsccd_jax.engine.export.onnx_model import onnx_model
from mtsccd_jax.errors import InputError, nearest
from mtsccd_jax.host_memory import keep_freed_memory
from mtsccd_jax.models import MODELS
from mtsccd_jax.perf import timing
from mtsccd_jax.perf.profile.workload import Workload
from mtsccd_jax.perf.records import Measurement, RecordFile, Scalar, command_line, measurement, summary
from mtsccd_jax.provenance import environment

# A network or two of each family and size, as in the table of README.md.
TWENTY = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "seresnet50", "alexnet", "vgg16", "vgg19", "googlenet"),
    *("inception_v3", "densenet121", "densenet201", "efficientnet_b0", "mobilevit_s", "vit_tiny_patch16"),
    *("vit_base_patch16", "swin_tiny", "convnextv2_tiny", "mlp_mixer_base_patch16", "convmixer_768_32"),
)
UNIT = "images/s"
THREADS = len(os.sched_getaffinity(0))


class Side(NamedTuple):
    """One side: a call that returns logits and waits for them, seconds to open the model, and what runs it."""

    run: Callable[[], np.ndarray]
    load_s: float
    version: str


def main() -> None:
    arguments = parse()
    load = os.getloadavg()[0]
    for name in PEERS:  # OpenVINO forks as it is imported, which must not happen once JAX has threads
        peer(name, name)
    keep_freed_memory()
    with contextlib.ExitStack() as stack:
        out = arguments.out or Path(stack.enter_context(tempfile.TemporaryDirectory())) / "runtimes.json"
        try:
            record = RecordFile(
                out.parent, out.stem, benchmark="runtimes", command=command_line(), environment=environment()
            )
        except InputError as error:
            sys.exit(f"compare_runtimes.py: {error}")
        for name, batch in itertools.product(arguments.models, arguments.batch):
            conditions = Conditions(batch, arguments.image_size, arguments.classes, "float32", 1, "none")
            shared = {"batch": batch, "image_size": arguments.image_size, "classes": arguments.classes}
            cases = {side: {**shared, "precision": "float32", "threads": THREADS, "side": side} for side in SIDES}
            if all(record.find(name, case, UNIT) for case in cases.values()):
                print(f"{name} batch {batch}: there already", file=sys.stderr)
                continue
            for row in compete(name, conditions, cases, arguments.rounds):
                row = replace(row, details={**row.details, "load": round(load, 2)})
                record.add(row)
                print(sentence(row), file=sys.stderr, flush=True)
            jax.clear_caches()
        ratios = [float(row.details["ratio"]) for row in record.record.rows if "ratio" in row.details]
        mean = round(statistics.geometric_mean(ratios), 3)
        print(json.dumps(asdict(record.record) | {"rows": summary(record.record.rows), "ratio_geometric_mean": mean}))


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__, rounds=9, image_size=96, classes=10)
    parser.add_argument("--models", nargs="+", default=TWENTY, help="names (default: twenty of them), or all")
    parser.add_argument("--batch", nargs="+", type=int, default=(8,))
    arguments = parser.parse_args()
    if list(arguments.models) == ["all"]:
        arguments.models = list(MODELS)
    for name in arguments.models:
        if name not in MODELS:
            parser.error(f"{name}: no such network.{nearest(name, MODELS)}")
    return arguments


def compete(name: str, conditions: Conditions, cases: dict[str, dict[str, Scalar]], rounds: int) -> list[Measurement]:
    """Return a row for each side; ours has the ratios."""
    workload = jax_workload(name, conditions)
    image = np.asarray(workload.batch[IMAGE])
    model = exported(workload)
    sides = {side: make(workload, model, image) for side, make in SIDES.items()}
    logits = {side: made.run() for side, made in sides.items()}
    times = timing.measure({side: made.run for side, made in sides.items()}, warmup=1, rounds=rounds)
    details: dict[str, dict[str, Scalar]] = {}
    for side, made in sides.items():
        difference = np.abs(logits[side] - logits["jax"]).max() / np.abs(logits["jax"]).max()
        details[side] = {"load_s": round(made.load_s, 2), "version": made.version, "difference": float(difference)}
    for side in PEERS:
        against = spread(times[side], times["jax"])
        details["jax"] |= {f"ratio_{side}": against["median"]}
    best = min(PEERS, key=lambda side: times[side].median_s)
    details["jax"] |= {"ratio": details["jax"][f"ratio_{best}"], "best": best}
    return [measurement(name, cases[side], UNIT, times[side], conditions.batch, details[side]) for side in SIDES]


def exported(workload: Workload) -> bytes:
    """Return the network as `export --format onnx` writes it."""
    step = workload.parallel.compile_outputs(workload.embed_step)
    trained = Trained(workload.recipe, Path(), workload.network, workload.parallel, workload.initial(), step)
    content: bytes = onnx_model(forward_of(trained), {}).SerializeToString()
    return content


def jax_side(workload: Workload, model: bytes, image: np.ndarray) -> Side:
    """Return our side: the engine's inference step."""
    window = workload.window("infer", 1)
    return Side(lambda: np.asarray(window.run()[0]["logits"]), window.compile_s, jax.__version__)


def onnxruntime_side(workload: Workload, model: bytes, image: np.ndarray) -> Side:
    """Return ONNX Runtime's side; its threads do not go on spinning after a call, while others are measured."""
    runtime = peer("onnxruntime", "onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = THREADS, 1
    options.add_session_config_entry("session.force_spinning_stop", "1")
    started = time.perf_counter()
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    load_s = time.perf_counter() - started
    return Side(lambda: session.run(["logits", "features"], {IMAGE: image})[0], load_s, str(runtime.__version__))


def openvino_side(workload: Workload, model: bytes, image: np.ndarray) -> Side:
    """Return OpenVINO's side, which would compute in half precision where a processor has it unless told not to."""
    openvino = peer("openvino", "openvino")
    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": THREADS,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    started = time.perf_counter()
    request = core.compile_model(core.read_model(model), "CPU", settings).create_infer_request()
    load_s = time.perf_counter() - started

    def run() -> np.ndarray:
        request.infer({IMAGE: image}, share_inputs=True)
        logits: np.ndarray = request.get_tensor("logits").data
        return logits

    return Side(lambda: np.array(run()), load_s, str(openvino.__version__))


PEERS: dict[str, Callable[[Workload, bytes, np.ndarray], Side]] = {
    "onnxruntime": onnxruntime_side,
    "openvino": openvino_side,
}
SIDES = {"jax": jax_side, **PEERS}


def sentence(row: Measurement) -> str:
    """Return a row as one line."""
    case: dict[str, Any] = dict(row.conditions)
    words = f"{row.name:24} batch {case['batch']:3} {case['side']:12} {row.rate:9,.1f} images/s"
    words += f" ({row.rate_p10:,.1f} to {row.rate_p90:,.1f})  load {row.details['load_s']} s"
    if "ratio" in row.details:
        return f"{words}  ratio {row.details['ratio']:.2f} to {row.details['best']}"
    return f"{words}  difference {row.details['difference']:.1e}"


if __name__ == "__main__":
    main()
