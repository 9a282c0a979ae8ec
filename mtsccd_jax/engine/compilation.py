"""Keep compiled programs between processes, in the work directory that they belong to."""

import hashlib
import logging
import platform
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TextIO

import jax
from jax.experimental.compilation_cache import compilation_cache as jax_cache

from mtsccd_jax.files import AnyPath
from mtsccd_jax.ops.calls import own_settings

logger = logging.getLogger(__name__)

FOLDER = "compiled"

# Keep every program, however small: storing one costs nothing compared with compiling it.
_SETTINGS = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": 0,
    # On GPUs keep also which kernels were the fastest: finding them is most of the time of compiling.
    "jax_persistent_cache_enable_xla_caches": "xla_gpu_per_fusion_autotune_cache_dir",
}
# Part of the warning that JAX gives when it cannot read or write an entry; it then compiles and goes on.
_TROUBLE = "persistent compilation cache entry"


@contextmanager
def compilation_cache(place: Path) -> Iterator[None]:
    """Keep compiled programs below `place` and load them from there, until the block ends.

    A folder that is full or cannot be written to costs one warning and the time to compile; the run goes on. Each kind
    of processor has a folder of its own, because its programs may use instructions that another one lacks.

    Args:
        place: A folder, made if it is missing. Whoever can write there can make this process run any code.
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
    jax_cache.reset_cache()  # JAX opens its cache once, at the first compilation
    damaged: list[str] = []
    try:
        with _warnings_in_one_line(damaged):
            yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        jax_cache.reset_cache()
        if damaged:  # JAX never replaces an entry: a torn one would be found again in every run
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def run_cache(workdir: AnyPath) -> Iterator[None]:
    """Hold our settings of JAX, and keep programs in the work directory unless JAX_COMPILATION_CACHE_DIR is set."""
    kept_elsewhere = jax.config.values["jax_compilation_cache_dir"]
    with own_settings(), nullcontext() if kept_elsewhere else compilation_cache(Path(workdir) / FOLDER):
        yield


def _machine() -> str:
    """Return a name for the kind of processor that programs for CPUs are compiled for."""
    described = [platform.machine()]
    table = Path("/proc/cpuinfo")
    if table.is_file():
        # The name of the first processor and its instructions (x86 flags, ARM Features).
        lines = table.read_text().split("\n\n")[0].splitlines()
        described += [line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))]
    return f"{platform.machine()}-{hashlib.sha256(chr(10).join(described).encode()).hexdigest()[:8]}"


@contextmanager
def _warnings_in_one_line(damaged: list[str]) -> Iterator[None]:
    """Log the first of JAX's warnings about its cache as one line, and collect those about unreadable entries."""
    logged = False
    with warnings.catch_warnings():
        warnings.filterwarnings("always", message=f".*{_TROUBLE}")
        shown = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            nonlocal logged
            if _TROUBLE not in str(message):
                shown(message, category, filename, lineno, file, line)
                return
            text = str(message).splitlines()[0]
            if "Error reading" in text or "OSError" in text:
                damaged.append(text)
            if not logged:
                logged = True
                logger.warning(f"compiled programs cannot all be kept or read again: {text}")

        warnings.showwarning = show
        yield
