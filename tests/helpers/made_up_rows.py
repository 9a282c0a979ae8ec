"""Rows for tests of texts and names."""

import dataclasses

from mtsccd_jax.recipes.config import Recipe, to_dict
from mtsccd_jax.report.rows import Row

RECIPE = to_dict(Recipe("demo", "made up"))


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
