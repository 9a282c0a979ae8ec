"""A recipe's steps on a batch that lies on the devices: the windows that benchmarks time."""

import jax
import numpy as np
import pytest

from mtsccd_jax.data.resident import gather
from mtsccd_jax.engine.parallel import make_parallel
from mtsccd_jax.perf.profile.workload import Workload, scene_workload
from mtsccd_jax.recipes.config import Data, Engine, Model, Recipe


def workload(devices: int = 8, **engine) -> Workload:
    recipe = Recipe(
        name="window",
        summary="for tests",
        data=Data(image_size=16, flip=False, turn=False),
        model=Model("scnn", width=0.125),
        engine=Engine(batch_size=8, **engine),
    )
    return scene_workload(recipe, make_parallel(recipe.engine.parallel, jax.devices()[:devices]), classes=3)


def leaves(window) -> list[np.ndarray]:
    """Return the parameters after one more round."""
    state, _ = window.run()
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state.params)]


def test_a_dispatch_of_several_steps_trains_as_steps_one_by_one():
    made = workload(devices=1)
    fused, plain = made.fused_window(3), made.window("train", 3)
    assert fused.steps == plain.steps == 3
    # The order of the rows within a batch changes between steps, and sums by no more than their rounding.
    for one, other in zip(leaves(fused), leaves(plain), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    state, metrics = fused.run()
    assert int(state.step) == 6, "training goes on from round to round"
    assert metrics["loss"].shape == (3,)


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_windows_run_under_jit_and_pmap(parallel):
    made = workload(parallel=parallel)
    state, _ = made.window("train", 2).run()
    assert int(np.max(np.asarray(state.step))) == 2
    outputs = made.window("infer", 2).run()
    assert [made.parallel.own_rows(output["logits"]).shape for output in outputs] == [(8, 3)] * 2


def test_the_program_of_several_steps_lowers_for_accelerators():
    made = workload()
    state = made.network.abstract()
    resident = {name: array for name, array in made.batch.items() if name != "row"}
    steps = made.parallel.compile_steps(made.train_step, gather)
    rows = jax.ShapeDtypeStruct((4, 8), np.int32)
    text = steps.trace(state, resident, rows).lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("stablehlo.while") == 1, "the steps are one loop on the device"
