"""One TFDS build in a process that imports nothing else; prints its seconds and peak memory as a line of JSON.

    python -P mtsccd_jax/perf/bench/one_build.py NAME[/CONFIG] ARCHIVE DATA_DIR WORKERS

`bench build` and `benchmarks/compare_patches.py` start it. Peaks are the kernel's high-water marks of the process and
of its largest worker, sampled every few milliseconds. `getrusage` would include the memory that the parent had before
the child began.
"""

import contextlib
import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

_PEAK = re.compile(r"^VmHWM:\s*(\d+) kB$", re.MULTILINE)
_LOOK_S = 0.005
_ROOT = str(Path(__file__).resolve().parents[3])


def peak_mib(process: str) -> float:
    """Return the peak memory of a process (its number, or "self") in MiB."""
    found = _PEAK.search(Path(f"/proc/{process}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def worker_peaks() -> list[float]:
    """Return `peak_mib` of every child process that still runs."""
    own, peaks = Path("/proc/self/cmdline").read_bytes(), [0.0]
    for path in Path("/proc/self/task").glob("*/children"):
        for child in path.read_text().split():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the child has just ended
                if Path(f"/proc/{child}/cmdline").read_bytes() != own:  # else the child is still a copy of this process
                    peaks.append(peak_mib(child))
    return peaks


def build(name: str, archive: str, place: str, workers: int) -> dict[str, float]:
    """Build a data set; return its examples, seconds, processor seconds and peaks."""
    import tfds_builders

    over = threading.Event()
    largest = 0.0

    def watch() -> None:
        nonlocal largest
        while not over.wait(_LOOK_S):
            largest = max(largest, *worker_peaks())

    watching = threading.Thread(target=watch)
    watching.start()
    dataset, _, config = name.partition("/")
    try:
        started = time.perf_counter()
        built = tfds_builders.build(
            dataset, archive=archive, data_dir=place, workers=workers, config=config or "official"
        )
        elapsed_s = time.perf_counter() - started
    finally:
        over.set()
        watching.join()
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "examples": sum(built.splits.values()),
        "s": elapsed_s,
        "processor_s": sum(usage.ru_utime + usage.ru_stime for usage in usages),
        "main_mib": peak_mib("self"),
        "worker_mib": largest,
    }


def measured(name: str, archive: Path, place: Path, workers: int) -> dict[str, float]:
    """Run `build` in a fresh process and return its result.

    Raises:
        subprocess.CalledProcessError: The build failed; its messages are in `stderr`.
    """
    # Run as a file, since importing the package imports JAX; -P keeps this folder from shadowing Python's modules.
    command = [sys.executable, "-P", __file__, name, str(archive), str(place), str(workers)]
    around = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [_ROOT, os.environ.get("PYTHONPATH")]))}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=around)
    measurements: dict[str, float] = json.loads(done.stdout)
    return measurements


if __name__ == "__main__":
    print(json.dumps(build(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))))
