"""Copies of the pair list that tests train on."""

import csv
import shutil

import pytest


@pytest.fixture
def rewritten(pair_list):
    """Copies the pair list to a folder, its lines changed, and returns the folder."""

    def rewrite(folder, change):
        shutil.copytree(pair_list, folder)
        with (folder / "pairs.csv").open() as file:
            lines = [change(line) for line in csv.DictReader(file)]
        with (folder / "pairs.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(lines[0]))
            writer.writeheader()
            writer.writerows(lines)
        return folder

    return rewrite
