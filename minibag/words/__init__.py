"""Bags of visual words: dense SIFT, vocabularies, encodings and a classifier. No torch here."""

from minibag.words.classifier import BagOfVisualWords
from minibag.words.encoder import BagEncoder
from minibag.words.encodings import HistogramEncoder, PyramidEncoder
from minibag.words.fisher import FisherEncoder, VLADEncoder
from minibag.words.patches import LocalColor
from minibag.words.sift import DenseSIFT
from minibag.words.vocabulary import Vocabulary

__all__ = ["BagEncoder", "BagOfVisualWords", "DenseSIFT", "LocalColor", "Vocabulary"]
__all__ += ["FisherEncoder", "HistogramEncoder", "PyramidEncoder", "VLADEncoder"]
