"""Pipelines: which sample comes when, what of it is decoded, and the batch that is made of it."""

from unreel.pipelines.draws import Draws
from unreel.pipelines.failures import FailurePolicy
from unreel.pipelines.loader import Loader, Step
from unreel.pipelines.media import MediaBatch, SampleFailure
from unreel.pipelines.mixture import Mixture
from unreel.pipelines.order import Order
from unreel.pipelines.plan import Plan, Span, Window
from unreel.pipelines.pretext.task import Needs, PretextBatch, PretextTask
from unreel.pipelines.selection import Selection, select

__all__ = [
    "Draws",
    "FailurePolicy",
    "Loader",
    "MediaBatch",
    "Mixture",
    "Needs",
    "Order",
    "Plan",
    "PretextBatch",
    "PretextTask",
    "SampleFailure",
    "Selection",
    "Span",
    "Step",
    "Window",
    "select",
]
