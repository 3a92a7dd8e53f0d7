"""Every encoding against its formula written as loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from minibag.words import FisherEncoder, HistogramEncoder, PyramidEncoder, VLADEncoder, Vocabulary
from minibag.words.storage import ENCODINGS

D, K = 12, 7


@pytest.fixture(scope="module")
def descriptors():
    """Six images of 5 x 7 patches at two sizes, with clumps, so that words are unequally common."""
    rng = np.random.default_rng(0)
    clumps = rng.normal(size=(9, D))
    x = clumps[rng.integers(0, 9, (6, 5, 7, 2)) % 8] + 0.3 * rng.normal(size=(6, 5, 7, 2, D))
    return x.astype(np.float32)


def nearest(encoder, x):
    return np.argmin([np.sum((x.astype(float) - word) ** 2) for word in encoder.words_])


@pytest.mark.parametrize("kind", ENCODINGS.values())
def test_vectors_are_float32_one_per_image_with_or_without_an_axis_of_patch_sizes(
    kind, descriptors
):
    encoder = kind(K, **({"n_components": 5} if kind is FisherEncoder else {})).fit(descriptors)
    vectors = encoder.transform(descriptors)
    assert vectors.dtype == np.float32
    assert vectors.shape[0] == 6
    single = encoder.transform(descriptors[:, :, :, 0])
    assert np.array_equal(single, encoder.transform(descriptors[:, :, :, :1]))


def test_hard_histogram_counts_nearest_words(descriptors):
    encoder = HistogramEncoder(K).fit(descriptors)
    for image, vector in zip(descriptors, encoder.transform(descriptors), strict=True):
        counts = np.zeros(K)
        for x in image.reshape(-1, D):
            counts[nearest(encoder, x)] += 1
        np.testing.assert_allclose(vector, counts / 70, atol=1e-6)


def test_soft_histogram_is_the_mean_of_the_kernel_weights(descriptors):
    encoder = HistogramEncoder(K, assignment="soft", sigma=0.5).fit(descriptors)
    expected = np.zeros(K)
    for x in descriptors[0].reshape(-1, D).astype(float):
        kernel = np.exp(-((x - encoder.words_) ** 2).sum(1) / (2 * 0.5**2))
        expected += kernel / kernel.sum() / 70
    np.testing.assert_allclose(encoder.transform(descriptors[:1])[0], expected, atol=1e-5)


def test_soft_becomes_hard_as_sigma_shrinks(descriptors):
    hard = HistogramEncoder(K).fit(descriptors).transform(descriptors)
    soft = HistogramEncoder(K, assignment="soft", sigma=0.02).fit(descriptors)
    np.testing.assert_allclose(soft.transform(descriptors), hard, atol=1e-2)


def test_tfidf_is_the_formula_of_video_google(descriptors):
    plain = HistogramEncoder(30).fit(descriptors)
    h = plain.transform(descriptors)
    h[:, 3] = 0  # pretend that no image has word 3
    plain.learn_idf(h)
    df = (h > 0).sum(0)
    idf = np.array([np.log(6 / n) if n else 0 for n in df])
    np.testing.assert_allclose(plain.idf_, idf, rtol=1e-6)
    weighed = HistogramEncoder(30, tfidf=True).fit(descriptors)
    h = HistogramEncoder(30).fit(descriptors).transform(descriptors)
    np.testing.assert_allclose(
        weighed.transform(descriptors), h * np.log(6 / (h > 0).sum(0)), atol=1e-6
    )


@pytest.mark.parametrize(("norm", "power"), [("sqrt", 0.5), ("l2", 1)])
def test_norms_of_the_histogram(descriptors, norm, power):
    h = HistogramEncoder(K).fit(descriptors).transform(descriptors).astype(float) ** power
    normed = HistogramEncoder(K, norm=norm).fit(descriptors).transform(descriptors)
    np.testing.assert_allclose(normed, h / np.linalg.norm(h, axis=1, keepdims=True), atol=1e-6)
    np.testing.assert_allclose((normed**2).sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("levels", [(1,), (1, 2), (1, 2, 4), (1, 3)])
def test_pyramid_is_a_weighted_histogram_for_each_cell(descriptors, levels):
    encoder = PyramidEncoder(K, levels).fit(descriptors)
    L = len(levels) - 1
    expected = []
    for level, n in enumerate(levels):
        weight = 1 / 2**L if level == 0 else 1 / 2 ** (L - level + 1)
        counts = np.zeros((n, n, K))
        for (i, j, s), _ in np.ndenumerate(np.empty((5, 7, 2))):
            counts[i * n // 5, j * n // 7, nearest(encoder, descriptors[0, i, j, s])] += 1
        expected.append(weight * counts.ravel() / 70)
    vector = encoder.transform(descriptors[:1])[0]
    np.testing.assert_allclose(vector, np.concatenate(expected), atol=1e-6)
    assert vector.sum() == pytest.approx(1, abs=1e-5)


@settings(max_examples=25)
@given(
    st.sampled_from([(1,), (1, 2), (2, 3)]),
    st.sampled_from(["hard", "soft"]),
    st.tuples(st.integers(3, 6), st.integers(3, 6)),
    st.integers(0, 99),
)
def test_the_mean_of_the_votes_is_the_score(descriptors, levels, assignment, shape, seed):
    encoder = PyramidEncoder(K, levels, assignment=assignment).fit(descriptors)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, *shape, 2, D)).astype(np.float32)
    weights = rng.normal(size=(K * sum(n * n for n in levels), 3))
    votes = encoder.votes(x, weights)
    assert votes.shape == (2, *shape, 3)
    np.testing.assert_allclose(votes.mean((1, 2)), encoder.transform(x) @ weights, atol=1e-5)


def normalised(gradient):
    gradient = np.sign(gradient) * np.sqrt(np.abs(gradient))
    return gradient / np.linalg.norm(gradient)


def test_vlad_sums_the_differences_from_the_nearest_word(descriptors):
    encoder = VLADEncoder(K).fit(descriptors)
    sums = np.zeros((K, D))
    for x in descriptors[0].reshape(-1, D).astype(float):
        k = nearest(encoder, x)
        sums[k] += x - encoder.words_[k]
    np.testing.assert_allclose(
        encoder.transform(descriptors[:1])[0], normalised(sums.ravel()), atol=1e-3
    )


def test_fisher_vector_is_the_gradient_written_as_loops(descriptors):
    encoder = FisherEncoder(4, n_components=5).fit(descriptors)
    x = (descriptors[0].reshape(-1, D).astype(float) - encoder.mean_) @ encoder.axes_.T
    w, mu, sigma = (
        a.astype(float) for a in (encoder.weights_, encoder.means_, encoder.deviations_)
    )
    by_mean, by_sigma = np.zeros((4, 5)), np.zeros((4, 5))
    for row in x:
        density = [
            w[k] * multivariate_normal(mu[k], np.diag(sigma[k] ** 2)).pdf(row) for k in range(4)
        ]
        for k, posterior in enumerate(density / np.sum(density)):
            u = (row - mu[k]) / sigma[k]
            by_mean[k] += posterior * u / (len(x) * np.sqrt(w[k]))
            by_sigma[k] += posterior * (u**2 - 1) / (len(x) * np.sqrt(2 * w[k]))
    expected = normalised(np.concatenate([by_mean, by_sigma]).ravel())
    np.testing.assert_allclose(encoder.transform(descriptors[:1])[0], expected, atol=2e-3)


def test_fisher_gradient_of_the_data_the_mixture_was_fitted_to_is_almost_zero(descriptors):
    """At the maximum of the likelihood its gradient vanishes: images pull, their sum does not."""
    encoder = FisherEncoder(3, n_components=4).fit(descriptors)
    x = (descriptors.reshape(-1, D) - encoder.mean_) @ encoder.axes_.T
    g = encoder.posteriors(x)
    pull = (g[:, :, None] * (x[:, None] - encoder.means_)).mean(0)
    one_image = (g[:70, :, None] * (x[:70, None] - encoder.means_)).mean(0)
    assert np.abs(pull).max() < 0.2 * np.abs(one_image).max()


@pytest.mark.parametrize("kind", [VLADEncoder, FisherEncoder])
def test_vlad_and_fisher_do_not_see_order_or_repetition(kind, descriptors):
    encoder = kind(4, **({"n_components": 5} if kind is FisherEncoder else {})).fit(descriptors)
    shuffled = descriptors[:1].reshape(1, -1, 1, D)[:, ::-1]
    doubled = np.concatenate([shuffled, shuffled], axis=1)
    vector = encoder.transform(descriptors[:1])
    np.testing.assert_allclose(encoder.transform(shuffled), vector, atol=2e-3)
    np.testing.assert_allclose(encoder.transform(doubled), vector, atol=2e-3)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_images_of_flat_patches_are_encoded_without_a_warning(descriptors):
    flat = np.zeros_like(descriptors[:1])
    for encoder in (HistogramEncoder(4), VLADEncoder(4), FisherEncoder(4, n_components=5)):
        encoder.fit(np.concatenate([descriptors, flat]))
        assert np.isfinite(encoder.transform(flat)).all()


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (HistogramEncoder(4, assignment="softly"), "assignment must be"),
        (HistogramEncoder(4, assignment="soft", sigma=0), "sigma > 0"),  # would divide 0 by 0
        (HistogramEncoder(4, assignment="soft", tfidf=True), "no tf-idf"),  # all weights are log 1
        (PyramidEncoder(4, ()), "levels"),
        (PyramidEncoder(4, (0, 2)), "levels"),
    ],
)
def test_parameters_that_give_empty_or_undefined_vectors_are_refused(descriptors, encoder, message):
    for learn in (encoder.fit, encoder.partial_fit):
        with pytest.raises(ValueError, match=message):
            learn(descriptors)


def test_a_fisher_mixture_does_not_see_flat_patches(descriptors):
    """A Gaussian on zeros would have no width, and axes through them would point at nothing."""
    rows = descriptors.reshape(-1, D)
    flat = np.concatenate([np.zeros((300, D), np.float32), rows])
    with_flat, without = (FisherEncoder(4, n_components=5).fit(x) for x in (flat, rows))
    for name in FisherEncoder.learned:
        np.testing.assert_allclose(getattr(with_flat, name), getattr(without, name), atol=1e-6)


def test_a_fisher_mixture_is_learned_from_a_random_sample(descriptors, monkeypatch):
    """Were it the first descriptors, the last images of a set would have no Gaussian."""
    monkeypatch.setattr("minibag.words.fisher.MAX_DESCRIPTORS", 150)
    rows = descriptors.reshape(-1, D)
    encoder = FisherEncoder(4, n_components=5).fit(np.concatenate([rows, rows + 20]))
    middle = encoder.mean_.mean() - rows.mean()
    assert middle == pytest.approx(10, abs=20 * 5 * np.sqrt(0.25 / 150))


def test_wrong_input_is_refused(descriptors):
    with pytest.raises(ValueError, match=r"expected descriptors \(N, h, w, D\)"):
        HistogramEncoder(4).fit(descriptors).transform(descriptors[0, 0, 0])
    with pytest.raises(ValueError, match="needs 64 descriptors"):
        FisherEncoder().fit(descriptors[0, 0, :3])


def test_a_vocabulary_learned_elsewhere_can_be_put_in(descriptors):
    encoder = HistogramEncoder(K).fit(descriptors)
    other = HistogramEncoder(K).fit(-descriptors)
    other.words_ = encoder.words_
    assert isinstance(other.vocabulary_, Vocabulary)
    assert np.array_equal(other.transform(descriptors), encoder.transform(descriptors))
