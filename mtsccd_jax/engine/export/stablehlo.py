"""The forward pass as a StableHLO program, which JAX reads for half a year."""

import calendar
import importlib.util
import json
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
from jax import export

from mtsccd_jax.engine.evaluate import Trained
from mtsccd_jax.engine.export.forward import IMAGE, facts, forward_of
from mtsccd_jax.errors import InputError
from mtsccd_jax.files import AnyPath, read_bytes, replacing
from mtsccd_jax.ops.calls import own_settings

PLATFORMS = ("cpu", "cuda", "tpu")
# When each JAX was built, from its wheel. A program is readable by a JAX built up to six months later than the one that
# wrote it (docs.jax.dev/en/latest/export/export.html#compatibility-guarantees): builds count, not the day of writing.
BUILT = {
    "0.10.0": date(2026, 4, 16),
    "0.10.1": date(2026, 5, 18),
    "0.10.2": date(2026, 6, 17),
    "0.11.0": date(2026, 7, 16),
    "0.11.1": date(2026, 8, 17),
    "0.12.0": date(2026, 10, 16),
    "0.12.0.1": date(2026, 10, 20),
}
PROMISED_MONTHS = 6


@own_settings()
def write_stablehlo(trained: Trained, path: AnyPath) -> dict[str, Any]:
    """Write the forward pass with its weights, for CPU, CUDA and TPU, and beside it `<path>.json`, which describes it.

    `read_stablehlo(path).call(image)` takes stored images (b, size, size, 3) uint8, or a dict of stored bands, each
    (b, h, w); b is free. It returns `{"logits": (b, k), "features": (b, d)}` in float32. `.mlir_module()` is the
    StableHLO. Returns which JAX wrote it and until when it is readable.
    """
    if importlib.util.find_spec("flatbuffers") is None:
        raise InputError("StableHLO files need flatbuffers, which is not installed: pip install 'mtsccd-jax[export]'")
    forward = forward_of(trained)
    bands = bool(trained.recipe.data.bands)

    def program(given: Any) -> dict[str, jax.Array]:
        return forward.call(forward.weights, given if bands else {IMAGE: given})

    exported = export.export(jax.jit(program), platforms=PLATFORMS)(forward.inputs if bands else forward.inputs[IMAGE])
    writer: dict[str, Any] = {
        "jax": jax.__version__,
        "jaxlib": version("jaxlib"),
        "readable_until": readable_until(jax.__version__),
    }
    described = (
        facts(trained)
        | writer
        | {
            "calling_convention": exported.calling_convention_version,
            "written": date.today().isoformat(),
            "platforms": list(PLATFORMS),
        }
    )
    with replacing(path) as stream:
        stream.write(exported.serialize())
    with replacing(description_of(path)) as stream:
        stream.write(json.dumps(described, indent=1, ensure_ascii=False).encode())
    return writer | {"description": description_of(path)}


def description_of(path: AnyPath) -> Path:
    """Return the file that describes a program."""
    return Path(f"{path}.json")


def readable_until(jax_version: str) -> str | None:
    """Return the day until which a JAX may be built that is promised to read what this one writes; None if unknown."""
    built = BUILT.get(jax_version)
    if built is None:
        return None
    months = built.month - 1 + PROMISED_MONTHS
    year, month = built.year + months // 12, months % 12 + 1
    return built.replace(year, month, min(built.day, calendar.monthrange(year, month)[1])).isoformat()


def promise(writer: dict[str, Any]) -> str:
    """Return what is known of the life of a program, as part of a sentence."""
    until = writer.get("readable_until")
    limit = f"until {until}" if until else f"up to {PROMISED_MONTHS} months after it"
    return f"written by JAX {writer.get('jax', 'of an unknown version')}, readable by a JAX built {limit}"


def read_stablehlo(path: AnyPath) -> export.Exported:
    """Return an exported program.

    Raises:
        InputError: The file is no program, or JAX cannot read it any more; the message says who wrote it.
    """
    content = read_bytes(path)
    try:
        return export.deserialize(bytearray(content))
    except Exception as error:  # JAX and flatbuffers have many
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"{path}: JAX {jax.__version__} cannot read it{history(path)}: {reason}; export it again"
        ) from None


def history(path: AnyPath) -> str:
    """Return who wrote a program, in brackets, or nothing where its description is missing."""
    try:
        return f" ({promise(json.loads(description_of(path).read_bytes()))})"
    except (OSError, ValueError, AttributeError):
        return ""
