# mypy: disable-error-code="no-untyped-def, no-untyped-call"
"""Compiled loops over pixels and colours that are no views: thinned frames, and k-means of each clip's colours."""

import numpy as np
from numba import njit

__all__ = ["cluster", "name", "square_differences", "thin"]


@njit(nogil=True, cache=True)
def thin(start, stop, pixels, step, out):
    """Every `step`-th pixel both ways of frames `start` … `stop`: uint8 `[N, H, W, 3]` → `out`, `[N, h, w, 3]`."""
    for frame in range(start, stop):
        for y in range(out.shape[1]):
            source, target = pixels[frame, y * step], out[frame, y]
            for x in range(out.shape[2]):
                for channel in range(3):
                    target[x, channel] = source[x * step, channel]


@njit(nogil=True, cache=True)
def square_differences(start, stop, frames, pairs, out):
    """Sums of squared differences of pairs of frames in rows `start` … `stop`.

    uint8 `[B, T, P]`, and `pairs` i64 `[K, 2]` into T → `out` i64 `[B, K]`.
    """
    for row in range(start, stop):
        for number in range(len(pairs)):
            first, second = frames[row, pairs[number, 0]], frames[row, pairs[number, 1]]
            total = np.int32(0)
            # 2 ** 15 squares of bytes fit 31 bits.
            for begin in range(0, len(first), 1 << 15):
                for place in range(begin, min(begin + (1 << 15), len(first))):
                    away = np.int32(first[place]) - np.int32(second[place])
                    total += away * away
                out[row, number] += total
                total = np.int32(0)


@njit(nogil=True, cache=True)
def cluster(start, stop, colours, centres, members, rounds):
    """Lloyd's algorithm for clips `start` … `stop`: starts and `rounds` rounds, the same sums as in `palette.py`.

    Args:
        colours: f64 `[B, C, N]`, whole numbers.
        centres: f64 `[B, K, C]`, becomes those of the last round.
        members: f64 `[B, K]`, becomes how many colours each had in it.
    """
    channels, count = colours.shape[1:]
    near, best, distance = np.empty(count, np.int64), np.empty(count), np.empty(count)
    for clip in range(start, stop):
        _farthest(colours[clip], centres[clip], best, distance)
        for _ in range(rounds):
            _nearest(colours[clip], centres[clip], near, best, distance)
            members[clip] = 0
            for number in range(count):
                members[clip, near[number]] += 1
            for channel in range(channels):
                sums = np.zeros(centres.shape[1])
                for number in range(count):
                    sums[near[number]] += colours[clip, channel, number]
                for centre in range(len(sums)):
                    if members[clip, centre] > 0:
                        centres[clip, centre, channel] = sums[centre] / members[clip, centre]


@njit(nogil=True, cache=True)
def name(start, stop, colours, centres, near):
    """Which of `centres` f64 `[B, K, C]` each of `colours` f64 `[B, C, N]` is nearest to: i64 `[B, N]`."""
    best, distance = np.empty(colours.shape[2]), np.empty(colours.shape[2])
    for clip in range(start, stop):
        _nearest(colours[clip], centres[clip], near[clip], best, distance)


@njit(nogil=True)
def _farthest(colours, centres, best, distance):
    """The mean, and then, one by one, the colour that is farthest from all before, the first of equals."""
    for channel in range(len(colours)):
        centres[0, channel] = np.rint(colours[channel].sum() / colours.shape[1])
    best[:] = np.inf
    for centre in range(1, len(centres)):
        _distances(colours, centres[centre - 1], distance)
        farthest = 0
        for number in range(len(best)):
            best[number] = min(best[number], distance[number])
            if best[number] > best[farthest]:
                farthest = number
        for channel in range(len(colours)):
            centres[centre, channel] = colours[channel, farthest]


@njit(nogil=True)
def _distances(colours, centre, distance):
    """Squared; channel by channel, so that a loop is of vectors."""
    distance[:] = 0
    for channel in range(len(colours)):
        middle = centre[channel]
        for number in range(len(distance)):
            away = colours[channel, number] - middle
            distance[number] += away * away


@njit(nogil=True)
def _nearest(colours, centres, near, best, distance):
    """Which centre each colour is nearest to, the first of equals."""
    for centre in range(len(centres)):
        _distances(colours, centres[centre], distance)
        for number in range(len(near)):
            closer = centre == 0 or distance[number] < best[number]
            best[number] = distance[number] if closer else best[number]
            near[number] = centre if closer else near[number]
