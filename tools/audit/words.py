"""Findings in words: one line for a console, one table for a page."""

from collections.abc import Sequence

from unreel.models.evaluation import Estimate
from unreel.tools.audit.findings import Finding

__all__ = ["line", "number", "table"]

_HEAD = ("threat", "guard", "what the probe sees", "of the task", "chance", "off", "on", "n", "verdict")


def number(estimate: Estimate) -> str:
    """An accuracy with its standard error."""
    return f"{estimate.value:.3f} ± {estimate.standard_error or 0:.3f}"


def line(finding: Finding) -> str:
    """What was found of one case, and how long it took."""
    return (
        f"{finding.threat} {finding.guard}, {finding.artefact}: {number(finding.off.accuracy)} → "
        f"{number(finding.on.accuracy)}, {_verdict(finding)} ({finding.seconds:.0f} s)"
    )


def table(findings: Sequence[Finding]) -> str:
    """All findings as a table in Markdown."""
    rows = [_HEAD, ("---",) * len(_HEAD), *(_cells(finding) for finding in findings)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cells(finding: Finding) -> tuple[str, ...]:
    return (
        finding.threat,
        f"`{finding.guard}`",
        finding.artefact,
        f"`{finding.task}`",
        f"{finding.chance:.2f}",
        number(finding.off.accuracy),
        number(finding.on.accuracy),
        f"{finding.on.accuracy.samples:,}",
        f"**{_verdict(finding)}**" if finding.failed else _verdict(finding),
    )


def _verdict(finding: Finding) -> str:
    return f"{finding.verdict}: {finding.known}" if finding.known else finding.verdict
