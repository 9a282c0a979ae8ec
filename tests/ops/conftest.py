"""While the tests of `ops` run, its public functions check the shapes in their signatures."""

import inspect

import pytest
from shape_checks import MODULES, check_shapes, public_functions


@pytest.fixture(autouse=True)
def shapes_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled functions stay as they are: they are checked through the functions that call them."""
    for module in MODULES:
        for owner, name, function in public_functions(module):
            if inspect.isfunction(function):
                monkeypatch.setattr(owner, name, check_shapes(function))
