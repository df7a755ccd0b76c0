"""The errors of unreel for parts that do not see `unreel.shards`; the tree is drawn in `unreel.shards.errors`."""

from unreel.shards.errors import CheckpointError, Diverged, StateMismatch, TooManyFailures, UnreelError

__all__ = ["CheckpointError", "Diverged", "StateMismatch", "TooManyFailures", "UnreelError"]
