"""The sound of a source as it comes out of the decode's pipe, addressed by samples."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from unreel.shards.making.streams import Streams

__all__ = ["PIPE", "Soundtrack"]

PIPE: Final = "pcm"
# Samples that are thrown away at once where a part of the sound is not wanted.
_CHUNK: Final = 1 << 20


class Soundtrack:
    """A window on the sound that only moves on, by more than one sample back never."""

    def __init__(self, streams: Streams, offset: int, channels: int) -> None:
        """`offset`: where the pipe's first sample lies; negative where the sound begins before sample 0."""
        self._streams, self._channels = streams, channels
        self._start = min(0, offset)
        self._held = np.zeros((max(0, offset), channels), np.int16)

    def reach(self, start: int, stop: int) -> int:
        """Forget what lies before `start` and read up to `stop`; where it ends: `stop`, or before it the sound's end."""
        self._forget(start)
        missing = stop - self._end
        if missing > 0:
            self._held = np.concatenate([self._held, self._take(missing)])
        return min(stop, self._end)

    def span(self, start: int, stop: int) -> NDArray[np.int16]:
        """i16 `[stop - start, C]`: samples [start, stop), silent where the sound has ended."""
        # Two roundings may place the end of one clip a sample behind the start of the next.
        self.reach(start - 1, stop)
        found = self._held[start - self._start :][: stop - start]
        return np.pad(found, ((0, stop - start - len(found)), (0, 0)))

    def pass_by(self) -> None:
        """Read the rest and forget it."""
        while self.reach(self._end, self._end + _CHUNK) > self._start:
            pass

    @property
    def _end(self) -> int:
        return self._start + len(self._held)

    def _forget(self, start: int) -> None:
        while self._end < start and len(fresh := self._take(min(_CHUNK, start - self._end))):
            self._start, self._held = self._end, fresh
        passed = max(0, min(start - self._start, len(self._held)))
        self._start, self._held = self._start + passed, self._held[passed:]

    def _take(self, samples: int) -> NDArray[np.int16]:
        data = self._streams.take(PIPE, 2 * self._channels * samples)
        whole = len(data) - len(data) % (2 * self._channels)
        return np.frombuffer(data[:whole], np.int16).reshape(-1, self._channels)
