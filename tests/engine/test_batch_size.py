"""The largest batch that fits: the same as trying every one, with few programs; and it is said before running."""

import json
import logging
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from mtsccd_jax import cli
from mtsccd_jax.engine import batch_size as search
from mtsccd_jax.engine import loop
from mtsccd_jax.engine.batch_size import BatchChoice, compile_program, largest_batch, largest_program, with_batch
from mtsccd_jax.engine.feed import Feed
from mtsccd_jax.engine.parallel import make_parallel
from mtsccd_jax.engine.program import Program, make_program, steps_of_dispatch
from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.config import Engine, Model
from mtsccd_jax.tasks.table import open_task
from mtsccd_jax.tasks.train import train

MEMORIES = {
    "affine": lambda batch: 1000 + 10 * batch,
    "steps": lambda batch: 1000 + 64 * -(-batch // 48),  # flat over small batches
    "steeper": lambda batch: 1000 + 10 * batch + batch**2 // 50,
    "flatter": lambda batch: 1000 + int(200 * batch**0.7),
    "constant": lambda batch: 1000,
}


@pytest.mark.parametrize("name", MEMORIES)
@pytest.mark.parametrize("devices", [1, 8])
def test_it_is_the_largest_that_fits(name, devices):
    memory = MEMORIES[name]
    for limit in (900, 1005, 1100, 1300, 2000, 5000, 50_000, 10**6, 10**9):
        for most in (devices, 3 * devices, 100 * devices, 5000 * devices):
            looked_at = []

            def bytes_of(batch, looked_at=looked_at):
                looked_at.append(batch)
                return memory(batch // devices)

            found = largest_batch(bytes_of, limit, devices=devices, most=most)
            batches = [devices << power for power in range(20) if devices << power <= most]
            fitting = [batch for batch in batches if memory(batch // devices) <= limit]
            largest = max(fitting, default=0)
            # A line lies above what grows ever more slowly: then a smaller one may be found.
            assert found.batch_size == largest or (name == "flatter" and 0 < found.batch_size < largest)
            assert len(looked_at) == len(set(looked_at)) == found.compiled
            if found.batch_size:
                assert found.step_bytes == memory(found.batch_size // devices)
                assert found.batch_size in looked_at, "it has been looked at itself"
            if name == "affine":
                assert found.compiled <= 5


def test_a_search_without_room_for_one_example_is_refused():
    with pytest.raises(ValueError, match="at least one example of each of the 8 devices"):
        largest_batch(lambda batch: 0, 1, devices=8, most=7)


@pytest.fixture(scope="module")
def small(recipe):
    """A recipe of one epoch on a network that is quick to compile, its scenes as they are."""
    engine = replace(recipe.engine, epochs=1, validate=False, batch_size=16)
    data = replace(recipe.data, flip=False, turn=False, crop_padding=0, color_jitter=0.0)
    return replace(recipe, model=Model("scnn", width=0.0625), data=data, engine=engine)


@pytest.fixture
def one_device(monkeypatch):
    """Runs see one device, as the feed of `parts`: their programs are compiled once for both."""
    monkeypatch.setattr(loop, "make_parallel", partial(make_parallel, devices=jax.devices()[:1]))


@pytest.fixture(scope="module")
def parts(small):
    """The task, its feed on one device, and what a step of 8 and of 16 scenes takes."""
    task = open_task(small)
    feed = Feed(task.train, make_parallel("jit", jax.devices()[:1]), "resident")
    sizes = {batch: make_program(with_batch(small, batch), task, feed).estimated_bytes() for batch in (8, 16)}
    return task, feed, sizes


def test_a_step_takes_more_with_a_larger_batch(parts):
    _, feed, sizes = parts
    assert feed.split_bytes < sizes[8] < sizes[16], "the resident split counts"


def test_the_program_of_the_largest_batch_is_the_one_looked_at(small, parts, caplog):
    caplog.set_level(logging.INFO)
    task, feed, sizes = parts
    program = largest_program(small, task, feed, sizes[16])
    assert program.batch_size == 16
    assert program.bytes_of_dispatch == sizes[16]
    assert caplog.messages[-1] == "batch 16: 0.00 GB of 0.00 GB a device, from 2 compiled programs"


def test_a_batch_that_cannot_fit_names_the_largest_that_does(small, parts):
    task, feed, sizes = parts
    program = make_program(small, task, feed)
    with pytest.raises(InputError, match=r"engine\.batch_size=16: a step takes .*; the largest that fits is 8$"):
        compile_program(program, small, task, sizes[16] - 1)
    assert compile_program(program, small, task, sizes[16]) is program


def test_what_runs_decides_where_it_takes_more_than_what_was_looked_at(small, parts, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    """As on GPUs, where programs that are only looked at are compiled in another way."""
    task, feed, sizes = parts
    monkeypatch.setattr(Program, "estimated_bytes", lambda program: 0 if program.batch_size <= 16 else sizes[16])
    program = largest_program(small, task, feed, sizes[16] - 1)
    assert (program.batch_size, program.bytes_of_dispatch) == (8, sizes[8])
    assert caplog.messages[-2:] == [
        "batch 16 takes 0.00 GB a device as it would run: half of it",
        "compiling the training step",
    ]
    with pytest.raises(InputError, match=r"engine\.batch_size=16: .*; the largest that fits is 8$"):
        compile_program(make_program(small, task, feed), small, task, sizes[16] - 1)


def test_a_resident_split_counts_where_the_program_does_not_see_it(parts):
    source, parallel = parts[0].train, make_parallel("pmap")
    network = SimpleNamespace(abstract=lambda: jax.ShapeDtypeStruct((), np.int32))

    def count(state, batch):
        return state + 1, {"rows": batch["row"].sum()}

    resident, streamed = (Feed(source, parallel, mode) for mode in ("resident", "stream"))
    needed = [Program(network, count, feed, 8, 1).estimated_bytes() for feed in (resident, streamed)]
    assert needed[0] - needed[1] == resident.split_bytes


def test_a_resident_split_gives_way_to_a_large_step(small, parts, caplog):
    caplog.set_level(logging.INFO)
    task, feed, sizes = parts
    feed = Feed(task.train, feed.parallel, "auto")
    assert feed.resident
    program = compile_program(make_program(small, task, feed), small, task, sizes[16] - 1)
    assert not program.feed.resident
    assert program.bytes_of_dispatch < sizes[16]
    assert "streamed after all" in caplog.messages[1]
    assert steps_of_dispatch(Engine(steps_per_dispatch=4), program.feed, 10) == 1, "as where the split does not fit"


def test_a_refused_batch_leaves_the_work_directory_free(small, one_device, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "free_bytes", lambda parallel: 0)
    monkeypatch.setattr(search, "largest_batch", lambda *arguments, **settings: BatchChoice(0, 1, 0, 1))
    with pytest.raises(InputError, match="not one example a device fits"):
        train(replace(small, data=replace(small.data, input="stream")), tmp_path)
    assert not (tmp_path / loop.RECIPE_FILE).exists()


def test_a_resumed_run_keeps_the_batch_it_began_with(small, one_device, tmp_path, monkeypatch, capsys):
    choices = []

    def largest(*arguments, **settings):
        choices.append(BatchChoice(16, 0, 0, 0))
        settings.pop("devices"), settings.pop("most")
        arguments[0](16)
        return choices[-1]

    monkeypatch.setattr(search, "largest_batch", largest)
    command = ["train", "demo", "--folder", small.data.folder, "--workdir", str(tmp_path), "--batch", "auto", "-q"]
    settings = ["model.name=scnn", "model.width=0.0625", "data.image_size=32", "data.crop_padding=0"]
    settings += ["data.flip=false", "data.turn=false", "data.color_jitter=0"]
    settings += ["engine.epochs=1", "engine.validate=false", "optim.warmup_epochs=0"]
    command += [f"--set={setting}" for setting in settings]
    assert cli.main(command) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["batch_size"], len(choices)) == (16, 1)
    monkeypatch.setattr(search, "largest_batch", lambda *arguments, **settings: pytest.fail("it was looked for again"))
    assert cli.main(command) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["batch_size"], again["step"], again["compile_s"]) == (16, first["step"], None)
    command[command.index("auto")] = "32"
    assert cli.main(command) == 2
    assert "engine.batch_size (16 there, 32 asked for)" in capsys.readouterr().err
    assert np.isfinite(first["loss"])
