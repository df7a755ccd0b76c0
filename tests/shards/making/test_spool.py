"""Members come back as they were, however many wait."""

import numpy as np
import pytest

from unreel.shards.making import spool
from unreel.shards.making.spool import Spool


def test_members_come_back_from_memory_and_from_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_MEMORY_BYTES", 5_000)
    rng = np.random.default_rng(0)
    samples = [{"mp4": rng.bytes(700), "flac": rng.bytes(number)} for number in range(20)]
    with Spool() as waiting:
        parked = [waiting.park(members) for members in samples]
        assert waiting._file._rolled  # type: ignore[attr-defined]
        for number in (3, 19, 0):
            assert waiting.fetch(parked[number]) == samples[number]
