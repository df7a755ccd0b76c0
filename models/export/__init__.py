"""Trained towers for others: a folder in the layout of model hubs, and graphs that run without unreel."""

from unreel.models.export.graphs import largest_difference, write_onnx, write_program
from unreel.models.export.saved import SavedTower, load_tower, save_tower

__all__ = ["SavedTower", "largest_difference", "load_tower", "save_tower", "write_onnx", "write_program"]
