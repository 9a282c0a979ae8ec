"""Training and inference of the networks on scenes that lie on the devices, in the columns of timm's tables."""

import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax

from mtsccd_jax.engine.batch_size import BatchChoice, largest_batch, refusal, with_batch
from mtsccd_jax.engine.memory import program_bytes, usable_bytes
from mtsccd_jax.engine.parallel import Parallel, make_parallel
from mtsccd_jax.engine.program import MOST_STEPS
from mtsccd_jax.errors import InputError, nearest
from mtsccd_jax.models import MODELS, describe_models
from mtsccd_jax.ops.calls import own_settings
from mtsccd_jax.perf.bench.rows import line, time_calls
from mtsccd_jax.perf.bench.settings import Batch, ModelSettings, TimedWindows
from mtsccd_jax.perf.flops import jaxpr_activations, jaxpr_macs
from mtsccd_jax.perf.profile.workload import Window, Work, Workload, scene_workload
from mtsccd_jax.perf.records import Cells, Measurement, RecordFile, Scalar, measurement, significant
from mtsccd_jax.recipes.config import Data, Engine, Model, Optim, Recipe

logger = logging.getLogger(__name__)

UNIT = "images/s"
CLASSES = 1000

# Per device: a larger batch is not faster, its windows only take longer. The caches of a CPU are full long before.
_LARGEST_BATCH = {"cpu": 64, "gpu": 2048, "tpu": 2048}
# Words of compilers and allocators that have run out of memory.
_OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED", "Out of memory", "out of memory")
# timm's columns behind the task's name, in the order of its published tables.
_TIMM_COLUMNS = {
    "train": ("samples_per_sec", "step_time", "batch_size", "img_size"),
    "infer": ("img_size", "samples_per_sec", "step_time", "batch_size"),
}


def chosen_models(names: Sequence[str]) -> tuple[str, ...]:
    """Return the networks of these names; "all" is every network.

    Raises:
        InputError: A name is unknown; the nearest one is given.
    """
    chosen = list(MODELS) if "all" in names else list(dict.fromkeys(names))
    for name in chosen:
        if name not in MODELS:
            raise InputError(f"unknown model '{name}'.{nearest(name, MODELS)} `mtsccd-jax models` lists them")
    return tuple(chosen)


@own_settings()
def run(settings: ModelSettings, record: RecordFile, windows: TimedWindows) -> list[Measurement]:
    """Measure every combination that the record does not have yet; return the rows of all.

    What does not fit or does not exist is a row with its reason. Each row is in the record before the next begins.
    """
    rows = []
    combinations = itertools.product(
        settings.models, settings.image_size, settings.precision, settings.parallel, settings.batch
    )
    for model, image_size, precision, parallel, batch in combinations:
        shared = {"batch": batch, "image_size": image_size, "precision": precision, "parallel": parallel}
        conditions: dict[Work, dict[str, Scalar]] = {task: {"task": task, **shared} for task in settings.tasks}
        found = {task: record.find(model, case, UNIT) for task, case in conditions.items()}
        due = [task for task, row in found.items() if row is None]
        rows += [row for row in found.values() if row is not None]
        recipe = _recipe(model, image_size, precision, parallel)
        # Training and inference take turns, unless one of them may fill the memory alone.
        for together in [[task] for task in due] if batch == "auto" else [due]:
            for row in _measured(recipe, batch, {task: conditions[task] for task in together}, windows):
                record.add(row)
                rows.append(row)
                logger.info(line(row))
    return rows


def table(rows: Sequence[Measurement]) -> list[Cells]:
    """Return a line per combination: timm's columns first, `train_*` beside `infer_*`, then our columns."""
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
    """Return the least that any training step does: SGD with momentum on scenes that are flipped and turned."""
    return Recipe(
        name=f"bench_{model}",
        summary="for throughput alone",
        data=Data(image_size=image_size),
        model=Model(model),
        optim=Optim("sgd", learning_rate=0.01, weight_decay=5e-4),
        engine=Engine(dtype=precision, parallel=parallel),
    )


def _measured(
    recipe: Recipe, batch: Batch, conditions: dict[Work, dict[str, Scalar]], windows: TimedWindows
) -> Iterator[Measurement]:
    """Measure one combination; yield a row per task. Training and inference take turns."""

    def failed(task: Work, error: Exception) -> Measurement:
        reason = str(error) if isinstance(error, InputError) else _out_of_memory(error)
        return Measurement(name=recipe.model.name, conditions=conditions[task], unit=UNIT, reason=reason)

    prepared: dict[Work, tuple[Workload, Window]] = {}
    for task in conditions:
        try:
            prepared[task] = _prepared(recipe, batch, task)
        except (InputError, jax.errors.JaxRuntimeError) as error:
            yield failed(task, error)
    if not prepared:
        return
    try:
        timings = time_calls({task: _call(task, window) for task, (_, window) in prepared.items()}, windows)
    except jax.errors.JaxRuntimeError as error:
        yield from [failed(task, error) for task in prepared]
        return
    for task, (workload, window) in prepared.items():
        timing, batch_size = timings[task], workload.recipe.engine.batch_size
        images, devices = batch_size * window.steps, workload.parallel.mesh.size
        details: dict[str, Scalar] = {
            "batch_size": batch_size,
            "devices": devices,
            "images_per_s_per_device": images / timing.median_s / devices,
            "step_ms": 1e3 * timing.median_s / window.steps,
            "steps_per_dispatch": window.steps_per_call,
            "compile_s": window.compile_s,
            "peak_bytes": program_bytes(window.compiled),
            **_size(workload),
        }
        yield measurement(recipe.model.name, conditions[task], UNIT, timing, images, details)


def _call(task: Work, window: Window) -> Callable[[], Any]:
    """Return one dispatch whose result stays valid: metrics do, a state is donated to the next step."""
    return (lambda: window.run()[1]) if task == "train" else window.run


def _prepared(recipe: Recipe, batch: Batch, task: Work) -> tuple[Workload, Window]:
    """Return the workload of a task and its compiled window, which fits."""
    parallel = make_parallel(recipe.engine.parallel)
    limit_bytes = usable_bytes(parallel)
    if batch == "auto":
        choice = _largest(recipe, parallel, task, limit_bytes, _LARGEST_BATCH[parallel.platform] * parallel.mesh.size)
        if not choice.batch_size:
            raise refusal("--batch", parallel.mesh.size, choice)
        logger.info(f"{recipe.model.name} {task}: {choice}")
        batch_size = choice.batch_size
    else:
        batch_size = batch
        parallel.check_batch(batch_size, "--batch")
        # Scenes that do not fit by themselves are not even generated.
        if (scenes_bytes := 3 * recipe.data.image_size**2 * batch_size // parallel.mesh.size) > limit_bytes:
            raise _too_large(recipe, parallel, task, batch_size, scenes_bytes, limit_bytes)
    steps = 1 if parallel.platform == "cpu" or task == "infer" or parallel.mode == "pmap" else MOST_STEPS
    while True:
        workload = scene_workload(with_batch(recipe, batch_size), parallel, CLASSES)
        window = workload.window(task, steps)
        needed = program_bytes(window.compiled)
        if needed is None or needed <= limit_bytes:
            return workload, window
        if batch != "auto" or batch_size == parallel.mesh.size:
            raise _too_large(recipe, parallel, task, batch_size, needed, limit_bytes)
        # The window takes more memory than the single step that the choice was made from.
        batch_size //= 2


def _too_large(
    recipe: Recipe, parallel: Parallel, task: Work, batch_size: int, needed_bytes: int, limit_bytes: int
) -> InputError:
    """Return the error of a batch that takes `needed_bytes` of each device; it names the largest that fits."""
    choice = _largest(recipe, parallel, task, limit_bytes, batch_size - 1)
    return refusal("--batch", batch_size, BatchChoice(choice.batch_size, needed_bytes, limit_bytes, choice.compiled))


def _largest(recipe: Recipe, parallel: Parallel, task: Work, limit_bytes: int, most: int) -> BatchChoice:
    """Return the largest batch up to `most` whose step fits, from compiled programs that never run."""
    devices = parallel.mesh.size
    if most < devices:
        return BatchChoice(0, 0, limit_bytes, 0)
    small = scene_workload(with_batch(recipe, devices), parallel, CLASSES)
    return largest_batch(partial(small.estimated_bytes, task), limit_bytes, devices=devices, most=most)


def _size(workload: Workload) -> dict[str, Scalar]:
    """Return parameters, and the multiply-accumulates and activations of one image, of the network that was timed."""
    described = {entry["name"]: entry for entry in describe_models()}[workload.recipe.model.name]
    program = jax.make_jaxpr(workload.embed_step)(workload.network.abstract(), workload.batch_shapes(1))
    return {
        "params": described["params"],
        "macs": jaxpr_macs(program),
        "activations": jaxpr_activations(program),
    }


def _out_of_memory(error: Exception) -> str:
    """Return the reason of a row that ran out of memory; raise any other error again."""
    if not any(words in str(error) for words in _OUT_OF_MEMORY):
        raise error
    return f"out of memory: {' '.join(str(error).split())[:200]}"
