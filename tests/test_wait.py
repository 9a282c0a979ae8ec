"""What a command must not wait for: packages it has no use for, devices to draw a page, programs compiled before."""

import json
import os
import subprocess
import sys

import pytest

# What takes long to import, and one of them half a second.
HEAVY = ("flax", "matplotlib", "orbax", "scipy.stats", "sklearn", "tensorflow", "tensorflow_datasets")
TABLE = {  # command -> its options, and what of these it needs
    "models": ((), {"flax"}),
    "recipes": ((), set()),
    "report": (("RUN", "--out", "OUT"), {"matplotlib"}),
    "audit": ((), set()),
    "explain": (("scene:test_a", "RUN"), set()),
}
IMPORTED = f"""
import json, sys
from mtsccd_jax.cli import main
assert main(sys.argv[1:]) == 0
print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""
TWICE = f"""
import collections, json, sys
import jax
from mtsccd_jax.cli import main
events, compiled = collections.Counter(), []
jax.monitoring.register_event_listener(lambda name, **details: events.update([name.rpartition("/")[2]]))
for arguments in json.loads(sys.argv[1]):
    main(arguments)
    jax.clear_caches()  # as another process would begin
    events.clear()
    main(arguments)
    compiled.append([events["compile_requests_use_cache"], events["cache_hits"]])
print(json.dumps([compiled, [name for name in {HEAVY!r} if name in sys.modules]]))
"""


def run_python(code, *arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("command", TABLE)
def test_a_command_without_a_network_imports_little_and_starts_no_device(command, demo_run, tmp_path):
    options, needed = TABLE[command]
    places = {"RUN": demo_run[0], "OUT": tmp_path}
    arguments = [places.get(option, option) for option in options]
    found = run_python(IMPORTED, command, *arguments, JAX_PLATFORMS="none")  # there is no such device to start
    assert set(found) == needed


def test_the_second_call_of_a_command_finds_all_its_programs(run_copy, demo_run, tmp_path):
    picture = next((demo_run[0] / "archive").rglob("*.jpg"))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / picture.name).write_bytes(picture.read_bytes())
    run = str(run_copy)
    commands = [
        ["evaluate", run, "--split", "test_a"],
        ["change", run, "--method", "cfsm", "--split", "test_a"],
        ["predict", run, str(tmp_path / "images"), "--out", str(tmp_path / "labels.csv")],
    ]
    # Programs are kept in the work directory, as for a user.
    own = {"JAX_COMPILATION_CACHE_DIR": "", "JAX_NUM_CPU_DEVICES": "1"}
    compiled, imported = run_python(TWICE, json.dumps(commands), **own)
    for command, (asked, found) in zip(commands, compiled, strict=True):
        assert 0 < asked == found, command[0]
    assert set(imported) == {"flax", "orbax", "tensorflow_datasets"}
