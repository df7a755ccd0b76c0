"""Pages for people: a template beside this file, filled in; what they show they carry along."""

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from unreel.tools.verdicts import number, percent, plus_minus

__all__ = ["render"]


def render(template: str, *, filters: Mapping[str, Callable[..., str]] | None = None, **values: Any) -> str:
    """The HTML text of a template; an unknown name in it is an error, and words are escaped.

    Args:
        filters: what the template calls beside `percent`, `plus_minus` and `number`.
    """
    environment = Environment(
        # Templates lie beside this file; a folder inside the package would be a package of its own.
        loader=PackageLoader("unreel.tools", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, plus_minus=plus_minus, number=number, **(filters or {}))
    return environment.get_template(template).render(**values)
