"""`unreel synth`: a procedurally generated audio-visual world with known factors."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unreel.tools.console import console, progress, write_result

if TYPE_CHECKING:
    from unreel.tools.synth.world import World

__all__ = ["synth"]

_NUISANCES = "Nuisances (all off by default)"


def synth(
    out: Annotated[
        Path, typer.Argument(help="Folder for the world; an unfinished world of the same kind is completed.")
    ],
    clips: Annotated[int, typer.Option(help="Number of clips in the whole world.")] = 600,
    seconds: Annotated[float, typer.Option(help="Length of a clip.")] = 4.0,
    size: Annotated[str, typer.Option(help="Width x height in pixels, both even.")] = "128x128",
    rate: Annotated[int, typer.Option(help="Frames a second.")] = 25,
    split: Annotated[
        str, typer.Option(help="Write only the clips of this split: train, val (every fifth) or all.")
    ] = "all",
    seed: Annotated[int, typer.Option(help="Same seed, same bytes, on any number of workers.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes; 0 for one a core.")] = 0,
    without_objects: Annotated[
        bool,
        typer.Option("--without-objects", help="The twin: same clips, labels and sound, no objects drawn."),
    ] = False,
    camera: Annotated[
        bool, typer.Option("--camera", help="Slow pan and zoom.", rich_help_panel=_NUISANCES)
    ] = False,
    moving_background: Annotated[
        bool, typer.Option("--moving-background", help="The background scrolls.", rich_help_panel=_NUISANCES)
    ] = False,
    letterbox: Annotated[
        bool, typer.Option("--letterbox", help="Black bars on two sides.", rich_help_panel=_NUISANCES)
    ] = False,
    specks: Annotated[
        bool,
        typer.Option("--specks", help="Still specks in the bars.", rich_help_panel=_NUISANCES),
    ] = False,
    clock: Annotated[
        bool, typer.Option("--clock", help="A clock that runs in a corner.", rich_help_panel=_NUISANCES)
    ] = False,
    audio_offset: Annotated[
        float,
        typer.Option(help="Seconds by which sound is late; negative: early.", rich_help_panel=_NUISANCES),
    ] = 0.0,
    pauses: Annotated[
        bool, typer.Option("--pauses", help="The sound is off for a while.", rich_help_panel=_NUISANCES)
    ] = False,
    noise: Annotated[
        bool, typer.Option("--noise", help="Sensor noise and hiss.", rich_help_panel=_NUISANCES)
    ] = False,
    logo: Annotated[
        bool, typer.Option("--logo", help="A logo in a corner.", rich_help_panel=_NUISANCES)
    ] = False,
    brightness_drift: Annotated[
        bool, typer.Option("--brightness-drift", help="The exposure drifts.", rich_help_panel=_NUISANCES)
    ] = False,
    json: Annotated[str | None, typer.Option(help="Write the summary here; - for standard output.")] = None,
) -> None:
    """Generate a small audio-visual world whose factors are known.

    One object a clip, on a still background of its own. Six laws of motion, four with an arrow of time (fall, bounce,
    gait, growth) and two without (swing, spin); six shapes; six materials, each with a texture, a colour and a voice:
    what a material looks like says how it sounds, and a contact is heard on the frame on which it is seen.

    Writes `OUT/videos/*.mp4` (H.264 and AAC), `OUT/labels.csv` and `OUT/world.json`. Columns named `x[]` hold one
    value a frame: `x[]` (0 left, 1 right), `y[]` (height: 0 bottom, 1 top), `size[]`, `phase[]`, `event[]`.

    Example, a world and, for its held-out clips, the control without objects:

        unreel synth world --clips 600
        unreel synth world-empty --clips 600 --without-objects --split val
        unreel build world/labels.csv world-shards
    """
    from unreel.tools.synth.nuisances import Nuisances
    from unreel.tools.synth.world import SPLITS, World

    if split not in SPLITS:
        raise ValueError(f"--split {split!r}: allowed are {', '.join(SPLITS)}")
    nuisances = Nuisances(
        camera=camera,
        moving_background=moving_background,
        letterbox=letterbox,
        specks=specks,
        clock=clock,
        audio_offset=audio_offset,
        pauses=pauses,
        noise=noise,
        logo=logo,
        brightness_drift=brightness_drift,
    )
    width, height = _parse_size(size)
    world = World(
        seed=seed,
        clips=clips,
        frames=round(seconds * rate),
        rate=rate,
        width=width,
        height=height,
        objects=not without_objects,
        split=split,
        nuisances=nuisances,
    )
    write_result(_write(out, world, workers or os.cpu_count() or 1), json)


def _write(out: Path, world: "World", workers: int) -> dict[str, object]:
    """Write what is missing of a world and summarise."""
    from unreel.tools.synth.world import indices
    from unreel.tools.synth.write import claim, write_labels, write_videos

    if workers < 1:
        raise ValueError(f"--workers {workers}: allowed are 0 (one a core) and more")
    claim(out, world)
    new, total = 0, len(indices(world))
    with progress(total, "synth") as bar:
        for written in write_videos(out, world, workers=workers):
            new += written.new
            bar.advance()
    labels = write_labels(out, world)
    console.print(f"{total} clips in {out} ({new} new); labels in {labels}")
    return {"clips": total, "new": new, "labels": str(labels), "seed": world.seed}


def _parse_size(text: str) -> tuple[int, int]:
    """(width, height) of `128x96`."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise ValueError(f"--size {text!r}: expected WIDTHxHEIGHT in pixels, such as 128x128")
    return int(match[1]), int(match[2])
