"""What is heard: each material has a voice, the object's size its pitch, its shape a flutter, its motion the timing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from unreel.tools.synth.dice import Dice
from unreel.tools.synth.stage import Motion

__all__ = ["FLUTTER", "VOICES", "Voice", "pitch_of", "soundtrack"]

Wave = NDArray[np.float32]

_REFERENCE_SIZE: Final = 0.25
_HUM_LEVEL: Final = 0.16
_HIT_LEVEL: Final = 0.55


@dataclass(frozen=True, kw_only=True)
class Voice:
    """How a material sounds when it is struck, and, sustained and soft, when it moves."""

    pitch: float
    """Lowest partial in Hz, for an object a quarter of the frame high."""
    partials: tuple[tuple[float, float], ...]
    """(multiple of the pitch, level) of each partial."""
    decay: float
    """Seconds in which a strike falls to 1/e."""
    glide: float = 0.0
    """Octaves by which a strike starts above its pitch; negative below."""
    breath: float = 0.0
    """Level of the noise band."""
    breath_pitch: float = 2000.0
    """Centre of the noise band in Hz; it is about an octave wide."""


VOICES: Final[Mapping[str, Voice]] = {
    "metal": Voice(pitch=620, partials=((1, 0.5), (2.76, 0.5), (5.4, 0.4)), decay=0.34),
    "wood": Voice(pitch=300, partials=((1, 1.0), (3.93, 0.35)), decay=0.07, breath=0.25, breath_pitch=1300),
    "rubber": Voice(pitch=105, partials=((1, 0.8), (2, 0.6), (3, 0.4), (4, 0.2)), decay=0.18, glide=0.7),
    "glass": Voice(pitch=1700, partials=((1, 0.8), (2.32, 0.4)), decay=0.22),
    "sand": Voice(pitch=160, partials=((1, 0.15),), decay=0.1, breath=1.0, breath_pitch=4200),
    "water": Voice(pitch=520, partials=((1, 1.0), (1.5, 0.3)), decay=0.14, glide=-1.0),
}
"""Sound class → voice."""

FLUTTER: Final[Mapping[str, float]] = {
    "disc": 0.0,
    "square": 5.0,
    "triangle": 8.0,
    "star": 12.0,
    "ring": 18.0,
    "cross": 27.0,
}
"""Shape → how often a second its sound swells and fades, in Hz."""


def pitch_of(voice: Voice, size: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Pitch in Hz of an object `size` heights of the frame across: small is high."""
    return voice.pitch * (_REFERENCE_SIZE / np.asarray(size)) ** 1.2


def soundtrack(
    dice: Dice, motion: Motion, *, voice: Voice, flutter: float, frame_rate: int, rate: int
) -> Wave:
    """The sound of a clip, f32 `[N]` in [-1, 1], N = frames * rate / frame_rate; sample 0 is at frame 0."""
    samples = len(motion.x) * rate // frame_rate
    breath = _breath(dice, voice, samples, rate)
    curves = _hold(motion.activity, samples), _hold(pitch_of(voice, motion.size), samples)
    wave = _hum(voice, flutter, breath, *curves, rate)
    strikes: dict[float, Wave] = {}
    for event in motion.events:
        start = round(event.seconds * rate)
        pitch = float(curves[1][min(start, samples - 1)])
        if pitch not in strikes:
            strikes[pitch] = _strike(voice, pitch, flutter, breath, rate)
        part = strikes[pitch][: samples - start]
        wave[start : start + len(part)] += np.float32(event.strength) * part
    return np.tanh(wave * np.float32(dice.number("sound/gain", 0.7, 1.1)))


def _strike(voice: Voice, pitch: float, flutter: float, breath: Wave, rate: int) -> Wave:
    """One event at full strength; it begins at once, so that it is heard on the frame of the contact."""
    seconds = np.arange(min(int(6 * voice.decay * rate), len(breath))) / rate
    bend = 2.0 ** (voice.glide * np.exp(-seconds / 0.05))
    turns = np.cumsum(pitch * bend) / rate
    wave = breath[: len(seconds)] * np.exp(-seconds / voice.decay)
    for ratio, level in voice.partials:
        wave = wave + level * np.sin(2 * np.pi * ratio * turns) * np.exp(-seconds * ratio**0.5 / voice.decay)
    attack = np.minimum(seconds / 0.002, 1)
    return (_HIT_LEVEL * wave * attack * _swell(flutter, seconds)).astype(np.float32)


def _hum(
    voice: Voice,
    flutter: float,
    breath: Wave,
    activity: NDArray[np.float64],
    pitch: NDArray[np.float64],
    rate: int,
) -> Wave:
    """The soft sound of the motion itself, as loud as it is lively."""
    seconds = np.arange(len(breath)) / rate
    turns = np.cumsum(pitch) / rate
    wave = breath.astype(np.float64)
    for ratio, level in voice.partials:
        wave += level * np.sin(2 * np.pi * np.mod(ratio * turns, 1).astype(np.float32))
    return (_HUM_LEVEL * wave * activity * _swell(flutter, seconds)).astype(np.float32)


def _swell(flutter: float, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """A tremolo that starts at its loudest: a strike keeps its onset."""
    return 0.62 + 0.38 * np.cos(2 * np.pi * flutter * seconds)


def _breath(dice: Dice, voice: Voice, samples: int, rate: int) -> Wave:
    """The voice's noise band, long enough for the whole clip."""
    if not voice.breath:
        return np.zeros(samples, np.float32)
    spectrum = np.fft.rfft(dice.field("sound/breath", samples))
    octaves = np.log2(np.maximum(np.fft.rfftfreq(samples, 1 / rate), 1.0) / voice.breath_pitch)
    noise = np.fft.irfft(spectrum * np.exp(-2 * octaves**2), samples)
    return (voice.breath * 0.5 * noise / noise.std()).astype(np.float32)


def _hold(curve: NDArray[np.float64], samples: int) -> NDArray[np.float64]:
    """A curve of the frames at every sample of the sound."""
    return np.interp(np.arange(samples) * (len(curve) / samples), np.arange(len(curve)), curve)
