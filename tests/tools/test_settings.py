"""`--set`: TOML where it is TOML, text where it is not, and a line that shows the form."""

import pytest

from unreel.tools.settings import parse_setting


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("positive=0.5", ("positive", 0.5)),
        (" steps = 200 ", ("steps", 200)),
        ("channels=[16, 32]", ("channels", [16, 32])),
        ("flag=true", ("flag", True)),
        ("backend=packets", ("backend", "packets")),
        ("text=a=b", ("text", "a=b")),
    ],
)
def test_values_are_toml_or_text(text: str, expected: tuple[str, object]) -> None:
    assert parse_setting(text, form="KEY=VALUE", example="positive=0.5") == expected


@pytest.mark.parametrize("text", ["positive", "=0.5", " = 1"])
def test_what_is_no_setting_is_told_the_form(text: str) -> None:
    with pytest.raises(ValueError, match=r"write KEY=VALUE, such as positive=0\.5"):
        parse_setting(text, form="KEY=VALUE", example="positive=0.5")
