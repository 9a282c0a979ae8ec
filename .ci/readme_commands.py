"""Run the README's commands in the environment of this Python, which has the base install alone.

Each is run as it stands in a folder with small generated data, with settings that make it a matter of seconds. What is
not run is listed here with the reason. Usage: python .ci/readme_commands.py README.md
"""

import contextlib
import io
import os
import shlex
import sys
import tempfile
import time
import zipfile
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # compiling takes longer than what is compiled

import cv2
import numpy as np

from mtsccd_jax.cli import main

# Another network too, which compiles in a second: the tests train those of the recipes.
TINY = "model.name=scnn model.width=0.125 model.drop_path=none data.image_size=32 engine.epochs=1 engine.batch_size=8"
SMALL = " ".join(f"--set {setting}" for setting in [*TINY.split(), "evaluation.resamples=10"])
SMALLER = f"{SMALL} --set data.crop_padding=2"

# Beginning of a command -> (text, what takes its place), where it is made smaller; the longest beginning counts.
CHANGED = {
    "demo": ("demo", f"demo --scale 0.005 {SMALL}"),
    "train resnet18_scratch": ("tfds", f"tfds {SMALLER}"),
    "train scenes_64": ("2750", f"2750 {SMALLER}"),
    "train bigearthnet_v2_resnet50_s1_s2": ("runs/reben", f"runs/reben {SMALL}"),
    "train resnet50_scratch --data-dir tfds --init resnet50.pth": ("--init resnet50.pth", SMALLER),  # .pth needs torch
    "reproduce all --data-dir tfds --stand-ins": ("96", f"32 --only mtsccd_resnet18 {SMALL}"),
    "reproduce bigearthnet_v2": ("tfds", f"tfds --stand-ins --only resnet50_s1 {SMALL}"),
    "certainty": ("runs/demo", "runs/demo --method scene"),  # the data have two changed pairs
    "profile": ("tfds", f"tfds --steps 2 {SMALLER}"),
    "bench input": ("mtsccd_lusc", "mtsccd_lusc --image-size 32 --batch 8 --windows 1 --window-s 0.01"),
}
# Beginning of a command -> why it is not run.
SKIPPED = {
    "reproduce all --data-dir tfds --init-dir": "wants published weights",
    "reproduce table6": "trains five networks, as its tests do",
    "train resnet50_scratch --data-dir tfds --init hf:": "wants the network",
    "demo --workdir runs/good": "the same as the demo above, for minutes",
    "train resnet50_scratch --data-dir tfds --coordinator": "waits for the other process",
    "bench models": "full-size networks at 224 px take minutes",
    "train resnet50_scratch --data-dir tfds --batch auto": "compiles a program for each size, for minutes",
}
# Beginning of a command -> (status, words on standard error) where it does not end well in the base install.
REFUSED = {
    "data check MtSCCD.zip --strict": (2, "differences from the published tables"),  # the data are generated
    "export runs/resnet50_scratch --format onnx": (2, "pip install 'mtsccd-jax[onnx]'"),
    "export runs/resnet50_scratch --format stablehlo": (2, "pip install 'mtsccd-jax[export]'"),
}


def commands(readme: Path) -> list[str]:
    """Return the commands of the README without the program's name."""
    lines = [line.strip() for line in readme.read_text(encoding="utf-8").splitlines() if line.startswith("    ")]
    parts = [part.partition("#")[0].strip() for line in lines for part in line.split(" && ")]
    return [part.removeprefix("mtsccd-jax ") for part in parts if part.startswith("mtsccd-jax ")]


def match(command: str, table: dict):
    """Return the entry of the longest beginning of a command in a table, or None."""
    found = [beginning for beginning in table if command.startswith(beginning)]
    return table[max(found, key=len)] if found else None


def run(command: str) -> tuple[int, str]:
    """Run a command in this process; return its status and what it says on standard error."""
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        try:
            status = main(shlex.split(command))
        except SystemExit as stop:
            status = stop.code
    return status, said.getvalue()


def write_data() -> None:
    """Write what the README's commands read: archives, class folders, pairs and images."""
    for synth in ("--out mtsccd --scale 0.005 --image-size 32", "--dataset bigearthnet_v2 --out reBEN --scale 0.0003"):
        assert run(f"data synth {synth} -q")[0] == 0
    with zipfile.ZipFile("MtSCCD.zip", "w") as archive:
        for path in sorted(Path("mtsccd").rglob("*.*")):
            archive.write(path, path.relative_to("mtsccd"))
    random = np.random.default_rng(0)

    def images(folder: str, names: list[str], most: int) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            cv2.imwrite(f"{folder}/{name}", random.integers(0, most, (32, 32, 3), dtype=np.uint8))

    for most, name in ((120, "Forest"), (255, "River")):
        images(f"EuroSAT/2750/{name}", [f"{i}.png" for i in range(40)], most)
    images("my_images", ["scene.jpg", "other.png"], 255)
    pairs = [f"{i}.png" for i in range(24)]
    images("SZTAKI/A", pairs, 255)
    images("SZTAKI/B", pairs, 255)
    lines = [f"{name},{name},{i % 2}" for i, name in enumerate(pairs)]
    Path("SZTAKI/pairs.csv").write_text("\n".join(["A,B,changed", *lines]))


def check(readme: Path) -> int:
    """Run all commands; return how many did not end as they should."""
    failed, listed = 0, commands(readme)
    known = [beginning for table in (CHANGED, SKIPPED, REFUSED) for beginning in table]
    stale = [beginning for beginning in known if not any(command.startswith(beginning) for command in listed)]
    assert not stale, f"the README has no such commands any more: {stale}"
    write_data()
    for command in listed:
        if reason := match(command, SKIPPED):
            print(f"skipped  {command}: {reason}")
            continue
        before, after = match(command, CHANGED) or ("", "")
        started = time.perf_counter()
        status, said = run(command.replace(before, after, 1))
        wanted, words = match(command, REFUSED) or (0, "")
        fine = status == wanted and words in said
        failed += not fine
        print(f"{'ok' if fine else 'FAILED':<8} {command} ({time.perf_counter() - started:.1f} s)", flush=True)
        if not fine:
            print(f"    status {status}, expected {wanted} {words!r}\n    " + said.strip()[-1000:])
    return failed


if __name__ == "__main__":
    place = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        failures = check(place)
        os.chdir("/")
    sys.exit(f"{failures} commands of the README fail in the base install" if failures else 0)
