"""One sample of a data set as a small page: its frames, its curves, its sidecar, and its sound to listen to."""

import difflib
import math
import wave
from collections.abc import Callable
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jinja2
import msgspec
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from unreel.pipelines.decode import choose_backend, make_backend
from unreel.pipelines.ops.spectrogram import log_mel
from unreel.pipelines.plan import Plan, Span, Window
from unreel.shards.catalogue import Catalogue
from unreel.shards.reader import EncodedSample, Reader
from unreel.shards.sample import Sidecar
from unreel.tools.drawing import DIM, beside, captioned, enlarged, stacked

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["find_sample", "readable", "write_sample_page"]

_SHOWN: Final = 12
_ACROSS: Final = 6
_SIDE: Final = 180


def write_sample_page(catalogue: Catalogue, key: str, *, out: Path, backend: str) -> dict[str, Any]:
    """Write everything about the sample `key` below `out`; returns what `--json` holds, with the files' paths.

    Raises:
        ValueError: there is no such sample, or the backend does not work here.
        DecodeFailed: the sample cannot be decoded.
    """
    sample = find_sample(catalogue, key)
    frames, sound = _decode(sample, backend)
    sidecar = sample.sidecar
    made: dict[str, Path] = {}
    if frames is not None:
        made["frames"] = out / f"{key}-frames.png"
        _strip(sidecar, frames).save(made["frames"])
        made["picture"] = _copy(sample, sidecar.video.member if sidecar.video else "", out)
    if sound is not None and sidecar.audio is not None:
        made["sound"] = out / f"{key}.wav"
        write_wav(made["sound"], sound, rate=sidecar.audio.rate, bits=sidecar.audio.bits)
    made["curves"] = out / f"{key}-curves.png"
    _curves(sidecar, sound).savefig(made["curves"])
    made["sidecar"] = out / f"{key}.json"
    text = msgspec.json.format(msgspec.json.encode(readable(sidecar)), indent=1).decode()
    made["sidecar"].write_text(text)
    page = out / f"{key}.html"
    page.write_text(_page(sidecar, {name: path.name for name, path in made.items()}, text))
    return {"key": key, "shard": sample.shard, "files": [str(page), *map(str, made.values())]}


def find_sample(catalogue: Catalogue, key: str) -> EncodedSample:
    """The sample of this key. Raises ValueError with the nearest keys when there is none."""
    keys: list[str] = []
    for shard, ordinal, row in catalogue.rows():
        if row.key == key:
            return Reader(catalogue).read(shard, ordinal)
        keys.append(row.key)
    near = difflib.get_close_matches(key, keys, n=3, cutoff=0.3) or keys[:3]
    raise ValueError(
        f"key {key!r}: not among the {len(keys)} samples of {catalogue.folder}; near: {', '.join(near)}"
    )


def _decode(sample: EncodedSample, name: str) -> tuple[Tensor | None, Tensor | None]:
    """Frames over the whole length, u8 `[T, H, W, 3]`, and all of the sound, f32 `[C, N]`."""
    plan = _everything(sample.sidecar)
    backend_name = choose_backend([sample], [plan], threads=1, repeats=1).name if name == "auto" else name
    backend = make_backend(backend_name, threads=1)
    try:
        decoded = backend.decode([sample], [plan])
    finally:
        backend.close()
    for failure in decoded.failures.values():
        raise failure
    return tuple(None if part is None else part[0].cpu() for part in (decoded.frames, decoded.audio))  # type: ignore[return-value]


def _everything(sidecar: Sidecar) -> Plan:
    video, audio = sidecar.video, sidecar.audio
    sound = None if audio is None else Span(0, audio.samples)
    if video is None:
        return Plan(sound=sound)
    frames = np.linspace(0, video.frames - 1, min(_SHOWN, video.frames)).round().astype(np.int32)
    return Plan(frames=frames, window=Window(0, 0, video.height, video.width), sound=sound)


def _strip(sidecar: Sidecar, frames: Tensor) -> "Image.Image":
    assert sidecar.video is not None
    rate = float(sidecar.video.frame_rate)
    tiles = [
        captioned(enlarged(frame.numpy(), _SIDE), [(f"frame {number}, {number / rate:.2f} s", DIM)])
        for number, frame in zip(_everything(sidecar).frames.tolist(), frames, strict=True)
    ]
    return stacked(
        [beside(tiles[first : first + _ACROSS]) for first in range(0, len(tiles), _ACROSS)], margin=6
    )


def _copy(sample: EncodedSample, member: str, out: Path) -> Path:
    path = out / f"{sample.sidecar.key}.{member}"
    path.write_bytes(sample.members[member])
    return path


def write_wav(path: Path, sound: Tensor, *, rate: int, bits: int) -> None:
    """Sound f32 `[C, N]` as PCM, without a change: 16 bits where the sample has no more, else 32."""
    wide = bits > 16
    full = 2.0**31 if wide else 2.0**15
    levels = np.rint(sound.T.double().numpy() * full).clip(-full, full - 1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(sound.shape[0])
        file.setsampwidth(4 if wide else 2)
        file.setframerate(rate)
        file.writeframes(levels.astype("<i4" if wide else "<i2").tobytes())


def _curves(sidecar: Sidecar, sound: Tensor | None) -> Figure:
    """Motion with cuts, loudness with silence, and the spectrogram, over one axis of time; only what there is."""
    drawings: list[Callable[[Axes, Sidecar], None]] = [_draw_motion] if sidecar.video is not None else []
    drawings += [_draw_loudness] if sidecar.video is not None and sidecar.audio is not None else []
    drawings += [partial(_draw_spectrogram, sound=sound)] if sound is not None else []
    figure = Figure(figsize=(11, 2 * len(drawings)), layout="constrained")
    rows = figure.subplots(len(drawings), 1, sharex=True, squeeze=False)[:, 0]
    for axes, draw in zip(rows, drawings, strict=True):
        draw(axes, sidecar)
    rows[-1].set_xlim(0, sidecar.seconds)
    rows[-1].set_xlabel("seconds")
    return figure


def _draw_motion(axes: Axes, sidecar: Sidecar) -> None:
    assert sidecar.video is not None
    rate = float(sidecar.video.frame_rate)
    curve = sidecar.facts.motion_curve
    axes.plot(np.arange(len(curve)) / rate, curve, color="tab:blue", linewidth=1)
    for cut in sidecar.facts.cuts:
        axes.axvline(cut / rate, color="tab:red", linestyle="--", linewidth=1)
    axes.set_ylabel("motion, levels a frame")
    axes.set_title(f"{len(sidecar.facts.cuts)} cuts (red)", loc="left", fontsize=9)


def _draw_loudness(axes: Axes, sidecar: Sidecar) -> None:
    assert sidecar.video is not None and sidecar.audio is not None
    curve = sidecar.facts.loudness_curve
    axes.plot(np.arange(len(curve)) / float(sidecar.video.frame_rate), curve, color="tab:green", linewidth=1)
    for start, stop in sidecar.facts.silence:
        axes.axvspan(start / sidecar.audio.rate, stop / sidecar.audio.rate, color="0.85")
    axes.set_ylabel("loudness, dBFS")
    axes.set_title(f"{len(sidecar.facts.silence)} silent spans (grey)", loc="left", fontsize=9)


def _draw_spectrogram(axes: Axes, sidecar: Sidecar, *, sound: Tensor) -> None:
    assert sidecar.audio is not None
    mel = log_mel(sound.mean(0)[None, None], sidecar.audio.rate)[0, 0].numpy()
    axes.imshow(mel, origin="lower", aspect="auto", cmap="magma", extent=(0, sidecar.seconds, 0, len(mel)))
    axes.set_ylabel("log-mel band")


def readable(sidecar: Sidecar) -> dict[str, Any]:
    """The sidecar with its packed columns as numbers, for people."""
    plain: dict[str, Any] = msgspec.to_builtins(sidecar)
    facts, video = sidecar.facts, sidecar.video
    columns = {"motion": facts.motion_curve, "luma": facts.luma_curve, "loudness": facts.loudness_curve}
    plain["facts"] |= {name: _rounded(column) for name, column in columns.items() if len(column)}
    plain["tracks"] = {name: _rounded(sidecar.track(name)) for name in sidecar.tracks}
    if video is not None:
        packets = video.packets
        plain["video"]["packets"] = {
            "offset": packets.offsets.tolist(),
            "size": packets.sizes.tolist(),
            "key_frames": packets.key_frames.tolist(),
        }
        plain["video"]["extradata"] = video.extradata.hex()
    return plain


def _rounded(column: np.ndarray) -> list[float | None]:
    return [round(value, 3) if math.isfinite(value) else None for value in column.tolist()]


def _page(sidecar: Sidecar, files: dict[str, str], text: str) -> str:
    template = (resources.files("unreel.tools") / "sample_page.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(template).render(sidecar=sidecar, files=files, text=text)
