"""The largest batch that fits is what trying every one would find; a batch that does not fit is refused first."""

import logging
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from mtsccd_jax.engine import batch_size as search
from mtsccd_jax.engine import prepare
from mtsccd_jax.engine.batch_size import BatchChoice, compile_program, largest_batch, largest_program, with_batch
from mtsccd_jax.engine.feed import Feed
from mtsccd_jax.engine.parallel import make_parallel
from mtsccd_jax.engine.program import Program, make_program, steps_of_dispatch
from mtsccd_jax.engine.workdir import RECIPE_FILE
from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.config import Engine, Model
from mtsccd_jax.tasks.table import open_task
from mtsccd_jax.tasks.train import train

MEMORIES = {
    "affine": lambda batch: 1000 + 10 * batch,
    "stepwise": lambda batch: 1000 + 64 * -(-batch // 48),  # flat over small batches
    "steeper": lambda batch: 1000 + 10 * batch + batch**2 // 50,
    "flatter": lambda batch: 1000 + int(200 * batch**0.7),
    "constant": lambda batch: 1000,
}


@pytest.mark.parametrize("name", MEMORIES)
@pytest.mark.parametrize("devices", [1, 8])
def test_the_largest_batch_that_fits_is_found(name, devices):
    memory = MEMORIES[name]
    for limit in (900, 1005, 1100, 1300, 2000, 5000, 50_000, 10**6, 10**9):
        for most in (devices, 3 * devices, 100 * devices, 5000 * devices):
            compiled = []

            def bytes_of(batch, compiled=compiled):
                compiled.append(batch)
                return memory(batch // devices)

            found = largest_batch(bytes_of, limit, devices=devices, most=most)
            batches = [devices << power for power in range(20) if devices << power <= most]
            fitting = [batch for batch in batches if memory(batch // devices) <= limit]
            largest = max(fitting, default=0)
            # Memory that grows ever more slowly lies below the line: then a smaller batch may be found.
            assert found.batch_size == largest or (name == "flatter" and 0 < found.batch_size < largest)
            assert len(compiled) == len(set(compiled)) == found.compiled
            if found.batch_size:
                assert found.step_bytes == memory(found.batch_size // devices)
                assert found.batch_size in compiled, "its own program must have been compiled"
            if name == "affine":
                assert found.compiled <= 5


def test_fewer_examples_than_devices_are_refused():
    with pytest.raises(ValueError, match="at least one example of each of the 8 devices"):
        largest_batch(lambda batch: 0, 1, devices=8, most=7)


@pytest.fixture(scope="module")
def small(recipe):
    """Return a recipe of one epoch on a network that is quick to compile, its scenes as they are."""
    engine = replace(recipe.engine, epochs=1, validate=False, batch_size=16)
    data = replace(recipe.data, flip=False, turn=False, crop_padding=0, color_jitter=0.0)
    return replace(recipe, model=Model("scnn", width=0.0625), data=data, engine=engine)


@pytest.fixture
def one_device(monkeypatch):
    """Let runs see one device, as the feed of `parts` does: they share compiled programs."""
    for module in (prepare, search):
        monkeypatch.setattr(module, "make_parallel", partial(make_parallel, devices=jax.devices()[:1]))


@pytest.fixture(scope="module")
def parts(small):
    """Return the task, its feed on one device, and what a step of 8 and of 16 scenes takes."""
    task = open_task(small)
    feed = Feed(task.train, make_parallel("jit", jax.devices()[:1]), "resident")
    sizes = {batch: make_program(with_batch(small, batch), task, feed).estimated_bytes() for batch in (8, 16)}
    return task, feed, sizes


def test_a_step_takes_more_with_a_larger_batch(parts):
    _, feed, sizes = parts
    assert feed.split_bytes < sizes[8] < sizes[16], "the resident split counts"


def test_the_program_of_the_largest_batch_is_returned(small, parts, caplog):
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


def test_the_program_that_runs_decides_where_it_takes_more_than_estimated(small, parts, monkeypatch, caplog):
    """As on GPUs, where estimates come from programs that are compiled in another way."""
    caplog.set_level(logging.INFO)
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


def test_a_resident_split_counts_where_it_is_no_argument_of_the_program(parts):
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
    assert steps_of_dispatch(Engine(steps_per_dispatch=4), program.feed, 10) == 1, "auto chose a stream, so no error"


def test_a_refused_batch_leaves_the_work_directory_free(small, one_device, tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "usable_bytes", lambda parallel: 0)
    monkeypatch.setattr(search, "largest_batch", lambda *arguments, **settings: BatchChoice(0, 1, 0, 1))
    with pytest.raises(InputError, match="not one example a device fits"):
        train(replace(small, data=replace(small.data, input="stream")), tmp_path)
    assert not (tmp_path / RECIPE_FILE).exists()


def test_a_resumed_run_keeps_the_batch_it_began_with(small, one_device, tmp_path, monkeypatch):
    searches = []
    monkeypatch.setattr(search, "largest_batch", lambda *_, **__: searches.append(1) or BatchChoice(16, 0, 0, 0))
    first, again = (train(with_batch(small, 8), tmp_path, largest_batch=True) for _ in range(2))
    assert first.batch_size == again.batch_size == 16
    assert (again.step, again.compile_s) == (first.step, None)
    assert len(searches) == 1, "the batch of a run is not searched for again"
    with pytest.raises(InputError, match=r"engine\.batch_size \(16 there, 32 asked for\)"):
        train(with_batch(small, 32), tmp_path)
