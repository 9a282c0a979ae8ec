"""Three runs with a known limit, and the verdict of `profile` on each.

    python benchmarks/three_verdicts.py [--only starved|tiny|large] [--tiny] [--out FILE]

"starved" streams large JPEGs into a tiny network: input-bound. "tiny" trains a tiny network on single images:
dispatch-bound. "large" trains a ViT, nearly all of whose work is large matrix products, on large batches:
compute-bound. Each runs in a separate process, as for a user. The status is 1 where a verdict is another one. `--tiny`
takes networks small enough for two processor cores, as a CPU does without it.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import jax
import numpy as np
from record import make_parser, publish

# Overrides of the recipe for each run, batches by device, and the expected verdicts.
COMMON = ["engine.validate=false", "data.crop_padding=0", "data.color_jitter=0"]
STARVED = ["model.name=scnn", "model.width=0.125", "data.image_size=32", "data.input=stream"]
TINY = ["model.name=scnn", "model.width=0.0625", "data.image_size=32", "engine.steps_per_dispatch=1"]
LARGE = {
    "cpu": ["model.name=vit_small_patch16", "data.image_size=96", "engine.dtype=float32"],
    "gpu": ["model.name=vit_base_patch16", "data.image_size=224", "engine.dtype=bfloat16"],
}
BATCHES = {"cpu": 16, "gpu": 256}
EXPECTED = {"starved": "input", "tiny": "dispatch", "large": "compute"}
# Side in pixels and number of the JPEGs that starve the network.
SIDE, COUNT = 1600, 96


def main() -> int:
    parser = make_parser(__doc__, rounds=None)
    parser.add_argument("--only", choices=EXPECTED, action="append", help="this run alone, repeatable")
    parser.add_argument("--tiny", action="store_true", help="networks for two processor cores on any device")
    options = parser.parse_args()
    wanted = options.only or list(EXPECTED)
    # Another process looks up the platform, since one process takes all memory of a GPU.
    asked = [sys.executable, "-c", "import jax; print(jax.devices()[0].platform)"]
    platform = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()[-1]
    size = "cpu" if options.tiny or platform == "cpu" else "gpu"
    runs: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in wanted:
            runs[name] = said = profile(name, size, Path(folder))
            print(f"{name}: {said['verdict']}, {EXPECTED[name]} expected; {said['reason']}", file=sys.stderr)
    if platform != "cpu":
        jax.config.update("jax_platforms", "cpu")  # the rest needs no device
    right = all(said["verdict"] == EXPECTED[name] for name, said in runs.items())
    kept = ("verdict", "reason", "input_stall_fraction", "images_per_s", "synthetic_images_per_s", "step_ms", "mfu")
    kept += ("dispatch_share", "launch_share", "ceiling_share", "bandwidth_share", "read_images_per_s", "batch_size")
    rows = {name: {"expected": EXPECTED[name]} | {key: said[key] for key in kept} for name, said in runs.items()}
    device = next(iter(runs.values()))["environment"]
    publish({"benchmark": "three verdicts", "right": right, "runs": rows, "measured_on": device}, options.out)
    return 0 if right else 1


def profile(name: str, size: str, folder: Path) -> dict[str, Any]:
    """Run `profile`; return what it writes."""
    settings, options = list(COMMON), ["--generated"]
    if name == "starved":
        write_jpegs(folder / "jpegs")
        settings += STARVED
        options = ["--folder", str(folder / "jpegs"), "--batch", "8"]
    elif name == "tiny":
        settings += TINY
        options += ["--batch", "1"]
    else:
        settings += LARGE[size]
        options += ["--batch", str(BATCHES[size])]
    command = [sys.executable, "-m", "mtsccd_jax", "profile", "resnet18_scratch", "-q", *options]
    command += ["--workdir", str(folder / name)]
    for setting in settings:
        command += ["--set", setting]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: profile ended with status {done.returncode}")
    return json.loads((folder / name / "profile.json").read_text())


def write_jpegs(root: Path) -> None:
    """Write noise as large as photographs into two class folders below train/."""
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    for index in range(COUNT):
        folder = root / "train" / ("a", "b")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{index}.jpg"), np.roll(image, index, axis=0))


if __name__ == "__main__":
    sys.exit(main())
