"""`--data`: one folder, or several with weights, as a recipe has them."""

from pathlib import Path

import pytest

from unreel.tools.data import data_overrides, only_folder, open_data


def test_one_folder_is_a_text_and_several_are_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert data_overrides([]) == []
    assert data_overrides(["a"]) == [f"data.shards={tmp_path}/a"]
    assert data_overrides(["a=0.7", "b"]) == [f'data.shards={{"{tmp_path}/a" = 0.7, "{tmp_path}/b" = 1}}']


def test_a_folder_may_have_an_equals_sign_in_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "size=128"
    folder.mkdir()
    assert data_overrides([str(folder)]) == [f"data.shards={folder}"]
    assert f'"{folder}" = 2.0' in data_overrides([f"{folder}=2", "b"])[0]


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (["a=much", "b"], "--data a=much: write FOLDER or FOLDER=WEIGHT"),
        (["a=1", "a=2"], "name each folder once"),
    ],
)
def test_wrong_data_is_refused(named: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        data_overrides(named)


def test_shards_must_be_named() -> None:
    for none in ("", {}):
        with pytest.raises(ValueError, match="add --data FOLDER"):
            open_data(none)
    with pytest.raises(ValueError, match="trained on a, b: name the one"):
        only_folder({"a": 1, "b": 2})
