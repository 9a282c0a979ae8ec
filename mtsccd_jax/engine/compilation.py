"""Compiled programs kept between processes, in the work directory of what they belong to."""

import hashlib
import logging
import platform
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache as jax_cache

logger = logging.getLogger(__name__)

FOLDER = "compiled"

# Everything is kept, however small and quickly compiled: an entry of a step costs nothing beside its compilation.
_SETTINGS = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": 0,
    # On GPU also which kernels were the fastest, which is most of the time that compiling takes there.
    "jax_persistent_cache_enable_xla_caches": "xla_gpu_per_fusion_autotune_cache_dir",
}
# What JAX warns of when it cannot read or write an entry; it compiles, and goes on.
_TROUBLE = "persistent compilation cache entry"


@contextmanager
def compilation_cache(place: Path) -> Iterator[None]:
    """Inside, compiled programs are kept below `place` and found there again; afterwards all is as it was before.

    A place that cannot be written to, or that is full, costs a line and the time to compile, not the run. Programs for
    CPUs lie apart by kind of processor: another one's may use instructions that this one lacks.

    Args:
        place: a folder, made where it is missing. Whoever can write there can make this process run what he likes.
    """
    folder = place / _machine()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
    except OSError as error:
        logger.warning(f"{place}: {(error.strerror or 'cannot be written').lower()}; compiled programs are not kept")
        yield
        return
    settings = {**_SETTINGS, "jax_compilation_cache_dir": str(folder.resolve()), "jax_enable_compilation_cache": True}
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    jax_cache.reset_cache()  # JAX opens the place it finds when it compiles for the first time, and no other later
    damaged: list[str] = []
    try:
        with _trouble_said(damaged):
            yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        jax_cache.reset_cache()
        if damaged:  # JAX never writes an entry anew: what is torn would be found again and again
            shutil.rmtree(folder, ignore_errors=True)


def run_cache(workdir: Path) -> AbstractContextManager[None]:
    """`compilation_cache` in a work directory, unless JAX has one already, as JAX_COMPILATION_CACHE_DIR sets it."""
    if jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]
        return nullcontext()
    return compilation_cache(workdir / FOLDER)


def _machine() -> str:
    """A name for the kind of processor that programs for CPUs are compiled for."""
    described = [platform.machine()]
    table = Path("/proc/cpuinfo")
    if table.is_file():
        # Of one processor: what it is called and which instructions it has (x86 flags, ARM Features).
        lines = table.read_text().split("\n\n")[0].splitlines()
        described += [line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))]
    return f"{platform.machine()}-{hashlib.sha256(chr(10).join(described).encode()).hexdigest()[:8]}"


@contextmanager
def _trouble_said(damaged: list[str]) -> Iterator[None]:
    """Inside, what JAX warns of its cache is one line, once, and torn entries are noted; else all is as before."""
    said = False
    with warnings.catch_warnings():
        warnings.filterwarnings("always", message=f".*{_TROUBLE}")
        shown = warnings.showwarning

        def show(message, category, filename, lineno, file=None, line=None) -> None:  # type: ignore[no-untyped-def]
            nonlocal said
            if _TROUBLE not in str(message):
                shown(message, category, filename, lineno, file, line)
                return
            text = str(message).splitlines()[0]
            if "Error reading" in text or "OSError" in text:
                damaged.append(text)
            if not said:
                said = True
                logger.warning(f"compiled programs cannot all be kept or read again: {text}")

        warnings.showwarning = show
        yield
