"""Training and inference of the networks on scenes that lie on the devices, in the columns of timm's tables."""

import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax

from mtsccd_jax.engine.batch_size import BatchChoice, largest_batch, refusal, with_batch
from mtsccd_jax.engine.memory import USABLE_SHARE, free_bytes, program_bytes
from mtsccd_jax.engine.parallel import Parallel, make_parallel
from mtsccd_jax.engine.program import LOOKED_AT, MOST_STEPS
from mtsccd_jax.errors import InputError, nearest
from mtsccd_jax.models import MODELS, describe_models
from mtsccd_jax.perf.bench.windows import DEFAULT, Protocol, time_calls
from mtsccd_jax.perf.flops import jaxpr_activations, jaxpr_macs
from mtsccd_jax.perf.profile.workload import Window, Work, Workload, scene_workload
from mtsccd_jax.perf.records import Cells, Measurement, RecordFile, Scalar, measurement, significant
from mtsccd_jax.recipes.config import Data, Engine, Model, Optim, Recipe

logger = logging.getLogger(__name__)

UNIT = "images/s"
CLASSES = 1000
AUTO: Literal["auto"] = "auto"

# Of a device: a larger batch makes nothing faster, only windows longer. The caches of a CPU are full long before.
_LARGEST_BATCH = {"cpu": 64, "gpu": 2048, "tpu": 2048}
# What compilers and allocators say where memory runs out all the same.
_OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED", "Out of memory", "out of memory")
# timm's columns behind the task's name, in the order of its published tables.
_TIMM_COLUMNS = {
    "train": ("samples_per_sec", "step_time", "batch_size", "img_size"),
    "infer": ("img_size", "samples_per_sec", "step_time", "batch_size"),
}

Batch = int | Literal["auto"]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """Which networks, and every combination of what else: see `mtsccd-jax bench models --help`."""

    models: tuple[str, ...]
    tasks: tuple[Work, ...] = ("train", "infer")
    batches: tuple[Batch, ...] = (32,)
    precisions: tuple[Literal["float32", "bfloat16"], ...] = ("float32",)
    image_sizes: tuple[int, ...] = (224,)
    parallels: tuple[Literal["jit", "pmap"], ...] = ("jit",)
    protocol: Protocol = DEFAULT

    @property
    def stem(self) -> str:
        """What the combinations share, as timm names its tables: "train-jit-bfloat16"."""
        task = self.tasks[0] if len(self.tasks) == 1 else "both"
        return "-".join([task, "_".join(self.parallels), "_".join(self.precisions)])


def chosen_models(names: Sequence[str]) -> tuple[str, ...]:
    """The networks of these names; "all" is every one.

    Raises:
        InputError: an unknown name; the nearest is given.
    """
    chosen = list(MODELS) if "all" in names else list(dict.fromkeys(names))
    for name in chosen:
        if name not in MODELS:
            raise InputError(f"unknown model '{name}'.{nearest(name, MODELS)} `mtsccd-jax models` lists them")
    return tuple(chosen)


def run(settings: Settings, record: RecordFile) -> list[Measurement]:
    """The rows of every combination, those that the record has already and those that are measured now.

    What does not fit or does not exist is a row with its reason. Each row is in the record before the next begins.
    """
    rows = []
    combinations = itertools.product(
        settings.models, settings.image_sizes, settings.precisions, settings.parallels, settings.batches
    )
    for model, image_size, precision, parallel, batch in combinations:
        conditions: dict[str, Scalar] = {
            "batch": batch,
            "image_size": image_size,
            "precision": precision,
            "parallel": parallel,
        }
        by_task: dict[Work, dict[str, Scalar]] = {task: {"task": task, **conditions} for task in settings.tasks}
        there = {task: record.find(model, by_task[task], UNIT) for task in settings.tasks}
        due = [task for task in settings.tasks if there[task] is None]
        rows += [row for row in there.values() if row is not None]
        recipe = _recipe(model, image_size, precision, parallel)
        # Training and inference take turns; where one fills the memory there is no room for the other.
        for together in [[task] for task in due] if batch == AUTO else [due]:
            for row in _measured(recipe, batch, {task: by_task[task] for task in together}, settings.protocol):
                record.add(row)
                rows.append(row)
                logger.info(line(row))
    return rows


def line(row: Measurement) -> str:
    """A row in one line, for people."""
    case = row.conditions
    what = f"{row.name:24} {case['task']:5} batch {case['batch']}, {case['image_size']} px, "
    what += f"{case['precision']}, {case['parallel']}: "
    if row.rate is None:
        return what + str(row.reason)
    peak = row.details["peak_bytes"]
    memory = f", {peak / 2**20:,.0f} MiB a device" if isinstance(peak, int) else ""
    return (
        f"{what}{row.rate:,.1f} images/s ({row.rate_p10:,.1f} to {row.rate_p90:,.1f}), "
        f"compiled in {row.details['compile_s']:.1f} s{memory}"
    )


def table(rows: Sequence[Measurement]) -> list[Cells]:
    """A line a combination: timm's columns first, `train_*` and `infer_*` beside each other, then ours."""
    lines: dict[tuple[Any, ...], tuple[Cells, Cells]] = {}
    for row in rows:
        task = str(row.conditions["task"])
        shared = {name: value for name, value in row.conditions.items() if name != "task"}
        timm, ours = lines.setdefault((row.name, *shared.values()), ({"model": row.name}, shared))
        batch_size = row.details.get("batch_size")
        values = {
            "samples_per_sec": _rounded(row.rate, 2),
            "step_time": _rounded(row.details.get("step_ms"), 3),
            "batch_size": batch_size if batch_size is not None else row.conditions["batch"],
            "img_size": row.conditions["image_size"],
        }
        timm |= {f"{task}_{column}": values[column] for column in _TIMM_COLUMNS[task]}
        timm["param_count"] = _rounded(row.details.get("params"), 2, 1e6)
        if task == "infer":
            timm["infer_gmacs"] = _rounded(row.details.get("macs"), 2, 1e9)
            timm["infer_macts"] = _rounded(row.details.get("activations"), 2, 1e6)
        ours |= {
            f"{task}_{name}": significant(value)
            for name, value in (
                ("images_per_s_p10", row.rate_p10),
                ("images_per_s_p90", row.rate_p90),
                ("windows", row.windows),
                *((name, row.details.get(name)) for name in ("images_per_s_per_device", "compile_s", "peak_bytes")),
                ("reason", row.reason),
            )
        }
    columns = list(dict.fromkeys(column for timm, _ in lines.values() for column in timm))
    return [{column: timm.get(column) for column in columns} | ours for timm, ours in lines.values()]


def _rounded(value: Scalar, digits: int, unit: float = 1) -> Scalar:
    return round(value / unit, digits) if isinstance(value, (int, float)) else value


def _recipe(model: str, image_size: int, precision: Any, parallel: Any) -> Recipe:
    """Plain SGD with momentum on scenes that are flipped and turned: what any training step does at least."""
    return Recipe(
        name=f"bench_{model}",
        summary="for throughput alone",
        data=Data(image_size=image_size),
        model=Model(model),
        optim=Optim("sgd", learning_rate=0.01, weight_decay=5e-4),
        engine=Engine(dtype=precision, parallel=parallel),
    )


def _measured(
    recipe: Recipe, batch: Batch, conditions: dict[Work, dict[str, Scalar]], protocol: Protocol
) -> Iterator[Measurement]:
    """A row for each task of one combination; windows of training and inference take turns."""
    name = recipe.model.name
    workloads: dict[Work, Workload] = {}
    windows: dict[Work, Window] = {}
    for task, case in conditions.items():
        try:
            workloads[task], windows[task] = _prepared(recipe, batch, task)
        except InputError as error:
            yield Measurement(name=name, conditions=case, unit=UNIT, reason=str(error))
        except jax.errors.JaxRuntimeError as error:
            yield Measurement(name=name, conditions=case, unit=UNIT, reason=_out_of_memory(error))
    if not windows:
        return
    try:
        timings = time_calls({task: _call(task, window) for task, window in windows.items()}, protocol)
    except jax.errors.JaxRuntimeError as error:
        reason = _out_of_memory(error)
        yield from (Measurement(name=name, conditions=conditions[task], unit=UNIT, reason=reason) for task in windows)
        return
    for task, window in windows.items():
        timing, batch_size = timings[task], workloads[task].recipe.engine.batch_size
        images, devices = batch_size * window.steps, workloads[task].parallel.mesh.size
        details: dict[str, Scalar] = {
            "batch_size": batch_size,
            "devices": devices,
            "images_per_s_per_device": images / timing.median_s / devices,
            "step_ms": 1e3 * timing.median_s / window.steps,
            "steps_per_dispatch": window.steps_per_call,
            "compile_s": window.compile_s,
            "peak_bytes": program_bytes(window.compiled),
            **_size(workloads[task]),
        }
        yield measurement(name, conditions[task], UNIT, timing, images, details)


def _call(task: Work, window: Window) -> Callable[[], Any]:
    """One dispatch, returning what stays valid: a state is taken over by the step after it, its metrics are not."""
    return (lambda: window.run()[1]) if task == "train" else window.run


def _prepared(recipe: Recipe, batch: Batch, task: Work) -> tuple[Workload, Window]:
    """The workload of a task and its compiled window, which fits.

    Raises:
        InputError: the network does not take the size, or the batch does not divide or fit; the largest that fits is
            named.
    """
    parallel = make_parallel(recipe.engine.parallel)
    limit_bytes = int(USABLE_SHARE * free_bytes(parallel))
    if batch == AUTO:
        choice = _largest(recipe, parallel, task, limit_bytes, _LARGEST_BATCH[parallel.platform] * parallel.mesh.size)
        if not choice.batch_size:
            raise refusal("--batch", parallel.mesh.size, choice)
        logger.info(f"{recipe.model.name} {task}: {choice}")
        batch_size = choice.batch_size
    else:
        batch_size = batch
        parallel.check_batch(batch_size, "--batch")
        # Scenes that do not fit by themselves are not even made.
        if (scenes_bytes := 3 * recipe.data.image_size**2 * batch_size // parallel.mesh.size) > limit_bytes:
            raise _too_large(recipe, parallel, task, batch_size, scenes_bytes, limit_bytes)
    steps = 1 if parallel.platform == "cpu" or task == "infer" or parallel.mode == "pmap" else MOST_STEPS
    while True:
        workload = scene_workload(with_batch(recipe, batch_size), parallel, CLASSES)
        window = workload.window(task, steps)
        needed = program_bytes(window.compiled)
        if needed is None or needed <= limit_bytes:
            return workload, window
        if batch != AUTO or batch_size == parallel.mesh.size:
            raise _too_large(recipe, parallel, task, batch_size, needed, limit_bytes)
        # The program that runs takes more than the single step that was looked at.
        batch_size //= 2


def _too_large(
    recipe: Recipe, parallel: Parallel, task: Work, batch_size: int, needed_bytes: int, limit_bytes: int
) -> InputError:
    """The error of a batch that takes `needed_bytes` of each device; it names the largest that fits."""
    choice = _largest(recipe, parallel, task, limit_bytes, batch_size - 1)
    return refusal("--batch", batch_size, BatchChoice(choice.batch_size, needed_bytes, limit_bytes, choice.compiled))


def _largest(recipe: Recipe, parallel: Parallel, task: Work, limit_bytes: int, most: int) -> BatchChoice:
    """The largest batch up to `most` whose step fits, by programs that nobody runs."""
    devices = parallel.mesh.size
    if most < devices:
        return BatchChoice(0, 0, limit_bytes, 0)
    small = scene_workload(with_batch(recipe, devices), parallel, CLASSES)
    state = small.network.abstract()
    jitted: Any = small.jitted(task)
    options = LOOKED_AT.get(parallel.platform)

    def bytes_of(batch_size: int) -> int:
        shapes = {
            name: parallel.abstract_layout(jax.ShapeDtypeStruct((batch_size, *shape), dtype))
            for name, (shape, dtype) in _fields(small).items()
        }
        needed = program_bytes(jitted.lower(state, shapes).compile(compiler_options=options))
        if needed is None:
            raise InputError("--batch auto: this compiler does not say what memory a program takes; give --batch N")
        return needed

    return largest_batch(bytes_of, limit_bytes, devices=devices, most=most)


def _fields(workload: Workload) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Shape of an example and type of every field of the batch."""
    leading = 1 if workload.parallel.mode == "jit" else 2
    return {name: (array.shape[leading:], array.dtype) for name, array in workload.batch.items()}


def _size(workload: Workload) -> dict[str, Scalar]:
    """Parameters, multiply-accumulates and activations of an image, of the very network that was timed."""
    described = {entry["name"]: entry for entry in describe_models()}[workload.recipe.model.name]
    image = {name: jax.ShapeDtypeStruct((1, *shape), dtype) for name, (shape, dtype) in _fields(workload).items()}
    program = jax.make_jaxpr(workload.embed_step)(workload.network.abstract(), image)
    return {
        "params": described["params"],
        "macs": jaxpr_macs(program),
        "activations": jaxpr_activations(program),
    }


def _out_of_memory(error: Exception) -> str:
    """The reason of a row whose memory ran out all the same; anything else is raised again."""
    if not any(words in str(error) for words in _OUT_OF_MEMORY):
        raise error
    return f"out of memory: {' '.join(str(error).split())[:200]}"
