"""`synth`: a procedurally generated audio-visual world, our embedded data set and the ground truth of audits."""

from unreel.tools.synth.command import synth

__all__ = ["synth"]
