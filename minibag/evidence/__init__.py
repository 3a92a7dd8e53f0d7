"""What the evidence of a bag model looks like, and where it comes from."""

from minibag.evidence.heatmap import heatmap

__all__ = ["heatmap"]
