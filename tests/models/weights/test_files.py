"""Files of published weights: what is read, what is refused, and the hub by its real client."""

import errno
import hashlib
import json
import os
import pickle
import re
import subprocess
import sys
import warnings
from argparse import Namespace
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
    assert (weights.normalization, weights.architecture, weights.notes) == (None, None, ())
    named = write(tmp_path / "w.safetensors", save(ARRAYS, {"model": "resnet50"}))
    assert read(named).architecture == "resnet50"


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


def linear_state(torch, value: float = 0.0) -> dict:
    return {"conv.weight": torch.full((2, 3), value)}


def test_averaged_weights_are_taken_before_raw_ones_and_that_is_said(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch writes and reads its own checkpoints")
    raw, averaged = linear_state(torch), linear_state(torch, 1.0)
    for key, note in (("state_dict_ema", "state_dict"), ("model_ema", "state_dict")):
        torch.save({"state_dict": raw, key: averaged, "arch": "resnet18"}, tmp_path / "w.pth.tar")
        weights = read(str(tmp_path / "w.pth.tar"))
        assert weights.arrays["conv.weight"][0, 0] == 1
        assert weights.notes == (f"{key} is taken; there is {note} as well",)
        assert weights.architecture == "resnet18"
    module = torch.nn.Linear(2, 2)
    torch.save(torch.optim.swa_utils.AveragedModel(module).state_dict(), tmp_path / "w.pth")
    weights = read(str(tmp_path / "w.pth"))
    assert weights.arrays.keys() == {"module.weight", "module.bias"}
    assert weights.notes == ("averaged weights, over 0 updates",)


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.bin", "w.ckpt", "w.pth.tar"])
def test_parameters_are_read_by_any_usual_file_name(tmp_path: Path, name: str) -> None:
    torch = pytest.importorskip("torch", reason="torch writes and reads its own checkpoints")
    module = torch.nn.Linear(2, 3)
    torch.save({"state_dict": dict(module.named_parameters()), "epoch": 3}, tmp_path / name)
    weights = read(str(tmp_path / name))
    np.testing.assert_array_equal(weights.arrays["weight"], module.weight.detach().numpy())


class Code:
    """An object whose unpickling makes a folder."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("written-by-unpickling",)


REFUSED = {
    "code": (
        lambda torch: {"a": Code()},
        r"holds an object of posix\.mkdir and is not opened, because such objects can run code",
    ),
    "args": (
        lambda torch: {"model": {}, "args": Namespace(lr=1)},
        r"holds an object of argparse\.Namespace and .* trust it,",
    ),
    "whole": (
        lambda torch: torch.nn.Linear(2, 2),
        r"holds an object of torch\.nn\.modules\.linear\.Linear and",
    ),
    "list": (lambda torch: [torch.zeros(2)], "not a state dict of arrays but a list"),
    "empty": (lambda torch: {}, "not a state dict of arrays but a dict"),
    "number": (lambda torch: {"a": torch.ones(2), "b": 3}, "b: not a state dict of arrays, this is a int"),
    "two": (
        lambda torch: {"student": linear_state(torch), "teacher": {}},
        "student: not a state dict .* this is a dict",
    ),
    "sparse": (lambda torch: {"a": torch.eye(3).to_sparse()}, "a: a quantized, sparse, complex or empty tensor"),
    "complex": (lambda torch: {"a": torch.ones(2, dtype=torch.complex64)}, "a: a quantized, sparse, complex or empty"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_state_dict_is_named_with_the_way_out_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    torch = pytest.importorskip("torch", reason="torch writes and reads its own checkpoints")
    monkeypatch.chdir(tmp_path)
    make, message = REFUSED[case]
    torch.save(make(torch), "w.pth")
    with pytest.raises(InputError, match=rf"^w\.pth: {message}.*torch\.save\([^\n]*$"):
        read("w.pth")
    assert not Path("written-by-unpickling").exists()


def test_torchscript_and_files_that_are_no_checkpoint_are_named(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch writes and reads its own checkpoints")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"w\.pt: a TorchScript program .*torch\.jit\.load\(FILE\)\.state_dict\(\)"):
        read(str(tmp_path / "w.pt"))
    for content in (pickle.dumps({"a": np.ones(3)}), b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\n"):
        with pytest.raises(InputError, match=r"w\.pth: (no torch checkpoint, or a broken one|holds an object)"):
            read(write(tmp_path / "w.pth", content))


@pytest.mark.parametrize(("version", "opens"), [("2.5.1+cu118", False), ("1.13.0", False), ("2.6.0", True)])
def test_a_torch_where_checkpoints_can_run_code_opens_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, opens: bool
) -> None:
    torch = pytest.importorskip("torch", reason="torch writes and reads its own checkpoints")
    torch.save({"a": torch.ones(2)}, tmp_path / "w.pth")
    monkeypatch.setattr(torch, "__version__", version)
    if opens:
        assert read(str(tmp_path / "w.pth")).arrays["a"].sum() == 2
        return
    with pytest.raises(
        InputError, match=rf"w\.pth: not opened by PyTorch {re.escape(version)}, .*CVE-2025-32434.*2\.6"
    ):
        read(str(tmp_path / "w.pth"))


@pytest.mark.parametrize("zipped", [True, False])
def test_damage_to_a_torch_checkpoint_is_told(tmp_path: Path, zipped: bool) -> None:
    torch = pytest.importorskip("torch", reason="torch writes and reads its own checkpoints")
    place, rng, told = tmp_path / "w.pth", np.random.default_rng(0), 0
    torch.save({"state_dict": {"a": torch.ones(2, 3)}}, place, _use_new_zipfile_serialization=zipped)
    content = place.read_bytes()
    for _ in range(150):
        damaged = bytearray(content)
        for at in rng.integers(0, len(damaged), 2):
            damaged[at] = rng.integers(256)
        try:
            read(write(place, bytes(damaged)))
        except InputError:
            told += 1
    assert told > 20


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
        print(json.dumps({"names": sorted(weights.arrays), "normalization": weights.normalization,
                          "architecture": weights.architecture}))
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
    whole["architecture"] = "resnet50"
    plain = {"names": ["conv.weight", "count"], "normalization": None, "architecture": None}
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


def test_a_full_disk_is_not_told_as_a_failed_download(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    with pytest.raises(OSError, match="hf:acme/net") as caught:
        read("hf:acme/net")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "hf:acme/net")


@pytest.mark.parametrize("environment", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}])
def test_no_network_and_nothing_cached(hub: str, tmp_path: Path, environment: dict[str, str]) -> None:
    (answer,) = read_elsewhere(["hf:acme/net"], tmp_path, hub, **environment)
    assert answer == "hf:acme/net: the hub cannot be reached and nothing is cached; try again later, or give a file"
