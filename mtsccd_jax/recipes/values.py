"""Values of settings as text: parsed by their type, shown, and their type in words."""

import types
import typing
from typing import Any, Literal

from mtsccd_jax.errors import InputError, nearest


def parse(value: Any, expected: Any, key: str) -> Any:
    """Return `value`, text from a command line or a plain JSON value, as the type `expected`."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in (types.UnionType, typing.Union):
        if value is None or (isinstance(value, str) and value.lower() in ("none", "null")):
            return None
        return parse(value, next(item for item in arguments if item is not type(None)), key)
    if origin is Literal:
        if value in arguments:
            return value
        raise InputError(
            f"{key}={value}: expected one of {', '.join(map(str, arguments))}.{nearest(str(value), arguments)}"
        )
    if origin is tuple:
        items = [item for item in value.split(",") if item] if isinstance(value, str) else list(value)
        return tuple(parse(item, arguments[0], key) for item in items)
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    try:
        if expected is bool:
            return value if isinstance(value, bool) else words[str(value).lower()]
        if expected is str and not isinstance(value, str):
            raise ValueError
        if expected is int and isinstance(value, float):
            raise ValueError
        return expected(value)
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{key}={value}: expected a value of type {expected.__name__}") from None


def shown(value: Any) -> str:
    """Return a value as `--set` reads it."""
    if isinstance(value, tuple):
        return ",".join(map(shown, value))
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def kind(hint: Any) -> str:
    """Return what values of a type look like on a command line."""
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        return " or ".join(filter(None, (", ".join(map(str, inner[:-1])), str(inner[-1]))))
    if typing.get_origin(hint) is tuple:
        return f"{kind(inner[0])}s separated by commas"
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return f"{kind(inner[0])}, or none"
    return {bool: "true or false", int: "integer", float: "number", str: "text"}[hint]
