"""Vocabulary against scikit-learn and plain distances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.cluster import MiniBatchKMeans
from sklearn.cluster._kmeans import _kmeans_plusplus as kmeans_plusplus
from sklearn.utils.estimator_checks import parametrize_with_checks

from minibag.words import Vocabulary


@pytest.fixture(scope="module")
def descriptors():
    return np.random.default_rng(0).random((6, 5, 7, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def vocabulary(descriptors):
    return Vocabulary(20).fit(descriptors)


EXCUSED = {
    "check_transformer_preserve_dtypes": "float32 on purpose: half the memory, twice as fast"
}


@parametrize_with_checks([Vocabulary(2)], expected_failed_checks=lambda _: EXCUSED)
def test_scikit_learns_contract(estimator, check):
    check(estimator)


def test_words_are_those_of_scikit_learns_k_means(vocabulary, descriptors):
    rows = descriptors.reshape(-1, 16).astype(float)
    kmeans = MiniBatchKMeans(20, init_size=200, batch_size=4096, n_init=1, random_state=0).fit(rows)
    np.testing.assert_allclose(vocabulary.words_, kmeans.cluster_centers_, atol=1e-6)
    assert np.array_equal(vocabulary.predict(descriptors).ravel(), kmeans.labels_)
    assert np.array_equal(vocabulary.counts_, np.bincount(kmeans.labels_, minlength=20))


def test_k_means_begins_with_a_look_at_ten_descriptors_a_word(monkeypatch):
    """scikit-learn's own 12,288 take twice as long at 400 words, and lower the error by 0.4 %."""
    looked_at = []

    def spy(X, *args, **kwargs):
        looked_at.append(len(X))
        return kmeans_plusplus(X, *args, **kwargs)

    monkeypatch.setattr("sklearn.cluster._kmeans._kmeans_plusplus", spy)
    Vocabulary(20).fit(np.random.default_rng(0).random((3000, 16)))
    assert looked_at == [200]


def test_more_descriptors_than_are_learned_from_are_drawn_at_random(descriptors, monkeypatch):
    """Were they the first ones, the last images of a set would have no words."""
    monkeypatch.setattr("minibag.words.vocabulary.MAX_DESCRIPTORS", 100)
    rows = np.concatenate([descriptors.reshape(-1, 16)[:500], 5 + descriptors.reshape(-1, 16)])
    vocabulary = Vocabulary(10).fit(rows)
    assert vocabulary.counts_.sum() == 100
    share = vocabulary.counts_[vocabulary.words_.mean(1) > 2].sum() / 100
    assert share == pytest.approx(1050 / 1550, abs=5 * np.sqrt(0.25 / 100))


def test_a_batch_moves_words_to_the_mean_of_all_descriptors_that_were_nearest(descriptors):
    first, second, third = descriptors[:2], descriptors[2:4], descriptors[4:]
    vocabulary = Vocabulary(9).fit(first)
    words, counts = vocabulary.words_.astype(float), vocabulary.counts_.astype(float)
    for batch in (second, third):
        vocabulary.partial_fit(batch)
        rows = batch.reshape(-1, 16).astype(float)
        nearest = cdist(rows, words).argmin(1)
        for k in range(9):
            total = counts[k] * words[k] + rows[nearest == k].sum(0)
            counts[k] += (nearest == k).sum()
            words[k] = total / counts[k]
        np.testing.assert_allclose(vocabulary.words_, words, atol=1e-5)
        assert np.array_equal(vocabulary.counts_, counts)


def test_words_of_unknown_weight_refuse_another_batch(vocabulary, descriptors):
    bare = Vocabulary(20)
    bare.words_ = vocabulary.words_
    with pytest.raises(ValueError, match="without counts_"):
        bare.partial_fit(descriptors)
    assert np.array_equal(bare.fit(descriptors).words_, vocabulary.words_)


@settings(max_examples=30)
@given(st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)), st.integers(0, 99))
def test_predict_keeps_the_leading_axes_and_finds_the_nearest_word(vocabulary, shape, seed):
    x = np.random.default_rng(seed).random((*shape, 16), np.float32)
    words = vocabulary.predict(x)
    assert words.shape == shape
    distances = cdist(x.reshape(-1, 16), vocabulary.words_)
    chosen = np.take_along_axis(distances, words.reshape(-1, 1), axis=1)[:, 0]
    np.testing.assert_allclose(chosen, distances.min(1), atol=1e-6)


def test_words_of_many_descriptors_do_not_depend_on_the_chunks(vocabulary):
    x = np.random.default_rng(1).random((20_000, 16), np.float32)
    assert np.mean(vocabulary.predict(x) == cdist(x, vocabulary.words_).argmin(1)) > 0.9999


def test_transform_is_the_distance_to_every_word(vocabulary, descriptors):
    expected = cdist(descriptors.reshape(-1, 16), vocabulary.words_).reshape(6, 5, 7, 20)
    np.testing.assert_allclose(vocabulary.transform(descriptors), expected, atol=1e-5)


def test_the_seed_decides(descriptors):
    first, again, other = (Vocabulary(9, seed).fit(descriptors).words_ for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_words_learned_batch_by_batch_are_as_good(descriptors):
    batches = Vocabulary(20)
    for _ in range(10):
        for batch in descriptors:
            batches.partial_fit(batch)
    whole = Vocabulary(20).fit(descriptors)
    error = [v.transform(descriptors).min(-1).mean() for v in (batches, whole)]
    assert error[0] < 1.05 * error[1]


def test_what_is_learned_from_is_bounded(descriptors, monkeypatch):
    monkeypatch.setattr("minibag.words.vocabulary.MAX_DESCRIPTORS", 5)
    with pytest.raises(ValueError, match="n_samples=5"):
        Vocabulary(10).fit(descriptors)


def test_frequent_flat_patches_get_their_own_word(descriptors):
    flat = np.zeros((60, 16), np.float32)
    vocabulary = Vocabulary(8).fit(np.concatenate([flat, descriptors.reshape(-1, 16)]))
    word = vocabulary.predict(flat[:1])
    assert np.abs(vocabulary.words_[word]).max() < 0.01
    assert word[0] not in vocabulary.predict(descriptors)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((50, 17)), "17 features"),
        (np.full((50, 16), np.nan), "NaN"),
        (np.zeros((0, 16)), "0 sample"),
    ],
)
def test_wrong_descriptors_are_refused(vocabulary, wrong, message):
    with pytest.raises(ValueError, match=message):
        vocabulary.predict(wrong)
