"""The classifiers that read a bag's vector."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC, LinearSVC

Floats = NDArray[np.floating]


def new_head(classifier: Any, C: float, random_state: Any) -> Any:
    """Return an unfitted scikit-learn classifier: one of ours by name, or a clone.

    Raises ValueError for an unknown name, or if there is no decision_function to read.
    """
    if not isinstance(classifier, str):
        if not hasattr(classifier, "decision_function"):
            raise ValueError(f"{classifier} has no decision_function: put it behind a BagEncoder")
        return clone(classifier)
    heads = {
        "linear_svm": LinearSVC(C=C, dual=True, random_state=random_state),
        "logistic": LogisticRegression(C=C, max_iter=1000),
        "intersection": SVC(C=C, kernel=intersection),
    }
    if classifier not in heads:
        raise ValueError(f"classifier must be one of {[*heads]} or a scikit-learn classifier")
    return heads[classifier]


def intersection(a: Floats, b: Floats) -> Floats:
    """Return how much of two histograms overlaps, ``sum(min(a, b))``: (n, F), (m, F) -> (n, m).

    Swain & Ballard, IJCV 1991.
    """
    return np.stack([np.minimum(row, b).sum(1) for row in a])


def is_linear(head: Any, vectors: Floats) -> bool:
    """Whether the scores are ``coef_ @ x + intercept_``; an SVC's coef_, say, compares pairs."""
    if not hasattr(head, "coef_"):
        return False
    ours = vectors @ np.atleast_2d(head.coef_).T + head.intercept_
    own = head.decision_function(vectors).reshape(len(vectors), -1)
    return ours.shape == own.shape and np.allclose(ours, own, rtol=1e-3, atol=1e-4)
