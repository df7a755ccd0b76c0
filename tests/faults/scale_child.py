"""Run in a process of its own: opens a data set at a position, and says how long that took and what it held. JSON out."""

import json
import sys
import time
from pathlib import Path

from unreel.pipelines.mixture import order_of
from unreel.pipelines.pretext.task import Needs
from unreel.pipelines.selection import select
from unreel.shards.catalogue import Catalogue

BATCH = 256


def memory(name: str) -> float:
    """A line of this process's status, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def main(folder: str, step: int) -> None:
    before = memory("VmRSS")
    # From here on the peak is that of opening, and not that of importing torch.
    Path("/proc/self/clear_refs").write_text("5")
    started = time.perf_counter()
    catalogue = Catalogue.open(folder)
    selection = select(catalogue, Needs(video=True), split="train", holdout=0.2)
    opened = time.perf_counter()
    order = order_of([selection], 1)
    places = order.locate(range(step * BATCH, (step + 1) * BATCH))
    sought = time.perf_counter()
    again = order.locate(range((step + 1) * BATCH, (step + 2) * BATCH))
    figures = {
        "samples": len(catalogue),
        "shards": len(catalogue.counts),
        "accepted": len(selection),
        "open_seconds": round(opened - started, 3),
        "seek_seconds": round(sought - opened, 3),
        "next_step_ms": round(1000 * (time.perf_counter() - sought), 2),
        "imports_mib": round(before),
        "peak_mib": round(memory("VmHWM") - before),
        "distinct": len({place[1:3] for place in places + again}),
        "epoch": places[0].epoch,
    }
    json.dump(figures, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
