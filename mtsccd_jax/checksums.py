"""Checksums of JSON objects, kept beside what they are of: a changed digit would be read as another number."""

import hashlib
import json
import zlib
from collections.abc import Mapping
from typing import Any


def sha256(values: Any) -> str:
    """Return the SHA-256 of a JSON value, whatever the order of its keys and the space between them."""
    return hashlib.sha256(_canonical(values)).hexdigest()


def with_sha256(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object with its own SHA-256 as another key."""
    return {**values, "sha256": sha256(values)}


def without_sha256(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `with_sha256` was given; ValueError where it was something else. Older versions wrote none."""
    values = {key: value for key, value in stored.items() if key != "sha256"}
    if stored.get("sha256") not in (None, sha256(values)):
        raise ValueError("its values are not those that were written")
    return values


def crc32(values: Any) -> str:
    """Return the CRC-32 of a JSON value, likewise, as eight hexadecimal digits."""
    return f"{zlib.crc32(_canonical(values)):08x}"


def crc32_of_each(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the CRC-32 of the value of every key."""
    return {key: crc32(value) for key, value in values.items()}


def _canonical(values: Any) -> bytes:
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()
