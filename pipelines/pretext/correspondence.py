"""Audio-visual correspondence: do a frame and a second of sound belong together?

L3-Net (Arandjelovic, Zisserman, "Look, Listen and Learn", ICCV 2017, arXiv 1705.08168) and AVE-Net ("Objects that
Sound", ECCV 2018, arXiv 1712.06651). A positive is a frame with the sound around it; a negative is a frame with a sound
that another source of its group would have had. Augmentation follows the reproduction in `marl/l3embedding`.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.audio_phase import Placed, grid_phase, grid_starts, place_sound
from unreel.pipelines.guards.content_box import place_window
from unreel.pipelines.guards.partner_swap import Swap, is_negative, swap_partners
from unreel.pipelines.guards.silence import sounding_share
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.ops.views import render
from unreel.pipelines.plan import Plan, Window
from unreel.pipelines.pretext.checks import check_range, no_look
from unreel.pipelines.pretext.listening import check_hearing, hear
from unreel.pipelines.pretext.looking import frame_views
from unreel.pipelines.pretext.stated import check_pictures
from unreel.pipelines.pretext.task import Look, Needs, PretextBatch
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import Sidecar

__all__ = ["Correspondence"]

_SEEN: Final = ("frame", "frame_seconds", "key_distance", "window_top", "window_left")
"""Facts of a row's own frame."""

_HEARD: Final = ("audio_start", "audio_phase", "sounding", "misaligned_seconds")
"""Facts of the sound, which come from the row that gives it."""


@dataclass(frozen=True, kw_only=True)
class Correspondence:
    """One frame and one stretch of sound.

    Attributes:
        audio_seconds: length of the sound; published 1.
        audio_rate: samples per second that the shards must have; published 48,000.
        features: `spectrogram` is published, 257 by 200 for a second; `logmel`, 64 by 100, is ours.
        group: rows among which negatives swap their sounds, half of them negative; 16 is ours.
        window: side of the square of the stored picture that is decoded, in pixels.
        crop: side of the square that is cut out of the window, in pixels; published 224 of 256.
        size: side of the tower's input, in pixels; published 224.
        flip: probability of mirroring; published 0.5.
        shift: brightness is moved by up to this share of the range; published 32/255.
        saturation: factor within 1 ± this; published 0.5.
        gain: sound is scaled within 1 ± this, never into clipping; published 0.1.
        noise: share of rows with white noise added, 10 to 40 dB below the sound; published 0.
        mask_bands, mask_seconds: widest masks of SpecAugment over bands and time, two of each; published 0, which is off.
        audio_grid: guard; all sound starts on the frame grid, as in AVE-Net.
        misalignment_seconds: guard; most time between the frame and the sound's centre, both classes; published 1.
        min_sound: guard; share of the stretch that must not be silent; 0 is off. Ours.
        partner_swap: guard; False draws the sounds of negatives by another sampler than those of positives, from
            anywhere in their clips, silent or not, as two paths of data are easily made to do.
        content_box: guard; False lets windows reach into a letterbox.
    """

    name: ClassVar[str] = "correspondence"

    audio_seconds: float = 1.0
    audio_rate: int = 48_000
    features: str = "logmel"
    group: int = 16
    window: int = 128
    crop: int = 112
    size: int = 112
    flip: float = 0.5
    shift: float = 32 / 255
    saturation: float = 0.5
    gain: float = 0.1
    noise: float = 0.0
    mask_bands: int = 0
    mask_seconds: float = 0.0
    audio_grid: bool = True
    misalignment_seconds: float = 1.0
    min_sound: float = 0.25
    partner_swap: bool = True
    content_box: bool = True

    def __post_init__(self) -> None:
        check_range(self, 0.1, 60, "audio_seconds")
        check_hearing(self)
        check_range(self, 4, 1024, "group")
        if self.group % 2:
            raise ValueError(f"group = {self.group}: must be even, half of its rows are negatives")
        check_range(self, 0, 60, "misalignment_seconds")
        check_pictures(self)

    @property
    def needs(self) -> Needs:
        """Picture and sound, long enough, large enough, and not silent."""
        return Needs(
            video=True,
            audio=True,
            min_seconds=self.audio_seconds,
            min_size=(self.window, self.window),
            min_sound=self.min_sound,
            group=self.group,
        )

    @property
    def guards(self) -> dict[str, str]:
        """How each guard stands, in words."""
        grid = "sound starts on the frame grid" if self.audio_grid else "off the frame grid"
        return {
            "audio_phase": f"{grid}, misaligned by up to {self.misalignment_seconds:g} s",
            "partner_swap": f"negatives swap sounds in groups of {self.group}, never within a source"
            if self.partner_swap
            else "off: negatives have a sampler of their own",
            "silence": f"at least {self.min_sound:.0%} not silent" if self.min_sound else "off",
            "content_box": "windows inside the content" if self.content_box else "off",
        }

    def look(self, kind: str) -> Look:
        """Single frames, and the stretch of sound."""
        if kind == "frame":
            return Look(crop=self.crop, size=self.size)
        if kind == "audio":
            return Look(seconds=self.audio_seconds, features=self.features)
        raise no_look(self.name, kind, ("frame", "audio"))

    def plan(self, sidecar: Sidecar, draws: Draws) -> Plan:
        """One frame and the sound around it; whose sound a row hears is decided in `build`."""
        at = draws.uniform("plan", 5)[0].tolist()
        placed, sounding = self._place(sidecar, draws, (at[0], at[1], at[2]))
        window = place_window(sidecar, size=self.window, at=(at[3], at[4]), inside=self.content_box)
        return Plan(
            frames=np.array([placed.frame], np.int32),
            window=window,
            sound=placed.sound,
            facts=_facts(sidecar, placed, window) | {"sounding": sounding},
        )

    def _place(self, sidecar: Sidecar, draws: Draws, at: tuple[float, float, float]) -> tuple[Placed, float]:
        """Frame and sound, and the share of the sound that is not silent."""
        video, audio = sidecar.video, sidecar.audio
        if video is None or audio is None or audio.rate != self.audio_rate:
            found = f"{audio.rate} Hz" if audio else "no sound"
            raise PlanImpossible(
                f"sample {sidecar.key}: {self.name} takes picture and sound of {self.audio_rate} Hz, "
                f"found {'a' if video else 'no'} picture and {found}"
            )
        rate, length = video.frame_rate, round(self.audio_seconds * audio.rate)
        starts = grid_starts(samples=audio.samples, length=length, audio_rate=audio.rate, frame_rate=rate)
        sounding = sounding_share(sidecar.facts.silence, starts, length)
        negative = not (self.audio_grid and self.partner_swap) and is_negative(draws, self.group)
        allowed = np.flatnonzero((sounding >= self.min_sound) | (negative and not self.partner_swap))
        if not len(allowed):
            raise PlanImpossible(
                f"sample {sidecar.key}: no {self.audio_seconds:g} s of its {audio.samples / audio.rate:.2f} s of "
                f"sound is {self.min_sound:.0%} above silence; lower min_sound or audio_seconds"
            )
        placed = place_sound(
            sidecar,
            starts,
            allowed,
            length=length,
            misalignment=int(self.misalignment_seconds * rate),
            on_grid=self.audio_grid,
            negative=negative,
            at=at,
        )
        return placed, float(sounding_share(sidecar.facts.silence, np.array([placed.sound.start]), length)[0])

    def build(self, media: MediaBatch, draws: Draws) -> PretextBatch:
        """Inputs `frame` f32 `[B, 3, size, size]`, normalised, and `audio` f32 `[B, 1, bands, columns]`.

        Targets i64 `[B]`: 1 where they correspond. A row is not valid when it or its partner failed, or when its
        partner has the same source.
        """
        pictures = media.pictures
        assert pictures is not None and media.audio is not None
        device = pictures.device
        swap = swap_partners(draws, media.sources, group=self.group)
        partner = torch.from_numpy(swap.partner).to(device)
        views = frame_views(self, draws, frames=1)
        sound, heard = hear(self, media.audio, draws, row=swap.partner)
        return PretextBatch(
            inputs={
                "frame": render(pictures, views)[:, 0],
                "audio": sound[:, 0],
            },
            targets=torch.from_numpy(swap.corresponds.astype(np.int64)).to(device),
            valid=media.valid & media.valid[partner] & torch.from_numpy(swap.fair).to(device),
            positions=media.positions,
            keys=media.keys,
            sources=media.sources,
            facts=_pair_facts(media, swap) | views.facts() | heard,
        )


def _facts(sidecar: Sidecar, placed: Placed, window: Window) -> dict[str, NDArray | float | int]:
    assert sidecar.video is not None and sidecar.audio is not None
    rate = sidecar.video.frame_rate
    keys = sidecar.video.packets.key_frames
    return {
        "frame": placed.frame,
        "frame_seconds": placed.frame / float(rate),
        "key_distance": placed.frame - int(keys[np.searchsorted(keys, placed.frame, side="right") - 1]),
        "window_top": window.top,
        "window_left": window.left,
        "audio_start": placed.sound.start,
        "audio_phase": grid_phase(placed.sound.start, audio_rate=sidecar.audio.rate, frame_rate=rate),
        "misaligned_seconds": placed.misaligned / float(rate),
    }


def _pair_facts(media: MediaBatch, swap: Swap) -> dict[str, NDArray]:
    """Facts of what each row sees and hears, and the position whose sound it hears."""
    seen = {name: media.fact(name) for name in _SEEN}
    heard = {name: media.fact(name)[swap.partner] for name in _HEARD}
    return seen | heard | {"partner": media.positions[swap.partner]}
