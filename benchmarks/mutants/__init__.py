"""Faults put back one at a time."""
