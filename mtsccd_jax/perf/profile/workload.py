"""A recipe's steps on a batch that already lies on the devices: what they do when nothing keeps them waiting."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np

from mtsccd_jax.data.resident import gather
from mtsccd_jax.engine.parallel import Parallel
from mtsccd_jax.engine.state import Network, State, create
from mtsccd_jax.engine.steps import Objective, make_embed_step, make_train_step
from mtsccd_jax.recipes.config import Recipe
from mtsccd_jax.tasks.scenes.train import cross_entropy

Work = Literal["train", "infer"]

# A schedule needs a length; that of a benchmark has none.
_STEPS_PER_EPOCH = 1000


@dataclass(frozen=True)
class Window:
    """Some steps in a row: what one timed window of a benchmark is.

    Attributes:
        run: dispatches them and returns what they give, which is to be waited for; training goes on from call to call.
        compiled: the program that `run` calls, once or step by step.
        compile_s: seconds that tracing and compiling it took.
        steps: how many.
        steps_per_call: how many of them one call of the program takes.
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
        recipe: what it is made from; its batch is `engine.batch_size` for both kinds of work.
        parallel: the devices.
        network: the network; `network.initial(seed)` makes its state.
        batch: the same batch for every step, on the devices, laid out as a compiled step takes it.
        train_step: the pure `(state, batch) -> (state, metrics)`.
        embed_step: the pure `(state, batch) -> arrays per example`.
    """

    recipe: Recipe
    parallel: Parallel
    network: Network
    batch: Mapping[str, jax.Array]
    train_step: Callable[..., Any]
    embed_step: Callable[..., Any]

    def initial(self) -> State:
        """The state before the first step; a compiled training step takes it over."""
        return self.network.initial(self.recipe.seed)

    def jitted(self, work: Work) -> Callable[..., Any]:
        """The step of that work under jit or pmap, not compiled yet: called with a state and `batch`."""
        if work == "train":
            return self.parallel.compile_update(self.train_step)
        return self.parallel.compile_outputs(self.embed_step)

    def window(self, work: Work, steps: int) -> Window:
        """Some steps of that work, compiled, and dispatched as a run dispatches them.

        On an accelerator under jit several training steps are one program, that of a split which is resident there;
        elsewhere, and for inference, each is a call of its own and none is waited for before the next.
        """
        fused = work == "train" and steps > 1 and self.parallel.mode == "jit" and self.parallel.platform != "cpu"
        return self.fused_window(steps) if fused else self._plain_window(work, steps)

    def fused_window(self, steps: int) -> Window:
        """So many training steps in one dispatch; slow on a CPU, which is bad at convolutions inside a loop."""
        resident = {name: array for name, array in self.batch.items() if name != "row"}
        row_b = np.arange(self.recipe.engine.batch_size, dtype=np.int32)
        # Another order in every turn: what all turns share, a compiler may do once.
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
        """So many steps, each dispatched alone."""
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
    """The program for these arguments, and the seconds that tracing and compiling it took."""
    started = time.perf_counter()
    compiled = jitted.lower(*arguments).compile()
    return compiled, time.perf_counter() - started


def make_workload(
    recipe: Recipe,
    parallel: Parallel,
    class_names: tuple[str, ...],
    objective: Objective,
    batch: Mapping[str, np.ndarray],
) -> Workload:
    """The work of a recipe on one batch of the host, which is put on the devices.

    Args:
        recipe: data that is not read, network and optimiser.
        parallel: the devices.
        class_names: of the classifier's outputs.
        objective: what training minimises.
        batch: numbers alone, as a source reads them, with `row`.

    Raises:
        InputError: the network does not exist or does not take what the recipe gives it.
    """
    network = create(recipe, class_names, _STEPS_PER_EPOCH, parallel)
    return Workload(
        recipe,
        parallel,
        network,
        parallel.place(batch),
        make_train_step(network, objective, recipe.data, parallel.axis_name),
        make_embed_step(network, recipe.data),
    )


def scene_workload(recipe: Recipe, parallel: Parallel, classes: int = 1000) -> Workload:
    """The work of a recipe on made-up scenes of its image size: noise, as timm's benchmark has it."""
    size, count = recipe.data.image_size, recipe.engine.batch_size
    random = np.random.default_rng(0)
    batch = {
        "image": random.integers(0, 256, (count, size, size, 3), np.uint8),
        "label": random.integers(0, classes, count, np.int32),
        "row": np.arange(count, dtype=np.int32),
    }
    names = tuple(f"class {index}" for index in range(classes))
    return make_workload(recipe, parallel, names, cross_entropy(recipe.optim.label_smoothing), batch)
