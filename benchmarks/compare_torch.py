"""Training and inference of the networks against PyTorch, on the same cores or the same GPU.

    python benchmarks/compare_torch.py [--models resnet18 vit_tiny_patch16 | all] [--tasks train infer] [--batch 32 ...]
                                       [--image-size 96] [--classes 10] [--precision float32|bfloat16] [--steps N]
                                       [--rounds 7] [--torch-compile [MODE]] [--no-peak]
                                       [--out FILE] [--csv FILE]

Both sides run the same network on one batch that is ready in memory, PyTorch in channels-last. Ours takes the engine's
own steps, as training does: from uint8 images, which it normalises, to metrics. PyTorch's images are normalised
already. A training step is forward, cross-entropy, backward and SGD with momentum and weight decay; inference is the
forward pass in evaluation mode. In bfloat16 PyTorch trains by automatic mixed precision (parameters in float32, as ours
are) and infers with parameters in bfloat16. On a GPU its model is compiled (`--torch-compile none` for eager), float32
products of both sides may use TF32, cuDNN chooses among its algorithms by trial, and the optimiser is the fused one.

Rounds take turns; a round is `--steps` steps and a wait for the last; "ratio" is our images/s over PyTorch's, round by
round. Compilation is timed apart. Peak memory is, on a CPU, the growth of a separate process over two steps; on a GPU
the memory of our compiled program, and the peak of PyTorch's allocator. Our rows also say what limits the step, by the
roofline of `mtsccd-jax profile` with the ceilings that this device reaches, and the share of its peak that the FLOPs of
the network are (two a multiply-accumulate, training three times inference). Where a side fails, its row has the reason.
`--out` names a record as `mtsccd-jax bench` writes it, with a table beside it in the columns of timm's benchmark
results, a line a network and side (`--csv` writes it elsewhere as well); rows of the record are not measured again.

PyTorch's threads wait for each other by spinning and suffer most from other processes: measure on idle cores ("load" is
the number of processes that wanted to run before the start), or pin both sides to one core (`taskset -c 0`).
"""

import argparse
import contextlib
import functools
import gc
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import jax
from record import make_parser, spread
from torch_device import share_the_device, torch_device
from torch_sides import SIDES, TIMM, TORCHVISION, Conditions, Side

from mtsccd_jax.engine.program import MOST_STEPS
from mtsccd_jax.errors import InputError, nearest
from mtsccd_jax.host_memory import keep_freed_memory
from mtsccd_jax.models import describe_models
from mtsccd_jax.perf import timing
from mtsccd_jax.perf.bench.one_build import peak_mib
from mtsccd_jax.perf.flops import model_flops
from mtsccd_jax.perf.hardware import Ceilings, measure_ceilings, peak_of
from mtsccd_jax.perf.profile.roofline import Measurements, verdict
from mtsccd_jax.perf.records import Cells, Measurement, RecordFile, Scalar, as_csv, command_line, measurement, summary
from mtsccd_jax.provenance import environment

DEFAULT_MODELS = ("resnet18", "vit_tiny_patch16")
# Long enough that the wait at the end does not matter; a step of a CPU is long enough alone.
STEPS = {"cpu": 1, "gpu": MOST_STEPS}

TIMM_COLUMNS = ("samples_per_sec", "step_time", "batch_size", "img_size")
UNIT = "images/s"


def main() -> None:
    arguments = parse()
    load = os.getloadavg()[0]
    keep_freed_memory()
    device = share_the_device()
    compiled = arguments.torch_compile or ("default" if device.type == "cuda" else "none")
    steps = arguments.steps or STEPS[jax.devices()[0].platform]
    shared = (arguments.image_size, arguments.classes, arguments.precision, steps, compiled)
    if arguments.peak:
        conditions = Conditions(arguments.batch[0], *shared)
        print(peak_bytes(SIDES[arguments.peak][arguments.tasks[0]], arguments.models[0], conditions))
        return
    with contextlib.ExitStack() as stack:
        out = arguments.out or Path(stack.enter_context(tempfile.TemporaryDirectory())) / "torch.json"
        try:
            record = RecordFile(
                out.parent,
                out.stem,
                benchmark="torch",
                command=command_line(),
                environment=environment(),
                table=timm_table,
            )
        except InputError as error:
            sys.exit(f"compare_torch.py: {error}")
        for name, task, batch in itertools.product(arguments.models, arguments.tasks, arguments.batch):
            conditions = Conditions(batch, *shared)
            cases = {side: vars(conditions) | {"task": task, "side": side} for side in SIDES}
            if all(record.find(name, case, UNIT) for case in cases.values()):
                print(f"{name} {task} batch {batch}: there already", file=sys.stderr)
                continue
            for row in compete(name, task, conditions, cases, arguments.rounds, not arguments.no_peak):
                details = {**row.details, **limits(row, ceilings(arguments.precision)), "load": round(load, 2)}
                row = replace(row, details=details)
                record.add(row)
                print(sentence(row), file=sys.stderr, flush=True)
            forget()
        if arguments.csv:
            arguments.csv.write_text(as_csv(timm_table(record.record.rows)))
        print(json.dumps(asdict(record.record) | {"rows": summary(record.record.rows)}))


def parse() -> argparse.Namespace:
    """Parse the command line; every network must exist on both sides."""
    parser = make_parser(__doc__, image_size=96, classes=10)
    parser.add_argument("--models", nargs="+", default=DEFAULT_MODELS, help="names, or all")
    modes = ("none", "default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
    parser.add_argument(
        "--torch-compile",
        nargs="?",
        const="default",
        choices=modes,
        help="compile PyTorch's side (default: none on a CPU, default on a GPU)",
    )
    parser.add_argument("--csv", type=Path, help="write timm's columns there")
    parser.add_argument("--no-peak", action="store_true", help="leave out the processes that measure peak memory")
    parser.add_argument("--peak", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--tasks", nargs="+", choices=("train", "infer"), default=("train", "infer"))
    parser.add_argument("--batch", nargs="+", type=int, default=(32,))
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--steps", type=int, help=f"a round (default: 1 on a CPU, {MOST_STEPS} on a GPU)")
    arguments = parser.parse_args()
    peers = [*TORCHVISION, *TIMM]
    if list(arguments.models) == ["all"]:
        arguments.models = peers
    for name in arguments.models:
        if name not in peers:
            parser.error(f"{name}: neither torchvision nor timm has it beside ours.{nearest(name, peers)}")
    return arguments


def compete(
    name: str,
    task: str,
    conditions: Conditions,
    cases: dict[str, dict[str, Scalar]],
    rounds: int,
    measures_peak: bool,
) -> list[Measurement]:
    """Return a row for each side under the conditions of `cases`: ours with the ratio, a failed one with the reason."""
    on_cpu = torch_device().type == "cpu"
    sides: dict[str, Side] = {}
    details: dict[str, dict[str, Any]] = {}
    try:
        for side, tasks in SIDES.items():
            made = tasks[task](name, conditions)
            first_s, second_s = seconds(made.run), seconds(made.run)
            in_first_s = max(first_s - second_s, 0.0)
            details[side] = made.details | {
                "torch": torch_version(),
                "compile_s": round(in_first_s if made.compile_s is None else made.compile_s, 1),
                "peak_bytes": None if on_cpu else made.device_bytes(),
            }
            sides[side] = made
        calls = {side: made.run for side, made in sides.items()}
        for made in sides.values():
            calls |= made.beside
        times = timing.measure(calls, warmup=1, rounds=rounds)
    except (RuntimeError, ValueError) as error:
        # Too large for the memory or for one of the compilers; the other networks are measured all the same.
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        failed = next((side for side in SIDES if side not in sides), None)  # None: each runs alone, but not in turns
        reasons = {side: said if failed in (side, None) else f"no rival: {failed} failed" for side in SIDES}
        return [Measurement(name=name, conditions=cases[side], unit=UNIT, reason=reasons[side]) for side in SIDES]
    if on_cpu and measures_peak:
        for side in SIDES:
            details[side] |= {"peak_bytes": peak_elsewhere(side, name, cases[side])}
    against = spread(times["torch"], times["jax"])
    details["jax"] |= {"ratio": against["median"], "ratio_p10": against["p10"], "ratio_p90": against["p90"]}
    for side, made in sides.items():
        details[side] |= made.overheads(times)
    images = conditions.batch * conditions.steps
    return [measurement(name, cases[side], UNIT, times[side], images, details[side]) for side in SIDES]


@functools.cache
def ceilings(precision: Literal["float32", "bfloat16"]) -> Ceilings:
    """Measure the ceilings of this device once."""
    return measure_ceilings(precision)


def limits(row: Measurement, reached: Ceilings) -> dict[str, Scalar]:
    """Return what limits our row, and the share of its FLOPs in the device's peaks (None for an unknown one)."""
    if row.rate is None or row.conditions["side"] != "jax":
        return {}
    found, case = dict[str, Any](row.details), dict[str, Any](row.conditions)
    flops_per_s = row.rate * (model_flops(found["macs"]) if case["task"] == "train" else 2 * found["macs"])
    peak = peak_of(jax.devices()[0])
    nominal = peak.flops_per_s(reached.dtype) if peak else None
    measured = Measurements(
        step_s=case["batch"] / row.rate,
        input_stall_fraction=0.0,
        read_s=None,
        transfer_s=None,
        dispatch_s=found["dispatch_s"],
        launch_s=found["operation_s"] * found["step_operations"],
        compute_s=found["step_flops"] / reached.flops_per_s,
        memory_s=found["step_bytes"] / reached.bytes_per_s,
    )
    found_limit = verdict(measured, bfloat16=case["precision"] == "bfloat16")
    return {
        "peak_share": flops_per_s / reached.flops_per_s,
        "mfu": flops_per_s / nominal if nominal else None,
        "ceiling_flops_per_s": reached.flops_per_s,
        "ceiling_bytes_per_s": reached.bytes_per_s,
        "verdict": found_limit.title,
        "verdict_reason": found_limit.reason,
    }


def seconds(run: Callable[[], Any]) -> float:
    """Return the seconds of one round."""
    started = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - started


def sentence(row: Measurement) -> str:
    """Return a row as one line."""
    case = row.conditions
    words = f"{row.name:24} {case['task']:5} batch {case['batch']} {case['side']:5} "
    if row.rate is None:
        return words + str(row.reason)
    words += f"{row.rate:9,.1f} images/s ({row.rate_p10:,.1f} to {row.rate_p90:,.1f})"
    peak = row.details["peak_bytes"]
    words += f"  compile {row.details['compile_s']} s" + (
        f"  peak {peak / 2**20:,.0f} MiB" if isinstance(peak, int) else ""
    )
    if "ratio" in row.details:
        ratio, low, high = (row.details[key] for key in ("ratio", "ratio_p10", "ratio_p90"))
        words += f"  ratio {ratio:.2f} ({low:.2f} to {high:.2f})  {row.details['verdict']}"
    return words


def timm_table(rows: Sequence[Measurement]) -> list[Cells]:
    """Return a line per network, batch and side, `train_*` beside `infer_*`, in the columns of timm's benchmark."""
    parameters = {entry["name"]: entry["params"] for entry in describe_models()}
    lines: dict[tuple[Any, ...], Cells] = {}
    for row in rows:
        if row.rate is None:
            continue
        case: dict[str, Any] = dict(row.conditions)
        task = case.pop("task")
        line = lines.setdefault((row.name, *case.values()), {"model": row.name, "framework": case["side"]})
        batch = case["batch"]
        values = (round(row.rate, 2), round(1e3 * batch / row.rate, 3), batch, case["image_size"])
        line |= {f"{task}_{column}": value for column, value in zip(TIMM_COLUMNS, values, strict=True)}
        line["param_count"] = round(parameters[row.name] / 1e6, 2)
    return list(lines.values())


def forget() -> None:
    """Free what a network left behind in either framework."""
    import torch

    gc.collect()
    jax.clear_caches()
    torch.compiler.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_bytes(make: Callable, name: str, conditions: Conditions) -> int:
    """Return the growth of this process's largest resident size over two steps, in bytes."""
    before_mib = peak_mib("self")
    run = make(name, conditions).run
    for _ in range(2):
        jax.block_until_ready(run())
    return round((peak_mib("self") - before_mib) * 2**20)


def peak_elsewhere(side: str, name: str, case: dict[str, Scalar]) -> int:
    """Return the `peak_bytes` of a side, from a separate process."""
    command = [sys.executable, __file__, "--peak", side, "--models", name, "--tasks", str(case["task"])]
    for key in ("batch", "image_size", "classes", "precision", "torch_compile"):
        command += [f"--{key.replace('_', '-')}", str(case[key])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.splitlines()[-1])


def torch_version() -> str:
    """Return the version of PyTorch."""
    import torch

    return str(torch.__version__)


if __name__ == "__main__":
    main()
