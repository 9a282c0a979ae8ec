"""Compiled programs are found again; trouble with their folder costs one line and never the run."""

import os

import jax
import jax.monitoring
import numpy as np
import pytest

from mtsccd_jax.engine.compilation import FOLDER, compilation_cache, run_cache

HIT, MISS = "/jax/compilation_cache/cache_hits", "/jax/compilation_cache/cache_misses"


@pytest.fixture
def events():
    """Return the hits and misses of the cache so far."""
    heard = []

    def hear(event, **details):
        if event in (HIT, MISS):
            heard.append(event)

    jax.monitoring.register_event_listener(hear)
    yield heard
    jax.monitoring.unregister_event_listener(hear)


def compute(factor):
    """Compile a program anew, as another process would, and run it."""

    def scaled_sum(x):
        return (x * factor).sum()

    ones = np.ones(8, np.float32)
    return float(jax.jit(scaled_sum).lower(ones).compile()(ones))


def test_a_program_is_found_again_and_the_settings_are_restored(tmp_path, events, caplog):
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = [getattr(jax.config, name) for name in names]
    with compilation_cache(tmp_path / "here"):
        assert compute(3.0) == 24
    assert events == [MISS]
    with compilation_cache(tmp_path / "here"):
        assert compute(3.0) == 24
    assert events == [MISS, HIT]
    with compilation_cache(tmp_path / "elsewhere"):
        assert compute(3.0) == 24
    assert events == [MISS, HIT, MISS]
    with pytest.raises(KeyError), compilation_cache(tmp_path / "here"):
        raise KeyError
    assert [getattr(jax.config, name) for name in names] == before
    assert caplog.messages == []
    assert len(list((tmp_path / "here").iterdir())) == 1, "one kind of processor"


def test_a_folder_that_cannot_be_written_to_costs_one_line(tmp_path, caplog):
    (tmp_path / "file").touch()
    with compilation_cache(tmp_path / "file" / FOLDER):
        assert compute(5.0) == 40
    assert caplog.messages == [f"{tmp_path}/file/{FOLDER}: not a directory; compiled programs are not kept"]


def test_a_torn_entry_costs_one_line_and_is_deleted(tmp_path, events, caplog):
    with compilation_cache(tmp_path):
        compute(7.0)
    (entry,) = (path for path in tmp_path.rglob("*-cache") if path.is_file())
    os.truncate(entry, 10)
    with compilation_cache(tmp_path):
        assert compute(7.0) == 56
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("compiled programs cannot all be kept or read again: Error reading")
    assert not entry.exists(), "JAX would never write it again"
    with compilation_cache(tmp_path):
        compute(7.0)
        compute(7.0)
    assert events[-2:] == [MISS, HIT]
    assert len(caplog.messages) == 1


def test_a_full_disk_costs_one_line(tmp_path, monkeypatch, caplog):
    def full(self, key, value):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("jax._src.lru_cache.LRUCache.put", full)
    with compilation_cache(tmp_path):
        assert compute(9.0) == 72
        assert compute(11.0) == 88
    assert len(caplog.messages) == 1
    assert "No space left on device" in caplog.messages[0]


def test_a_cache_that_jax_already_has_is_kept(tmp_path):
    before = jax.config.jax_compilation_cache_dir
    assert before, "the tests have one"
    with run_cache(tmp_path):
        assert jax.config.jax_compilation_cache_dir == before
    jax.config.update("jax_compilation_cache_dir", None)
    try:
        with run_cache(tmp_path):
            assert jax.config.jax_compilation_cache_dir.startswith(str(tmp_path / FOLDER))
        assert jax.config.jax_compilation_cache_dir is None
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
