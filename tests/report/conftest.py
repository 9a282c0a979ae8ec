"""A made-up run and its report, written once."""

from pathlib import Path

import pytest
from made_up_runs import make_workdir
from reports import write


@pytest.fixture(scope="session")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work directory of a made-up run at the paper's counts. Not to be written to."""
    path = tmp_path_factory.mktemp("runs") / "paper_resnet101"
    make_workdir(path)
    return path


@pytest.fixture(scope="session")
def index(workdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of that run."""
    return write([workdir], tmp_path_factory.mktemp("report"))
