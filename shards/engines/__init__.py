"""Where the work of a build runs: this process, processes of this machine, or a Ray cluster, with the same bytes out."""

from unreel.shards.engines.engine import Engine
from unreel.shards.engines.inline import InlineEngine
from unreel.shards.engines.local import LocalEngine
from unreel.shards.engines.supervise import supervise

__all__ = ["Engine", "InlineEngine", "LocalEngine", "supervise"]
