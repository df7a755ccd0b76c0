"""The `unreel.*` mapping: the package list is the tree, nothing loads twice, names and arrows are as written down."""

import ast
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("models", "pipelines", "shards", "tools")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
ALLOWED = {
    "shards": {"shards"},
    "pipelines": {"pipelines", "shards"},
    "models": {"models", "pipelines"},
    "tools": {"models", "pipelines", "shards", "tools"},
}
"""Part → the parts that it may import. Data moves one way."""


def modules() -> list[Path]:
    return sorted(path for part in PARTS for path in (ROOT / part).rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("unreel", *parts)).removesuffix(".__init__")


def imports_of(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            names.add(node.module or "")
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return names


def test_package_list_equals_the_tree() -> None:
    on_disk = {name_of(path.parent / "__init__.py") for path in modules()}
    assert set(PROJECT["packages"]) == on_disk
    assert all((ROOT / Path(*name.split(".")[1:]) / "__init__.py").exists() for name in on_disk)


def test_package_dir_maps_the_four_parts() -> None:
    assert PROJECT["package-dir"] == {f"unreel.{part}": part for part in PARTS}
    assert all((ROOT / part / "py.typed").exists() for part in PARTS)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_arrows_between_parts(path: Path) -> None:
    part = path.relative_to(ROOT).parts[0]
    reached = {name.split(".")[1] for name in imports_of(path) if name.startswith("unreel.")}
    assert reached <= ALLOWED[part], f"{part} must not import {sorted(reached - ALLOWED[part])}"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_public_names_exist(path: Path) -> None:
    module = importlib.import_module(name_of(path))
    missing = [name for name in getattr(module, "__all__", ()) if not hasattr(module, name)]
    assert not missing


def test_no_module_is_loaded_under_two_names() -> None:
    for path in modules():
        importlib.import_module(name_of(path))
    names: dict[str, list[str]] = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).is_relative_to(ROOT) and ".venv" not in Path(file).parts:
            names.setdefault(file, []).append(name)
    assert {file: loaded for file, loaded in names.items() if len(loaded) > 1} == {}


def test_help_is_quick_to_import() -> None:
    code = "import sys, unreel.tools.cli; print(sorted({'torch', 'av', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_optional_libraries_are_not_imported_at_module_level() -> None:
    optional = {"nvidia", "decord", "torchcodec", "webdataset", "ray"}
    for path in modules():
        tree = ast.parse(path.read_text())
        for node in tree.body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not optional & {name.split(".")[0] for name in names}, (
                f"{path} imports {names} at module level"
            )


def test_locks_pin_by_hash_and_name_no_host() -> None:
    base, dev = ((ROOT / name).read_text() for name in ("requirements.lock", "requirements-dev.lock"))
    pins = [{line.split(" ")[0] for line in text.splitlines() if "==" in line} for text in (base, dev)]
    assert pins[0] <= pins[1], "the development lock must hold every pin of the base lock"
    for text in (base, dev):
        assert "--hash=sha256:" in text
        assert "://" not in text and "--index" not in text
