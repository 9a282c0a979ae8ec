"""TFDS knows the data sets once both packages are imported, in any order; the package alone needs no TFDS."""

import subprocess
import sys

import pytest

KNOWN = "; tensorflow_datasets.builder_cls('mtsccd_lusc'); print(len(tfds_builders.BUILDERS))"


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "imports",
    [
        "import tensorflow_datasets, tfds_builders",
        "import tfds_builders, tensorflow_datasets",
        "import tfds_builders.mlrsnet.config, tensorflow_datasets, tfds_builders",
        "import tfds_builders, importlib.util as u; u.find_spec('tensorflow_datasets'); import tensorflow_datasets",
        "import tfds_builders, importlib; importlib.reload(tfds_builders); import tensorflow_datasets",
    ],
)
def test_names_are_known_in_every_order_of_imports(imports):
    assert run_python(imports + KNOWN) == "5"


def test_without_tfds_archives_are_named_checked_and_drawn(tmp_path):
    code = f"""
import importlib, sys
sys.modules["tensorflow_datasets"] = None
from tfds_builders import ArchiveError, City, check_archive, synthetic
from tfds_builders.catalog import ARCHIVES, DATA_SETS, TITLES
for name in ARCHIVES:
    importlib.import_module("tfds_builders.synthetic." + name).write_archive("{tmp_path}", scale=1e-6)
    report = importlib.import_module("tfds_builders." + name + ".check").check_archive("{tmp_path}", progress=print)
    assert report.problems == [], name
"""
    run_python(code)


def test_without_tfds_a_builder_is_missing_for_want_of_it():
    code = "import sys; sys.modules['tensorflow_datasets'] = None; import tfds_builders; tfds_builders.build"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ModuleNotFoundError" in done.stderr
    assert "tensorflow_datasets" in done.stderr.splitlines()[-1]


def test_other_names_are_no_attributes():
    import tfds_builders

    with pytest.raises(AttributeError, match="module 'tfds_builders' has no attribute 'mtscd'"):
        tfds_builders.mtscd  # noqa: B018 - the look-up is the test
