"""Contact sheets of `unreel inspect` and of the demo, one module a task."""

from unreel.tools.sheets.contact import SHEETS, contact_sheet

__all__ = ["SHEETS", "contact_sheet"]
