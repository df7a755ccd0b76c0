"""`unreel build --dry-run`: what a build would give and cost, as a table."""

import math
from typing import TYPE_CHECKING, Any

import msgspec
from rich.filesize import decimal
from rich.table import Table

if TYPE_CHECKING:
    from unreel.shards.estimate import Estimate

__all__ = ["estimate_record", "estimate_table"]

_HOUR = 3600.0


def estimate_record(estimate: "Estimate") -> dict[str, Any]:
    """The estimate with its totals, as `--json` writes it."""
    totals = {field: estimate.total(field) for field in ("samples", "seconds", "bytes", "cpu_seconds")}
    totals["bytes_error"] = _bytes_error(estimate)
    return {**msgspec.to_builtins(estimate), "totals": totals, "reasons": estimate.reasons}


def estimate_table(estimate: "Estimate") -> Table:
    """One row a kind of source, and one for all."""
    table = Table("kind", "sources", "samples", "hours", "bytes", "CPU hours", "tried (refused)")
    for kind, share in estimate.kinds.items():
        table.add_row(
            kind,
            f"{share.sources}",
            f"{share.samples}",
            f"{share.seconds / _HOUR:.3g}",
            f"{decimal(round(share.bytes))} ± {decimal(round(share.bytes_error))}",
            f"{share.cpu_seconds / _HOUR:.3g}",
            f"{share.trials} ({share.trials_refused})",
        )
    if len(estimate.kinds) > 1:
        table.add_section()
        table.add_row(
            "all",
            f"{estimate.total('sources'):.0f}",
            f"{estimate.total('samples'):.0f}",
            f"{estimate.total('seconds') / _HOUR:.3g}",
            f"{decimal(round(estimate.total('bytes')))} ± {decimal(round(_bytes_error(estimate)))}",
            f"{estimate.total('cpu_seconds') / _HOUR:.3g}",
            f"{estimate.total('trials'):.0f} ({estimate.total('trials_refused'):.0f})",
        )
    return table


def _bytes_error(estimate: "Estimate") -> float:
    return math.hypot(*(share.bytes_error for share in estimate.kinds.values()))
