"""Descriptors that lie close together or far from zero: every encoding against float64."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from sklearn.cluster import MiniBatchKMeans

from minibag.words import FisherEncoder, HistogramEncoder, LocalColor, VLADEncoder, Vocabulary

D = 32


def few_distinct(seed=0):
    """Two images of 20 x 20 patches that show six different descriptors of length 1."""
    rng = np.random.default_rng(seed)
    six = rng.random((6, D))
    six /= np.linalg.norm(six, axis=1, keepdims=True)
    return six[rng.integers(0, 6, (2, 20, 20))].astype(np.float32)


def far_from_zero(seed=0):
    """Two images whose clumps of descriptors are 3 wide, 10,000 away from zero."""
    rng = np.random.default_rng(seed)
    clumps = 3 * rng.normal(size=(6, D))
    x = clumps[rng.integers(0, 6, (2, 20, 20))] + 0.3 * rng.normal(size=(2, 20, 20, D))
    return (x + 1e4).astype(np.float32)


HARD = pytest.mark.parametrize("x", [few_distinct(), far_from_zero()], ids=["few", "far"])


def normalised(gradient):
    gradient = np.sign(gradient) * np.sqrt(np.abs(gradient))
    return gradient / max(np.linalg.norm(gradient), 1e-12)


def fisher_vector(encoder, rows):
    """Perronnin et al. 2010, eq. 7 and 8, one Gaussian at a time, with differences as such."""
    x = (rows.astype(float) - encoder.mean_) @ encoder.axes_.T.astype(float)
    w, mu, sigma = (
        a.astype(float) for a in (encoder.weights_, encoder.means_, encoder.deviations_)
    )
    u = [(x - m) / s for m, s in zip(mu, sigma, strict=True)]
    logs = np.transpose([np.log(w[k]) - np.log(sigma[k]).sum() - (u[k] ** 2).sum(1) / 2
                         for k in range(len(w))])  # fmt: skip
    g = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
    by_mean = [(g[:, [k]] * u[k]).mean(0) / np.sqrt(w[k]) for k in range(len(w))]
    by_sigma = [(g[:, [k]] * (u[k] ** 2 - 1)).mean(0) / np.sqrt(2 * w[k]) for k in range(len(w))]
    return normalised(np.ravel([*by_mean, *by_sigma]))


@HARD
@pytest.mark.parametrize("n_words", [3, 6])
def test_fisher_vectors_are_those_of_double_precision(x, n_words):
    encoder = FisherEncoder(n_words, n_components=5).fit(x)
    for image, vector in zip(x, encoder.transform(x), strict=True):
        expected = fisher_vector(encoder, image.reshape(-1, D))
        assert vector @ expected == pytest.approx(1, abs=1e-4)


@HARD
def test_fisher_axes_are_those_of_the_centred_descriptors(x):
    encoder = FisherEncoder(3, n_components=3).fit(x)
    rows = x.reshape(-1, D).astype(float)
    _, _, axes = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    np.testing.assert_allclose(abs((encoder.axes_ * axes[:3]).sum(1)), 1, atol=1e-6)


@HARD
def test_vlad_sums_differences_not_a_difference_of_sums(x):
    encoder = VLADEncoder(4).fit(x)
    for image, vector in zip(x, encoder.transform(x), strict=True):
        rows, words = image.reshape(-1, D).astype(float), encoder.words_.astype(float)
        nearest = cdist(rows, words).argmin(1)
        sums = np.stack([(rows[nearest == k] - words[k]).sum(0) for k in range(4)])
        assert vector @ normalised(sums.ravel()) == pytest.approx(1, abs=1e-5)


@HARD
def test_the_nearest_word_and_all_distances_are_those_of_plain_differences(x):
    vocabulary = Vocabulary(6).fit(x)
    distances = cdist(x.reshape(-1, D).astype(float), vocabulary.words_.astype(float))
    assert np.array_equal(vocabulary.predict(x).ravel(), distances.argmin(1))
    np.testing.assert_allclose(vocabulary.transform(x).reshape(-1, 6), distances, atol=1e-6)


@HARD
@pytest.mark.parametrize("sigma", [1e-3, 0.2])
def test_soft_assignment_is_the_kernel_of_plain_differences(x, sigma):
    encoder = HistogramEncoder(6, assignment="soft", sigma=sigma).fit(x)
    distances = cdist(x.reshape(-1, D).astype(float), encoder.words_.astype(float))
    logs = -(distances**2) / (2 * sigma**2)
    weights = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
    expected = weights.reshape(2, -1, 6).mean(1)
    np.testing.assert_allclose(encoder.transform(x), expected, atol=1e-5)


def test_words_far_from_zero_are_as_good_as_in_double_precision():
    rows = far_from_zero().reshape(-1, D)
    own = Vocabulary(6).fit(rows).words_
    double = MiniBatchKMeans(6, init_size=60, batch_size=4096, n_init=1, random_state=0)
    double = double.fit(rows.astype(float)).cluster_centers_
    error = [(cdist(rows.astype(float), w.astype(float)).min(1) ** 2).mean() for w in (own, double)]
    assert error[0] < 1.01 * error[1]


def test_a_patch_of_one_colour_has_no_spread():
    image = np.full((1, 16, 16, 3), (255, 154, 77), np.uint8)
    means, spread = LocalColor(8).transform(image)[0, 0, 0].reshape(16, 2, 3).transpose(1, 0, 2)
    np.testing.assert_allclose(means, np.tile([1, 154 / 255, 77 / 255], (16, 1)), atol=1e-6)
    assert spread.max() < 1e-6
