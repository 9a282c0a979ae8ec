"""One state trained by one process and by two: equal for a step, and as near for an epoch as rounding lets it be.

By SGD: the first step of Adam is as long whatever the gradient, so it shows the rounding of those that are nearly zero.
"""

import shutil

import jax
import many_processes
import numpy as np
import pytest
from training import result

# Layouts (processes, devices of each). The last one is the control: one process, on other devices than the first.
LAYOUTS = {"one": (1, 2), "two": (2, 1), "control": (1, 4)}
# Scenes of a class of which a batch of 16 is left to train.
FEW = 12


@pytest.fixture(scope="module")
def states(scenes, tmp_path_factory):
    """The parameters after one step and after one epoch by layout, on the host."""
    root = tmp_path_factory.mktemp("trainings")
    for kind in scenes.iterdir():
        (root / "few" / kind.name).mkdir(parents=True)
        for image in sorted(kind.iterdir())[:FEW]:
            shutil.copy(image, root / "few" / kind.name)
    folders = {"step": root / "few", "epoch": scenes}
    settings = ["data.image_size=32", "data.crop_padding=2", "model.width=0.0625", "optim.name=sgd"]
    settings += ["optim.schedule=constant", "optim.warmup_epochs=0"]  # so that both are one program
    settings += ["engine.epochs=1", "engine.validate=false", "engine.batch_size=16", "data.input=stream"]
    overrides = [f"--set={setting}" for setting in settings]
    for layout, (processes, devices) in LAYOUTS.items():
        commands = [
            ["train", "demo", "--folder", folder, "--workdir", root / layout / name, *overrides]
            for name, folder in folders.items()
        ]
        ended = many_processes.run(processes, devices, *commands)
        assert [one.status for one in ended] == [0] * processes, ended
        assert [answer["step"] for answer in ended[0].answers()] == [1, 4]
    return {(layout, name): result(root / layout / name) for layout in LAYOUTS for name in folders}


def apart(one, other):
    """The largest difference between the values of two states, relative to the largest of an array above 1."""

    def of_array(a, b):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        return float(np.abs(a - b).max() / max(1, np.abs(a).max()))

    return max(of_array(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def test_a_step_is_equal(states):
    assert apart(states["one", "step"], states["two", "step"]) <= 1e-6


def test_an_epoch_is_as_near_as_on_other_devices(states):
    many = apart(states["one", "epoch"], states["two", "epoch"])
    control = apart(states["one", "epoch"], states["control", "epoch"])
    print(f"after an epoch: {many:.1e} apart in two processes, {control:.1e} on half the devices of one")
    assert many <= max(10 * control, 1e-6)
