"""The process that probes: its answers are those of `probe`, and its deaths are refusals with a reason."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from unreel.shards.border import sandbox
from unreel.shards.border.limits import DEFAULT_LIMITS, Limits
from unreel.shards.border.probe import Probe, probe
from unreel.shards.border.sandbox import LENGTH, PictureRequest
from unreel.shards.errors import MediaRefused
from unreel.shards.intake.sources import list_sources
from unreel.shards.making.pictures import open_picture, store_picture
from unreel.shards.making.profiles import PROFILES

PROFILE = PROFILES["clips-128"]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    sandbox.close()
    yield
    sandbox.close()


def look_at(path: Path, limits: Limits = DEFAULT_LIMITS) -> Probe:
    return sandbox.probe_safely(list_sources([path])[0], PROFILE, limits)


def process() -> int:
    assert sandbox._child is not None
    return sandbox._child.process.pid


def test_answers_are_those_of_probe(clip: Path, tmp_path: Path) -> None:
    assert look_at(clip) == probe(list_sources([clip])[0], PROFILE)
    text = tmp_path / "text.mp4"
    text.write_text("#EXTM3U")
    with pytest.raises(MediaRefused, match="playlist: a text that points to other files"):
        look_at(text)


def test_one_process_serves_many_sources(clip: Path) -> None:
    look_at(clip)
    first = process()
    look_at(clip)
    assert process() == first


@pytest.mark.parametrize(
    ("code", "limits", "message"),
    [
        ("os.abort()", DEFAULT_LIMITS, "crashed: the process that opened it ended with: Aborted"),
        ("sys.exit(3)", DEFAULT_LIMITS, "crashed: the process that opened it ended with: code 3"),
        ("time.sleep(60)", Limits(wall=0.2), "timed-out: .* the limit is 0.2, and --limit wall=NUMBER"),
        ("while True: pass", Limits(cpu=0.5), "timed-out: .* the limit is 0.5, and --limit cpu=NUMBER"),
        ("os.kill(os.getpid(), 9)", DEFAULT_LIMITS, "too-much-memory: .*--limit memory=NUMBER"),
        ("os.write(1, b'\\xff' * 8)", DEFAULT_LIMITS, "crashed"),
        ("os.write(1, b'\\x09'); sys.exit()", DEFAULT_LIMITS, "crashed"),
    ],
)
def test_death_is_a_refusal(
    clip: Path, monkeypatch: pytest.MonkeyPatch, code: str, limits: Limits, message: str
) -> None:
    script = f"import os, sys, time\nsys.stdin.buffer.read(4)\n{code}"
    with monkeypatch.context() as patch:
        patch.setattr(sandbox, "_COMMAND", (sys.executable, "-c", script))
        with pytest.raises(MediaRefused, match=message):
            look_at(clip, limits)
    assert look_at(clip).seconds == 2.0


def test_memory_is_limited(clip: Path) -> None:
    """This picture is small, so the limit is below what Python and FFmpeg need to open it at all."""
    with pytest.raises(MediaRefused, match=r"too-much-memory|crashed"):
        look_at(clip, Limits(memory=200 << 20))


def test_death_after_an_answer_is_looked_into_in_a_fresh_process(clip: Path) -> None:
    look_at(clip)
    first = process()
    os.kill(first, 9)
    assert look_at(clip).seconds == 2.0
    assert process() != first


def test_own_mistake_is_raised_and_not_blamed_on_the_source(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = b'{"failed": "KeyError: ours"}'
    script = f"import sys; sys.stdin.buffer.read(4); sys.stdout.buffer.write({LENGTH.pack(len(answer)) + answer!r})"
    monkeypatch.setattr(sandbox, "_COMMAND", (sys.executable, "-c", script))
    with pytest.raises(RuntimeError, match=r"clip\.mp4 failed:\nKeyError: ours"):
        look_at(clip)


def test_picture_is_stored_there_and_its_death_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, images = tmp_path / "picture.png", PROFILES["images"]
    Image.linear_gradient("L").convert("RGB").save(path)
    request = PictureRequest(path=str(path), form="PNG", size=(64, 64), profile=images, limits=DEFAULT_LIMITS)
    found = sandbox.store_safely(request)
    with open_picture(path.read_bytes(), "PNG", DEFAULT_LIMITS) as picture:
        jpeg, pixels = store_picture(picture, (64, 64), images)
    assert (found.jpeg, found.pixels) == (jpeg, pixels.tobytes())
    sandbox.close()
    monkeypatch.setattr(sandbox, "_COMMAND", (sys.executable, "-c", "import os; os.abort()"))
    with pytest.raises(MediaRefused, match="crashed"):
        sandbox.store_safely(request)
