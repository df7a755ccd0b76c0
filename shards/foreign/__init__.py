"""Tars of others."""
