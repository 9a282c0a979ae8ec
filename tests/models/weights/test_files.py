"""Files of published weights: what is read, what is refused, and the hub by its real client."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hub_server import serving
from safetensors.numpy import save

from mtsccd_jax.errors import InputError
from mtsccd_jax.models.weights.files import read

ARRAYS = {"conv.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "count": np.array(7)}


def write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def test_safetensors_are_read_with_their_checksum(tmp_path: Path) -> None:
    content = save(ARRAYS)
    weights = read(write(tmp_path / "w.safetensors", content))
    assert weights.arrays.keys() == ARRAYS.keys()
    np.testing.assert_array_equal(weights.arrays["conv.weight"], ARRAYS["conv.weight"])
    assert weights.sha256 == hashlib.sha256(content).hexdigest()
    assert weights.normalization is None


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_half_precision_is_widened(tmp_path: Path, kind: str) -> None:
    import jax.numpy as jnp
    from safetensors.flax import save as save_jax

    values = jnp.asarray([1.5, -2.25, 0.0], kind)
    weights = read(write(tmp_path / "w.safetensors", save_jax({"a": values})))
    assert weights.arrays["a"].dtype == np.float32
    np.testing.assert_array_equal(weights.arrays["a"], [1.5, -2.25, 0.0])


@pytest.mark.parametrize("nested", [None, "state_dict", "model"])
def test_torch_checkpoints_are_read_with_or_without_their_wrapping(tmp_path: Path, nested: str | None) -> None:
    torch = pytest.importorskip("torch", reason="torch writes and reads its own checkpoints")
    state = {"conv.weight": torch.arange(6.0).reshape(2, 3).bfloat16(), "count": torch.tensor(7)}
    torch.save({nested: state, "epoch": 3} if nested else state, tmp_path / "w.pth")
    weights = read(str(tmp_path / "w.pth"))
    np.testing.assert_array_equal(weights.arrays["conv.weight"], ARRAYS["conv.weight"])
    assert weights.arrays["count"] == 7


class Code:
    """An object whose unpickling makes a folder."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("written-by-unpickling",)


def test_a_checkpoint_that_holds_code_is_refused_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch", reason="torch writes and reads its own checkpoints")
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Code()}, "w.pth")
    with pytest.raises(InputError, match=r"w\.pth: holds code"):
        read("w.pth")
    assert not Path("written-by-unpickling").exists()


def test_broken_files_are_refused(tmp_path: Path) -> None:
    content = save(ARRAYS)
    for name, part in (("half", content[: len(content) // 2]), ("empty", b""), ("text", b"<html>not found</html>")):
        with pytest.raises(InputError, match=f"{name}.safetensors: a broken safetensors file"):
            read(write(tmp_path / f"{name}.safetensors", part))


def test_torch_files_that_are_broken_or_no_state_dict_are_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch writes and reads its own checkpoints")
    torch.save([torch.zeros(100)], tmp_path / "w.pth")
    content = (tmp_path / "w.pth").read_bytes()
    for part, message in ((content, "not a state dict"), (content[: len(content) // 2], "broken"), (b"", "broken")):
        with pytest.raises(InputError, match=message):
            read(write(tmp_path / "part.pth", part))


def test_missing_files_and_unknown_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such weight file"):
        read(str(tmp_path / "absent.pth"))
    with pytest.raises(InputError, match=r"cannot read '\.onnx' weights"):
        read(write(tmp_path / "w.onnx", b"x"))


CONFIG = {"architecture": "resnet50", "pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}}
REPOSITORIES = {
    "acme/net": {"model.safetensors": save(ARRAYS), "config.json": json.dumps(CONFIG).encode()},
    "acme/plain": {"other.safetensors": save(ARRAYS)},
    "acme/broken": {"model.safetensors": save(ARRAYS)},
}


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    pytest.importorskip("huggingface_hub", reason="the client of the hub is not installed")
    with serving(REPOSITORIES) as address:
        yield address


def read_elsewhere(sources: list[str], cache: Path, address: str, **environment: str) -> list[dict | str]:
    """Return the results of `read` in a process of its own: the client reads its environment when it is imported."""
    code = """
import json, sys, time
time.sleep = lambda seconds: None  # the client waits between tries
from mtsccd_jax.errors import InputError
from mtsccd_jax.models.weights.files import read
for source in json.loads(sys.argv[1]):
    try:
        weights = read(source)
        print(json.dumps({"names": sorted(weights.arrays), "normalization": weights.normalization}))
    except InputError as error:
        print(json.dumps(str(error)))
"""
    given = os.environ | {"HF_ENDPOINT": address, "HF_HOME": str(cache), "HF_HUB_DOWNLOAD_TIMEOUT": "2"} | environment
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(sources)], env=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_hub_online_then_its_cache_offline(hub: str, tmp_path: Path) -> None:
    whole = {"names": ["conv.weight", "count"], "normalization": [[0.5, 0.5, 0.5], [0.25, 0.25, 0.25]]}
    plain = {"names": ["conv.weight", "count"], "normalization": None}
    sources = ["hf:acme/net", "hf:acme/net@main", "hf:acme/plain:other.safetensors"]
    assert read_elsewhere(sources, tmp_path, hub) == [whole, whole, plain]
    assert read_elsewhere(["hf:acme/net"], tmp_path, hub, HF_HUB_OFFLINE="1") == [whole]
    nobody = "http://127.0.0.1:9"
    assert read_elsewhere(["hf:acme/net"], tmp_path, nobody) == [whole]


def test_what_the_hub_refuses_is_one_line_each(hub: str, tmp_path: Path) -> None:
    sources = ["hf:acme/absent", "hf:acme/net@v9", "hf:acme/plain", "hf:acme/failing", "hf:acme/broken", "hf:a/b/c"]
    answers = read_elsewhere(sources, tmp_path, hub)
    reasons = [
        "no such repository",
        "no revision 'v9'",
        "holds no model.safetensors or pytorch_model.bin",
        "the hub answered with status 500 and nothing is cached",
        "the download failed",
        "not a repository name",
    ]
    for source, answer, reason in zip(sources, answers, reasons, strict=True):
        assert isinstance(answer, str)
        assert answer.startswith(f"{source}: ")
        assert reason in answer
        assert "\n" not in answer
    assert not list(tmp_path.rglob("model.safetensors")), "a broken download is not taken for a whole one"


@pytest.mark.parametrize("environment", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}])
def test_no_network_and_nothing_cached(hub: str, tmp_path: Path, environment: dict[str, str]) -> None:
    (answer,) = read_elsewhere(["hf:acme/net"], tmp_path, hub, **environment)
    assert answer == "hf:acme/net: the hub cannot be reached and nothing is cached; try again later, or give a file"
