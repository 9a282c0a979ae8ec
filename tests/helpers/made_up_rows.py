"""Rows for tests of texts and names, and what of a row is the same however often it is made."""

import dataclasses

from mtsccd_jax.recipes.config import Recipe, essentials, to_dict
from mtsccd_jax.report.rows import Row

RECIPE = to_dict(Recipe("demo", "made up"))
# What may differ between two runs of the same row.
INCIDENTAL = ("times", "images_per_s", "versions", "commit", "artefacts")


def results(made):
    """Id -> values of the rows, but for times, paths and versions."""
    found = {}
    for row in made:
        values = {name: value for name, value in dataclasses.asdict(row).items() if name not in INCIDENTAL}
        checksums = {name: value for name, value in row.checksums.items() if name != "artefacts"}
        found[row.id] = values | {"recipe": essentials(row.recipe), "checksums": checksums}
    return found


def change_row(*, kappa=(0.3, 0.2, 0.4), oa=(0.85, 0.83, 0.87), threshold=0.5, trivial=0.8, **fields):
    """A CFSM row of 100 pairs, 20 of them changed."""
    row = Row(
        id="x",
        dataset="mtsccd_lucd/official",
        split="test_a",
        protocol="cfsm",
        model="resnet18",
        seed=0,
        n=100,
        metrics={
            name: dict(zip(("value", "low", "high"), entry, strict=True))
            for name, entry in (("kappa", kappa), ("oa", oa))
        },
        confusion=[[77, 3], [12, 8]],
        class_names=["unchanged", "changed"],
        recipe=RECIPE,
        threshold=threshold,
        threshold_from="validation",
        baseline={"name": "all unchanged", "oa": trivial, "kappa": 0.0},
    )
    return dataclasses.replace(row, **fields)
