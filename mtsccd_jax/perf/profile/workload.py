"""A recipe's steps on a batch that lies on the devices, so that nothing keeps them waiting."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np

from mtsccd_jax.data.resident import gather
from mtsccd_jax.engine.memory import program_bytes, reported
from mtsccd_jax.engine.parallel import Parallel
from mtsccd_jax.engine.program import LOOKED_AT
from mtsccd_jax.engine.state import Network, State, create
from mtsccd_jax.engine.steps import make_embed_step, make_train_step
from mtsccd_jax.recipes.config import Recipe
from mtsccd_jax.tasks.scenes.train import cross_entropy

Work = Literal["train", "infer"]

# A schedule needs a length; any will do for a benchmark.
_STEPS_PER_EPOCH = 1000


@dataclass(frozen=True)
class Window:
    """Some steps in a row: one timed window of a benchmark.

    Attributes:
        run: Dispatches the steps and returns their results, to be waited for; training goes on from call to call.
        compiled: The program that `run` calls, once or step by step.
        steps_per_call: Steps per call of the program.
    """

    run: Callable[[], Any]
    compiled: jax.stages.Compiled
    compile_s: float
    steps: int
    steps_per_call: int


@dataclass(frozen=True)
class Workload:
    """A network, its steps and a batch for them.

    Attributes:
        batch: The batch of every step, on the devices, laid out as a compiled step takes it.
        train_step: The pure `(state, batch) -> (state, metrics)`.
        embed_step: The pure `(state, batch) -> arrays per example`.
    """

    recipe: Recipe
    parallel: Parallel
    network: Network
    batch: Mapping[str, jax.Array]
    train_step: Callable[..., Any]
    embed_step: Callable[..., Any]

    def initial(self) -> State:
        """Return the state before the first step; a compiled training step takes it over."""
        return self.network.initial(self.recipe.seed)

    def jitted(self, work: Work) -> Callable[..., Any]:
        """Return the step under jit or pmap, not compiled yet; it takes a state and `batch`."""
        if work == "train":
            return self.parallel.compile_update(self.train_step)
        return self.parallel.compile_outputs(self.embed_step)

    def batch_shapes(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Return the shapes of a batch of another size."""
        leading = 1 if self.parallel.mode == "jit" else 2
        return {
            name: jax.ShapeDtypeStruct((batch_size, *array.shape[leading:]), array.dtype)
            for name, array in self.batch.items()
        }

    def estimated_bytes(self, work: Work, batch_size: int) -> int:
        """Return the bytes of each device that a step takes with another batch; it is compiled, but never runs."""
        shapes = {name: self.parallel.abstract_layout(shape) for name, shape in self.batch_shapes(batch_size).items()}
        jitted: Any = self.jitted(work)
        lowered = jitted.lower(self.network.abstract(), shapes)
        return reported(program_bytes(lowered.compile(compiler_options=LOOKED_AT.get(self.parallel.platform))))

    def window(self, work: Work, steps: int) -> Window:
        """Compile some steps, dispatched as a run dispatches them.

        On an accelerator under jit several training steps are one program, as for a resident split. Elsewhere, and for
        inference, each step is a call of its own, and none is waited for before the next.
        """
        fused = work == "train" and steps > 1 and self.parallel.mode == "jit" and self.parallel.platform != "cpu"
        return self.fused_window(steps) if fused else self._plain_window(work, steps)

    def fused_window(self, steps: int) -> Window:
        """Compile training steps as one dispatch; slow on a CPU, where convolutions inside a loop are slow."""
        resident = {name: array for name, array in self.batch.items() if name != "row"}
        row_b = np.arange(self.recipe.engine.batch_size, dtype=np.int32)
        # Every turn has another order: the compiler may do once what all turns share.
        row_sb = np.stack([np.roll(row_b, turn) for turn in range(steps)])
        row_sb = jax.device_put(row_sb, self.parallel.replicated)
        state = self.initial()
        jitted = self.parallel.compile_steps(self.train_step, gather)
        compiled, compile_s = _compile(jitted, state, resident, row_sb)

        def train() -> Any:
            nonlocal state
            state, metrics = compiled(state, resident, row_sb)
            return state, metrics

        return Window(train, compiled, compile_s, steps, steps)

    def _plain_window(self, work: Work, steps: int) -> Window:
        """Compile a step that is dispatched alone, `steps` times."""
        state, batch = self.initial(), dict(self.batch)
        compiled, compile_s = _compile(self.jitted(work), state, batch)

        def train() -> Any:
            nonlocal state
            for _ in range(steps):
                state, metrics = compiled(state, batch)
            return state, metrics

        def infer() -> Any:
            return [compiled(state, batch) for _ in range(steps)]

        return Window(train if work == "train" else infer, compiled, compile_s, steps, 1)


def _compile(jitted: Any, *arguments: Any) -> tuple[jax.stages.Compiled, float]:
    """Return the program for these arguments, and the seconds of tracing and compiling it."""
    started = time.perf_counter()
    compiled = jitted.lower(*arguments).compile()
    return compiled, time.perf_counter() - started


def scene_workload(recipe: Recipe, parallel: Parallel, classes: int = 1000) -> Workload:
    """Return the work of a recipe on generated scenes of its image size: noise, as in timm's benchmark."""
    size, count = recipe.data.image_size, recipe.engine.batch_size
    random = np.random.default_rng(0)
    batch = {
        "image": random.integers(0, 256, (count, size, size, 3), np.uint8),
        "label": random.integers(0, classes, count, np.int32),
        "row": np.arange(count, dtype=np.int32),
    }
    network = create(recipe, tuple(f"class {index}" for index in range(classes)), _STEPS_PER_EPOCH, parallel)
    objective = cross_entropy(recipe.optim.label_smoothing)
    return Workload(
        recipe,
        parallel,
        network,
        parallel.place(batch),
        make_train_step(network, objective, recipe.data, parallel.axis_name),
        make_embed_step(network, recipe.data),
    )
