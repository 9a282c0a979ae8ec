"""Values of settings: read from text, checked against their type, shown, and their type in words."""

import re
import types
import typing
from typing import Any, Literal

from mtsccd_jax.errors import InputError, nearest

_NONE = ("none", "null")
_BOOLS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_INTEGER = re.compile(r"[+-]?[0-9]{1,4000}")  # Python reads no longer ones, and other digits and "1_000" too
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)
# What float32, in which networks compute, can hold; infinities and NaN are no numbers.
_LARGEST = 3.4028234663852886e38


def parse(value: Any, expected: Any, key: str) -> Any:
    """Return `value`, text from a command line or a plain JSON value, as the type `expected`.

    Raises:
        InputError: It is none of that type.
    """
    return checked(from_text(value, expected) if isinstance(value, str) else value, expected, key)


def from_text(text: str, expected: Any) -> Any:
    """Return text as a value of the type `expected`, or as it is where it does not say one."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in (types.UnionType, typing.Union):
        return None if text.lower() in _NONE else from_text(text, arguments[0])
    if origin is tuple:
        return tuple(from_text(item.strip(), arguments[0]) for item in text.split(",") if item.strip())
    if expected is bool:
        return _BOOLS.get(text.lower(), text)
    if expected is int and _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if expected is float and _NUMBER.fullmatch(text) else text


def checked(value: Any, expected: Any, key: str) -> Any:
    """Return a value of the type `expected`, a list as a tuple and an integer as a float where these are expected.

    Raises:
        InputError: It is of another type.
    """
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else checked(value, arguments[0], key)
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(checked(item, arguments[0], key) for item in value)
    if origin is Literal:
        if isinstance(value, str) and value in arguments:
            return value
        hint = nearest(excerpt(value), arguments)
        raise InputError(f"{key}={excerpt(value)}: expected one of {', '.join(arguments)}.{hint}")
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)  # a bool is an int to Python
    if expected is float and is_number:
        if abs(value) <= _LARGEST:
            return float(value)
        raise InputError(f"{key}={excerpt(value)}: expected a number that float32 can hold")
    if origin is tuple or not isinstance(value, expected) or (expected is int and not is_number):
        found = "" if isinstance(value, str) else f", not {type(value).__name__}"
        raise InputError(f"{key}={excerpt(value)}: expected {kind(expected)}{found}")
    return value


def excerpt(value: Any) -> str:
    """Return a value for a message, cut where it is long."""
    text = "an integer of many digits" if isinstance(value, int) and abs(value) >> 300 else shown(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


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
    return {bool: "true or false", int: "integer", float: "number", str: "text", dict: "named values"}[hint]
