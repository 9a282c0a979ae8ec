"""The picture of CONTRIBUTING is the code's: imports run one way, folders are small, docstrings say something."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("mtsccd_jax", "tfds_builders")
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
MOST_FILES = 16  # about fifteen


def folder_of(module: str) -> str | None:
    """The top folder of a module; None of what lies directly in the package, and of other projects'."""
    parts = module.split(".")
    if parts[0] == "tfds_builders":
        return "tfds_builders"
    inside = parts[0] == "mtsccd_jax" and len(parts) > 1 and (ROOT / "mtsccd_jax" / parts[1]).is_dir()
    return parts[1] if inside else None


def imported(path: Path) -> set[str]:
    """The folders that a file imports, at its top or in its functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {folder for name in names if (folder := folder_of(name))}
    return found


def drawn() -> dict[str, set[str]]:
    """The arrows of CONTRIBUTING: folder -> folders that it may import."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    block = text.partition("Imports run one way")[2].partition("Modules that lie directly")[0]
    arrows = {}
    for begin, ends in re.findall(r"^    ([a-z_ ]+?) +-> ([a-z_ ]+)$", block, re.MULTILINE):
        for folder in begin.split():
            arrows[folder] = set(ends.split()) - {"nothing"}
    return arrows


def test_imports_are_the_arrows_of_the_picture():
    found: dict[str, set[str]] = {}
    for path in SOURCES:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        folder = folder_of(module)
        if folder is not None:
            found.setdefault(folder, set()).update(imported(path) - {folder})
    assert found == drawn()


def test_arrows_run_one_way():
    arrows = drawn()
    while arrows:
        lowest = {folder for folder, ends in arrows.items() if not ends & arrows.keys()}
        assert lowest, f"these import each other: {', '.join(arrows)}"
        arrows = {folder: ends for folder, ends in arrows.items() if folder not in lowest}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_folder_can_be_held_in_mind(package):
    files = Counter(path.parent for path in SOURCES if path.name != "__init__.py" and package in path.parts)
    assert {str(folder.relative_to(ROOT)): n for folder, n in files.items() if n > MOST_FILES} == {}


def test_no_docstring_says_nothing():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node) or ""
                assert not text.startswith("Nothing"), f"{path}: {text[:60]}"


def test_no_test_module_imports_another():
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in names if name.rpartition(".")[2].startswith("test_")], path
