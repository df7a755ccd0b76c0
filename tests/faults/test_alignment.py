"""Sound stays with its picture: flashes and beeps of every container, in what a loader decodes from the shard."""

from collections.abc import Callable

import imageio_ffmpeg

from unreel.tools.bench.flashes import CASES, QUICK
from unreel.tools.bench.survey import READINGS, survey


def test_alignment_of_what_a_loader_decodes(full: bool, record: Callable[..., None]) -> None:
    cases = [case for case in CASES if full or case.name in QUICK]
    readings = tuple(READINGS) if full else ("short clips",)
    rows = survey(cases, imageio_ffmpeg.get_ffmpeg_exe(), readings=readings)
    missed = [f"{row.case}, {row.reading}" for row in rows if not row.within]
    for container in dict.fromkeys(case.container for case in cases):
        mine = [row for row in rows if row.case.startswith(f"{container} ")]
        record(
            "alignment",
            container,
            sources=len({row.case for row in mine}),
            flashes=sum(row.flashes for row in mine),
            sound_samples=round(max(abs(row.sound) for row in mine) * 48_000, 2),
            picture_ms=round(max(abs(row.picture) for row in mine) * 1000, 2),
            content_samples=round(max(abs(row.content) for row in mine) * 48_000, 2),
        )
    assert not missed
    # Clips begin on the way, and flashes are seen in them.
    assert len(rows) == len(cases) * len(readings)
    assert min(row.flashes for row in rows) >= 3
    assert max(row.clips for row in rows) >= 3
