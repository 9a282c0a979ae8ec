"""What is not finite is refused by every command alike, whatever the compiler makes of it; what is sound passes."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from small_networks import filled

from mtsccd_jax.cli import main
from mtsccd_jax.engine import checkpoint
from mtsccd_jax.engine.checkpoint import Checkpoints
from mtsccd_jax.engine.finite import not_finite
from mtsccd_jax.engine.state import Network, State
from mtsccd_jax.engine.workdir import read_validations
from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.recipes.config import Model
from mtsccd_jax.tasks.train import train


@cache
def state_of(name):
    params, statistics = nnx.state(filled(name), nnx.Param, nnx.BatchStat)
    return State(jnp.int32(7), jax.random.PRNGKey(0), params, statistics, optax.sgd(0.1, momentum=0.9).init(params))


def poisoned(state, part, place, value):
    """Return the state with one value in the first or last array of a part replaced."""
    leaves, tree = jax.tree.flatten(getattr(state, part))
    leaves[place] = leaves[place].at[(0,) * leaves[place].ndim].set(value)
    return replace(state, **{part: jax.tree.unflatten(tree, leaves)})


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "vgg11", "vit_tiny_patch16"])
def test_no_checkpoint_is_written_with_values_that_are_not_finite(tmp_path, name):
    sound = state_of(name)
    assert not_finite(sound) is None
    with Checkpoints(tmp_path) as checkpoints:
        for part in ("params", "statistics", "optimizer"):
            for place, value in ((0, np.nan), (-1, np.inf), (0, -np.inf)):
                if jax.tree.leaves(getattr(sound, part)):
                    with pytest.raises(RunError, match=rf"step 7: the values of {part}.* are not finite \(1 of \d+\)"):
                        checkpoints.save(poisoned(sound, part, place, value), wait=True)
        assert checkpoints.latest is None


@pytest.mark.parametrize("part", ["params", "statistics", "optimizer"])
def test_no_checkpoint_is_read_with_values_that_are_not_finite(tmp_path, monkeypatch, part):
    sound = state_of("resnet18")
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(sound, wait=True)
        jax.tree.map(np.testing.assert_array_equal, checkpoints.restore(sound), sound)
        monkeypatch.setattr(checkpoint, "check_finite_state", lambda state: None)
        checkpoints.save(replace(poisoned(sound, part, -1, np.nan), step=jnp.int32(8)), wait=True)
        with pytest.raises(InputError, match=rf"8: the values of {part}.* move it elsewhere to go on from step 7$"):
            checkpoints.restore(sound)


@pytest.fixture(scope="module")
def ruined(recipe, tmp_path_factory):
    """A work directory whose network has one NaN among its running means."""
    workdir = tmp_path_factory.mktemp("ruined") / "run"
    train(replace(recipe, engine=replace(recipe.engine, epochs=1)), workdir)
    with Checkpoints(workdir) as checkpoints, pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "check_finite_state", lambda state: None)
        state = checkpoints.restore(None)
        mean = state["statistics"]["stem"]["norm"]["mean"]
        mean["value"] = mean["value"].at[0].set(np.nan)
        checkpoints._manager.save(99, args=checkpoint.ocp.args.StandardSave(state))
    return workdir


@pytest.mark.parametrize(
    "command",
    ["evaluate", "predict", "embed", "retrieve", "change", "export safetensors", "export stablehlo", "train", "--init"],
)
def test_every_command_refuses_such_a_network_alike(ruined, recipe, scenes, tmp_path, capsys, command):
    given = {
        "evaluate": ["evaluate", ruined],
        "predict": ["predict", ruined, scenes / "dark", "--out", tmp_path / "p.csv"],
        "embed": ["embed", ruined, "--out", tmp_path / "e.npz"],
        "retrieve": ["retrieve", ruined, "--query", scenes / "dark" / "0.png"],
        "change": ["change", ruined],
        "export safetensors": ["export", ruined, "--format", "safetensors", "--out", tmp_path / "w"],
        "export stablehlo": ["export", ruined, "--format", "stablehlo", "--out", tmp_path / "w"],
    }
    if command in given:
        assert main([str(word) for word in given[command]]) == 2
        text = capsys.readouterr().err
    else:
        workdir, model = (ruined, recipe.model) if command == "train" else (tmp_path, Model("resnet18", width=0.0625))
        if command == "--init":
            model = replace(model, init=str(ruined))
        with pytest.raises(InputError) as caught:
            train(replace(recipe, model=model, engine=replace(recipe.engine, epochs=1)), workdir)
        text = str(caught.value)
    assert "checkpoints/99: the values of statistics.stem.norm.mean are not finite (1 of 4)" in text
    assert len(text.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "batch_size"), [("resnet18", 16), ("resnet18", 8), ("scnn", 16)])
def test_a_training_ends_before_it_scores_or_keeps_such_an_epoch(tmp_path, monkeypatch, recipe, name, batch_size):
    initial = Network.initial
    part = "params" if name == "scnn" else "statistics"
    monkeypatch.setattr(Network, "initial", lambda self, seed: poisoned(initial(self, seed), part, 0, np.nan))
    engine = replace(recipe.engine, epochs=1, batch_size=batch_size, keep="best", patience=1)
    ruined = replace(recipe, engine=engine, model=Model(name, width=0.0625))
    with pytest.raises(RunError, match=r"step \d+: (the values of statistics|gradient_norm is nan)"):
        train(ruined, tmp_path)
    assert read_validations(tmp_path, 10**9) == []
    assert not [path for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit()]
