"""Find a profile: by its name, or in a TOML file whose `base` names the profile that its other lines change."""

import tomllib
import typing
from pathlib import Path
from typing import Any, Final

import msgspec

from unreel.shards.making.profiles import DEFAULT_PROFILE, PROFILES, Profile

__all__ = ["find_profile"]

_LARGEST_FILE: Final = 1 << 16


def find_profile(profile: str | Path | Profile, **changes: Any) -> Profile:
    """A profile by its name or its TOML file, with other values for the fields in `changes` that are not None.

    A file's profile has the file's name, unless it says another.

    Raises:
        ValueError: there is no such profile or file, it is no TOML, or a field is unknown, of another type or out of range.
    """
    if not isinstance(profile, Profile):
        profile = _look_up(str(profile))
    wished = {field: value for field, value in changes.items() if value is not None}
    return msgspec.structs.replace(profile, **wished) if wished else profile


def _look_up(name: str) -> Profile:
    if name.endswith(".toml"):
        return _read_profile(Path(name))
    if name not in PROFILES:
        raise ValueError(
            f"profile {name!r}: there are {', '.join(PROFILES)}, and files that end in .toml; "
            "`unreel build --profile list` shows them with all settings"
        )
    return PROFILES[name]


def _read_profile(path: Path) -> Profile:
    fields = _read_toml(path)
    base = fields.pop("base", DEFAULT_PROFILE)
    if not isinstance(base, str) or base not in PROFILES:
        raise ValueError(f"profile {path}: base {base!r}: allowed is one of {', '.join(PROFILES)}")
    types = {name: hint for name, hint in typing.get_type_hints(Profile).items() if name != "digest"}
    unknown = [name for name in fields if name not in types]
    if unknown:
        raise ValueError(f"profile {path}: there is no field {unknown[0]!r}; there are {', '.join(types)}")
    checked = {name: _convert(path, name, value, types[name]) for name, value in fields.items()}
    try:
        return msgspec.structs.replace(PROFILES[base], **{"name": path.stem, **checked})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.loads(file.read(_LARGEST_FILE).decode())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"profile {path}: {error}; a TOML file is needed") from error


def _convert(path: Path, name: str, value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"profile {path}: {name} {value!r}: {_allowed(kind) or error}") from error


def _allowed(kind: Any) -> str:
    choices = typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()
    return f"allowed is {', '.join(map(str, choices))}" if choices else ""
