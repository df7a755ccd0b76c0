"""The errors of unreel.

UnreelError
├── MediaRefused        a source that the builder does not take
├── ShardError          bytes on disk are not what the index says
├── Unreachable         a remote place does not give what was asked for
├── CatalogueError      a folder that cannot be opened as a data set
│   └── IdentityMismatch    … because another builder wrote it
├── WriteFailed         a disk is full, a folder may not be written
├── WorkerLost          the workers of a build die without a cause that can be named
├── PlanImpossible      a sample cannot give what a task needs          (raised in pipelines)
├── DecodeFailed        one sample could not be decoded                 (raised in pipelines)
│   └── DecoderKilled       … because it kills the process that decodes it
├── TooManyFailures     the ceiling of failed samples was reached       (raised in pipelines)
├── StateMismatch       a saved state belongs to another run            (raised in pipelines and models)
├── CheckpointError     a checkpoint is damaged or incomplete           (raised in models)
└── Diverged            a loss or a gradient is not a number            (raised in models)

What a user can cause by a wrong argument is a plain `ValueError` instead: name, value found, values allowed, next step.
"""

__all__ = [
    "CatalogueError",
    "CheckpointError",
    "DecodeFailed",
    "DecoderKilled",
    "Diverged",
    "IdentityMismatch",
    "MediaRefused",
    "PlanImpossible",
    "ShardError",
    "StateMismatch",
    "TooManyFailures",
    "Unreachable",
    "UnreelError",
    "WorkerLost",
    "WriteFailed",
]


class UnreelError(Exception):
    """Base of every error that unreel raises on purpose and that is not a wrong argument."""


class MediaRefused(UnreelError):
    """A source that the builder does not take.

    Attributes:
        reason: short code that summaries count by, such as `not-media` or `truncated`.
        detail: one sentence for a person: what was expected, what was found.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class ShardError(UnreelError):
    """A shard, an index or a member is damaged, cut short or swapped."""


class Unreachable(UnreelError):
    """A remote place did not give what was asked for, after all attempts.

    Attributes:
        url: what was asked for.
        reason: what came instead.
    """

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url}: {reason}")
        self.url = url
        self.reason = reason


class CatalogueError(UnreelError):
    """A folder cannot be opened as a data set."""


class IdentityMismatch(CatalogueError):
    """A folder was built by another builder identity; mixing both would break byte-identity."""


class WriteFailed(UnreelError):
    """A file could not be written: the message has its path, the bytes needed and the bytes free."""


class WorkerLost(UnreelError):
    """Workers die again and again, and no source is to blame."""


class PlanImpossible(UnreelError):
    """A sample cannot give what a task needs; its row becomes `valid=False`."""


class DecodeFailed(UnreelError):
    """One sample could not be decoded; its row becomes `valid=False`."""


class DecoderKilled(DecodeFailed):
    """A sample that kills the process which decodes it; it is quarantined and not tried again."""


class TooManyFailures(UnreelError):
    """Failed samples reached the ceiling; the message lists their names."""


class StateMismatch(UnreelError):
    """A saved state belongs to another catalogue, recipe or backend; the message names both sides."""


class CheckpointError(UnreelError):
    """A checkpoint generation is damaged or incomplete."""


class Diverged(UnreelError):
    """A loss or a gradient is not a finite number; the weights of the step before are kept."""
