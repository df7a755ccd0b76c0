"""Data sets behind a URL."""
