"""While the tests of `ops` run, its public functions check the shapes in their signatures."""

import inspect
import sys

import pytest
from shape_checks import check_shapes, public_functions

import mtsccd_jax.ops


@pytest.fixture(autouse=True)
def shapes_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled functions stay as they are: they are checked through the functions that call them."""
    for name, module in list(sys.modules.items()):
        if name.startswith(f"{mtsccd_jax.ops.__name__}."):
            for owner, function_name, function in public_functions(module):
                if inspect.isfunction(function):
                    monkeypatch.setattr(owner, function_name, check_shapes(function))
