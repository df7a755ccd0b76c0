"""The laws of motion: how an object moves, and when it is heard.

Lengths are in heights of the frame, times in seconds, angles in radians counter-clockwise. A law is slow enough that
half a second to two seconds of it hold one stretch of motion: periods are longer than two seconds, and what repeats
sooner (the hops of a bounce or of a gait) travels sideways meanwhile.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from unreel.tools.synth.stage import MARGIN, Motion, Stage, cycle_starts, fold, locate, squashed, sunk, wander

__all__ = ["ARROW", "LAWS"]


def fall(stage: Stage) -> Motion:
    """Drops one after the other: gravity pulls, the floor stops, a new drop begins elsewhere near the top."""
    dice, radius, count = stage.dice, stage.radius, stage.cycles(0.8)
    floor = radius + dice.number("fall/floor", 0.0, 0.15)
    top = np.minimum(dice.numbers("fall/top", count, 0.78, 1.0), 1 - radius)
    gravity, push = dice.number("fall/gravity", 0.15, 0.32), dice.number("fall/push", 0.05, 0.15)
    landing = (np.sqrt(push**2 + 2 * gravity * (top - floor)) - push) / gravity
    lengths = landing + 0.2
    starts = cycle_starts(lengths, dice.number("fall/start", 0, 1))
    drop, elapsed = locate(starts, stage.times)
    airborne = np.minimum(elapsed, landing[drop])
    left = dice.numbers("fall/x", count, radius, stage.aspect - radius)
    drift, turn = dice.numbers("fall/drift", count, -0.12, 0.12), dice.numbers("fall/turn", count, -1.2, 1.2)
    speed = push + gravity * airborne
    squash = squashed(elapsed - landing[drop])
    return Motion(
        x=fold(left[drop] + drift[drop] * airborne, radius, stage.aspect - radius),
        y=top[drop] - push * airborne - gravity * airborne**2 / 2 - sunk(stage, squash),
        size=np.full_like(elapsed, stage.size),
        angle=turn[drop] * airborne,
        squash=squash,
        phase=elapsed / lengths[drop],
        activity=np.where(elapsed < landing[drop], np.minimum(speed / 0.6, 1), 0),
        events=stage.events(starts + landing, 1.0),
    )


def bounce(stage: Stage) -> Motion:
    """A ball under gravity that crosses the picture and loses height at every contact, then is thrown anew."""
    dice, radius = stage.dice, stage.radius
    floor = radius + dice.number("bounce/floor", 0.0, 0.15)
    highest = dice.number("bounce/height", 0.75, 0.95) * (1 - radius - floor)
    gravity, kept = dice.number("bounce/gravity", 1.3, 2.2), dice.number("bounce/kept", 0.62, 0.75)
    arcs_a_throw = 1 + int(math.log(0.13 / highest) / math.log(kept))
    count = stage.cycles(0.65) + arcs_a_throw
    first = dice.integer("bounce/first", 0, 2)
    heights = highest * kept ** ((first + np.arange(count)) % arcs_a_throw)
    lengths = 2 * np.sqrt(2 * heights / gravity)
    starts = cycle_starts(lengths, dice.number("bounce/start", 0, 1))
    arc, elapsed = locate(starts, stage.times)
    rise = np.sqrt(2 * gravity * heights)
    squash = squashed(np.where(arc > 0, elapsed, np.inf))
    x = wander(stage, "bounce", 0.16, 0.3)
    return Motion(
        x=x,
        y=floor + rise[arc] * elapsed - gravity * elapsed**2 / 2 - sunk(stage, squash),
        size=np.full_like(x, stage.size),
        angle=-x / stage.size,
        squash=squash,
        phase=elapsed / lengths[arc],
        activity=np.abs(rise[arc] - gravity * elapsed) / rise.max(),
        events=stage.events(starts[1:], (rise / rise.max())[:-1]),
    )


def swing(stage: Stage) -> Motion:
    """A pendulum without friction: it looks the same backwards. It ticks at its lowest point."""
    dice, radius = stage.dice, stage.radius
    reach = dice.number("swing/reach", 0.8, 1.0) * (min(stage.aspect, 1.2) / 2 - radius)
    amplitude = dice.number("swing/amplitude", 0.8, 1.15)
    length = reach / math.sin(amplitude)
    lowest = radius + dice.number("swing/lowest", 0, 1) * (
        1 - 2 * radius - length * (1 - math.cos(amplitude))
    )
    pivot = dice.number("swing/pivot", radius + reach, stage.aspect - radius - reach)
    period = dice.number("swing/period", 2.4, 3.8)
    phase = stage.times / period + dice.number("swing/start", 0, 1)
    angle = amplitude * np.sin(2 * np.pi * phase)
    passes = (np.arange(stage.cycles(period / 2) + 2) / 2 - phase[0]) * period
    return Motion(
        x=pivot + length * np.sin(angle),
        y=lowest + length * (1 - np.cos(angle)),
        size=np.full_like(angle, stage.size),
        angle=angle,
        squash=np.ones_like(angle),
        phase=phase % 1,
        activity=np.cos(2 * np.pi * phase) ** 2,
        events=stage.events(passes, 0.7),
    )


def spin(stage: Stage) -> Motion:
    """Turning round itself on a slow orbit, either way round. It ticks twice a turn."""
    dice, radius = stage.dice, stage.radius
    way = dice.sign("spin/way")
    orbit = dice.number("spin/orbit", 0.7, 1.0) * (min(stage.aspect, 1.0) / 2 - radius)
    centre_x = dice.number("spin/x", radius + orbit, stage.aspect - radius - orbit)
    centre_y = dice.number("spin/y", radius + orbit, 1 - radius - orbit)
    start, turn = dice.number("spin/start", 0, 1), dice.number("spin/turn", 0.35, 0.7)
    phase = way * stage.times / dice.number("spin/period", 2.8, 4.4) + start
    half_turns = np.arange(stage.cycles(0.5 / turn)) / 2
    return Motion(
        x=centre_x + orbit * np.cos(2 * np.pi * phase),
        y=centre_y + orbit * np.sin(2 * np.pi * phase),
        size=np.full_like(phase, stage.size),
        angle=way * 2 * np.pi * (turn * stage.times + start),
        squash=np.ones_like(phase),
        phase=phase % 1,
        activity=np.full_like(phase, 0.6),
        events=stage.events((half_turns - start % 0.5) / turn, 0.6),
    )


def gait(stage: Stage) -> Motion:
    """Walking in hops, leaning forward, turning round at the walls. Every second step is the lighter one."""
    dice, radius = stage.dice, stage.radius
    hop, ground = dice.number("gait/hop", 0.07, 0.13), dice.number("gait/ground", 0, 1)
    step = dice.number("gait/step", 0.36, 0.52)
    stride = stage.times / step + dice.number("gait/start", 0, 2)
    x = wander(stage, "gait", 0.2, 0.34)
    forward = np.sign(np.gradient(x, stage.times))
    foot = stride % 1
    squash = squashed(foot * step)
    contacts = np.arange(math.ceil(stride[0]), math.ceil(stride[0]) + stage.cycles(step))
    return Motion(
        x=x,
        y=radius + ground * (1 - 2 * radius - hop) + hop * 4 * foot * (1 - foot) - sunk(stage, squash),
        size=np.full_like(x, stage.size),
        angle=-0.3 * forward + 0.12 * np.sin(np.pi * stride),
        squash=squash,
        phase=stride / 2 % 1,
        activity=np.full_like(x, 0.3),
        events=stage.events((contacts - stride[0]) * step, np.where(contacts % 2, 0.6, 0.85)),
    )


def growth(stage: Stage) -> Motion:
    """Swelling from seven tenths of its size to twice that, crackling, until it pops and begins anew elsewhere."""
    dice = stage.dice
    least, most = 0.7 * stage.size, 1.4 * stage.size
    length, count = dice.number("growth/length", 2.2, 3.6), stage.cycles(2.2)
    progress = stage.times / length + dice.number("growth/start", 0, 1)
    cycle, phase = progress.astype(int), progress % 1
    margin = MARGIN * most / 2
    x = dice.numbers("growth/x", count, margin, stage.aspect - margin)[cycle]
    y = dice.numbers("growth/y", count, margin, 1 - margin)[cycle]
    angle = dice.numbers("growth/angle", count, -0.5, 0.5)[cycle]
    drift_x, drift_y = (dice.numbers(f"growth/drift-{axis}", count, -0.1, 0.1)[cycle] for axis in "xy")
    crackles = np.arange(7 * count)
    return Motion(
        x=fold(x + drift_x * phase * length, margin, stage.aspect - margin),
        y=fold(y + drift_y * phase * length, margin, 1 - margin),
        size=least + (most - least) * phase,
        angle=angle * (1 + phase),
        squash=np.ones_like(phase),
        phase=phase,
        activity=0.3 + 0.4 * phase,
        events=stage.events((crackles / 7 - progress[0]) * length, np.where(crackles % 7, 0.45, 1.0)),
    )


LAWS: Final[Mapping[str, Callable[[Stage], Motion]]] = {
    "fall": fall,
    "bounce": bounce,
    "swing": swing,
    "spin": spin,
    "gait": gait,
    "growth": growth,
}

ARROW: Final[Mapping[str, int]] = {"fall": 1, "bounce": 1, "swing": 0, "spin": 0, "gait": 1, "growth": 1}
"""1 where the law cannot be run backwards unnoticed: speed, height, squash, lean or size give the direction away."""
