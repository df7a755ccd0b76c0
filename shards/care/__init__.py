"""Data sets that are there."""
