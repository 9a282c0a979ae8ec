"""The wait for an answer: what a user waits for the demo, for its commands, and for the first step of a training.

    python benchmarks/wait.py [--rounds 3] [--workdir DIR] [--out FILE]

Every command runs in a process of its own, on the work directory of `mtsccd-jax demo`, which is made and timed unless
one is given. The first call is not counted; of the others the one that took the least processor time is. "cpu_s" is the
processor time of the process, user and system: the figure to trust where others use the machine. "load" is the
1-minute load before. The training is ResNet-18 at 96 pixels, batch 32, in a new work directory without kept programs;
its first step ends with the first line of its history.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from record import make_parser, publish

# Name -> the target in seconds, and the command; RUN is the demo's work directory, OUT one of this benchmark.
COMMANDS = {
    "evaluate": (4, ("evaluate", "RUN")),
    "change, CFSM": (4, ("change", "RUN", "--method", "cfsm")),
    "report": (4, ("report", "RUN", "--out", "OUT/report")),
    "models": (1, ("models",)),
    "predict, one image": (3, ("predict", "RUN", "OUT/image", "--out", "OUT/labels.csv")),
}
DEMO_TARGET_S, FIRST_STEP_TARGET_S = 75, 8


def main() -> None:
    parser = make_parser(__doc__, rounds=3)
    parser.add_argument("--workdir", type=Path, help="of a demo; made anew and timed unless given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        publish(measure(options, Path(place)), options.out)


def measure(options: argparse.Namespace, place: Path) -> dict:
    figures: dict[str, dict] = {}

    def note(name: str, target_s: float, run: Callable[[], dict[str, float]], rounds: int = 1) -> None:
        load = os.getloadavg()[0]
        best = min((run() for _ in range(rounds)), key=lambda figure: figure["cpu_s"])
        figures[name] = {"target_s": target_s, "load": round(load, 2), **best}
        print(f"{name:20} {best['wall_s']:7.2f} s, processor {best['cpu_s']:7.2f} s", file=sys.stderr)

    workdir = options.workdir
    if workdir is None:
        workdir = place / "demo"
        note("demo", DEMO_TARGET_S, lambda: timed("demo", "--workdir", str(workdir)))
    (place / "image").mkdir()
    shutil.copy(next((workdir / "archive").rglob("*.jpg")), place / "image")
    rows = (workdir / "rows.jsonl").read_bytes()
    for name, (target_s, command) in COMMANDS.items():
        arguments = [part.replace("RUN", str(workdir)).replace("OUT", str(place)) for part in command]
        timed(*arguments)
        note(name, target_s, lambda arguments=arguments: timed(*arguments), options.rounds)
        (workdir / "rows.jsonl").write_bytes(rows)  # a row more is a line more to read
    note("first training step", FIRST_STEP_TARGET_S, lambda: first_step(workdir, place / "new"), options.rounds)
    return {"benchmark": "wait", "rounds": options.rounds, "figures": figures}


def start(arguments: Sequence[str]) -> subprocess.Popen:
    """Start a command of this checkout."""
    # A user's Python keeps compiled modules.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-m", "mtsccd_jax", *arguments], env=environment, **quiet)


def timed(*arguments: str) -> dict[str, float]:
    """Return the seconds and processor seconds of a command, which must succeed."""
    began = time.perf_counter()
    process = start(arguments)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"mtsccd-jax {' '.join(arguments)}: status {os.waitstatus_to_exitcode(status)}")
    return figure(time.perf_counter() - began, usage.ru_utime + usage.ru_stime)


def first_step(demo: Path, workdir: Path) -> dict[str, float]:
    """Return the seconds and processor seconds from the start of a training to the first line of its history."""
    shutil.rmtree(workdir, ignore_errors=True)
    settings = ("model.width=1", "data.image_size=96", "engine.batch_size=32")
    options = [option for setting in settings for option in ("--set", setting)]
    history, began = workdir / "training.jsonl", time.perf_counter()
    process = start(["train", "demo", "--workdir", str(workdir), "--data-dir", str(demo / "tfds"), *options])
    while not (history.exists() and history.stat().st_size):
        if process.poll() is not None:
            sys.exit(f"the training ended with status {process.returncode}")
        time.sleep(0.01)
    waited = time.perf_counter() - began
    user, system = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    process.send_signal(signal.SIGKILL)
    process.wait()
    return figure(waited, (int(user) + int(system)) / os.sysconf("SC_CLK_TCK"))


def figure(wall_s: float, cpu_s: float) -> dict[str, float]:
    return {"wall_s": round(wall_s, 2), "cpu_s": round(cpu_s, 2)}


if __name__ == "__main__":
    main()
