"""Checks of arguments and results of `ops` against the shapes and types in its signatures."""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from types import ModuleType
from typing import Any, TypeGuard, get_origin, get_type_hints

import numpy as np
from beartype import BeartypeConf
from beartype.door import die_if_unbearable, is_bearable
from jaxtyping import jaxtyped

from mtsccd_jax import ops

MODULES = [importlib.import_module(module.name) for module in pkgutil.walk_packages(ops.__path__, f"{ops.__name__}.")]

_INT_IS_FLOAT = BeartypeConf(is_pep484_tower=True)


def public_functions(module: ModuleType) -> Iterator[tuple[Any, str, Callable[..., Any]]]:
    """Yield `(owner, name, function)` of each public function of a module, and of each public method of its classes."""
    classes = [
        value for value in vars(module).values() if inspect.isclass(value) and value.__module__ == module.__name__
    ]
    for owner in (module, *(owner for owner in classes if not owner.__name__.startswith("_"))):
        for name, value in list(vars(owner).items()):
            function = inspect.unwrap(value) if callable(value) else value
            if not name.startswith("_") and inspect.isfunction(function) and function.__module__ == module.__name__:
                yield owner, name, value


def check_shapes(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with its arguments and its result checked after every call that it accepts.

    The check comes last, so that the function refuses bad arguments by itself. A list counts as the array of its items.
    """
    signature, hints = inspect.signature(function), get_type_hints(function)
    variadic = [name for name, parameter in signature.parameters.items() if parameter.kind == parameter.VAR_KEYWORD]
    hints = {name: hint for name, hint in hints.items() if name not in variadic and get_origin(hint) is not TypeGuard}

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        with jaxtyped("context"):
            for name, value in {**signature.bind(*args, **kwargs).arguments, "return": result}.items():
                if name in hints:
                    _check(value, hints[name])
        return result

    return checked


def _check(value: Any, hint: Any) -> None:
    is_list = isinstance(value, list | tuple) and not is_bearable(value, hint, conf=_INT_IS_FLOAT)
    die_if_unbearable(np.asarray(value) if is_list else value, hint, conf=_INT_IS_FLOAT)
    if is_dataclass(value) or hasattr(value, "_fields"):
        for name, part in get_type_hints(type(value)).items():
            _check(getattr(value, name), part)
