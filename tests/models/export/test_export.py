"""Exported towers: what is read back gives the same embeddings, and no file holds a pickle."""

import json
import zipfile
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file, save_file

from unreel.models.export import largest_difference, load_tower, save_tower, write_onnx, write_program
from unreel.models.towers import Tower, build_tower
from unreel.pipelines.pretext.task import Look

SETTINGS = {"channels": [8, 16], "embed_dim": 12}
SIZES = {"frame": (3, 32, 32), "video": (3, 4, 32, 32), "audio": (1, 32, 40)}


def made(kind: str) -> tuple[Tower, torch.Tensor]:
    torch.manual_seed(1)
    tower = build_tower(kind, "tiny", **SETTINGS)
    tower.train()(torch.randn(8, *SIZES[kind]))  # batch norm knows something
    return tower.eval(), torch.randn(2, *SIZES[kind])


def saved(folder: Path, kind: str = "frame") -> tuple[Tower, torch.Tensor]:
    tower, example = made(kind)
    look = Look(crop=48, size=32)
    recipe = {"name": "tiny", **SETTINGS}
    save_tower(tower, folder, recipe=recipe, look=look, task="rotation", step=7, version="0.1")
    return tower, example


@pytest.mark.parametrize("kind", SIZES)
def test_a_saved_tower_comes_back(kind: str, tmp_path: Path) -> None:
    tower, example = saved(tmp_path, kind)
    again, config = load_tower(tmp_path)
    assert torch.equal(again(example), tower(example)) and not again.training
    assert (config.kind, config.name, config.embed_dim, config.step) == (kind, "tiny", 12, 7)
    assert config.sample_look() == Look(crop=48, size=32)


@pytest.mark.parametrize("kind", SIZES)
def test_graphs_give_the_towers_embeddings_for_any_number_of_rows(kind: str, tmp_path: Path) -> None:
    tower, example = made(kind)
    program = write_program(tower, example, tmp_path / "model.pt2")
    assert largest_difference(tower, program, example) < 1e-5
    with zipfile.ZipFile(tmp_path / "model.pt2") as archive:
        pickled = [name for name in archive.namelist() if archive.read(name)[:2] in (b"\x80\x02", b"PK")]
    assert not pickled


def test_onnx_gives_the_towers_embeddings(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    tower, example = made("frame")
    assert largest_difference(tower, write_onnx(tower, example, tmp_path / "model.onnx"), example) < 1e-4


def test_a_graph_of_other_weights_is_seen(tmp_path: Path) -> None:
    tower, example = made("frame")
    program = write_program(tower, example, tmp_path / "model.pt2")
    with torch.no_grad():
        next(tower.parameters()).mul_(1.5)
    assert largest_difference(tower, program, example) > 1e-3


def test_says_what_is_wrong_with_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no exported tower"):
        load_tower(tmp_path)
    saved(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_bytes(msgspec.json.encode(config | {"format": 9}))
    with pytest.raises(ValueError, match="format 9, this version reads up to 1"):
        load_tower(tmp_path)
    (tmp_path / "config.json").write_bytes(msgspec.json.encode(config))
    tensors = load_file(tmp_path / "model.safetensors")
    tensors.pop(next(name for name in tensors if name.endswith("weight")))
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="not the weights of frame tower tiny"):
        load_tower(tmp_path)
