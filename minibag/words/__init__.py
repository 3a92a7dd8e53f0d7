"""Bags of visual words: dense SIFT, vocabularies, encodings and a classifier. No torch here."""

from minibag.words.sift import DenseSIFT

__all__ = ["DenseSIFT"]
