"""Images to vectors: the same in memory, in streams, in threads and on a cluster."""

import os
from itertools import repeat
from threading import Barrier, get_ident

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline, make_union
from threadpoolctl import threadpool_info, threadpool_limits

import minibag as mb
from minibag.words import BagEncoder, DenseSIFT, FisherEncoder, HistogramEncoder


@pytest.fixture(scope="module")
def critters():
    return mb.critters("train", 50, size=32)


def new_encoder(**params):
    return BagEncoder(
        DenseSIFT(8), HistogramEncoder(12), batch_size=8, max_descriptors=500, **params
    )


@pytest.fixture(scope="module")
def vectors(critters):
    return new_encoder(max_images=30).fit_transform(critters.images)


def test_vectors_are_those_of_the_encoder_on_all_descriptors(critters, vectors):
    bag = new_encoder(max_images=30).fit(critters)
    descriptors = DenseSIFT(8).transform(critters.images)
    np.testing.assert_array_equal(vectors, bag.encoder_.transform(descriptors))


def test_the_codebook_is_learned_from_a_bounded_sample(critters):
    sizes = []

    class Spy(HistogramEncoder):
        def fit(self, X, y=None):
            sizes.append(len(X))
            return super().fit(X)

    BagEncoder(DenseSIFT(8), Spy(5), max_descriptors=100, max_images=20).fit(critters)
    assert sizes == [100]


def test_every_image_is_equally_likely_to_be_drawn():
    from minibag.words.encoder import _draw

    images = np.arange(20, dtype=np.uint8).reshape(20, 1, 1, 1)
    rng = np.random.RandomState(0)
    counts = np.bincount(np.ravel([_draw(images, 5, rng) for _ in range(2000)]), minlength=20)
    assert abs(counts / 2000 - 5 / 20).max() < 5 * np.sqrt(0.25 * 0.75 / 2000)


@pytest.mark.parametrize(
    "stream",
    [
        lambda s: s,
        lambda s: [s[:7], s[7:30], s[30:]],
        lambda s: [s.images[:7], s.images[7:]],
        lambda s: lambda: (s[i : i + 9] for i in range(0, len(s), 9)),
    ],
    ids=["ImageSet", "list of ImageSets", "list of arrays", "function of a generator"],
)
def test_a_set_in_batches_gives_the_same_vectors(critters, vectors, stream):
    result = new_encoder(max_images=30).fit_transform(stream(critters))
    np.testing.assert_array_equal(result, vectors)


def test_a_folder_larger_than_memory_can_be_streamed(tmp_path, critters, vectors):
    from PIL import Image

    for i, (image, label) in enumerate(zip(critters.images, critters.labels, strict=True)):
        folder = tmp_path / critters.classes[label]
        folder.mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / f"{i:03}.png")
    whole = mb.image_folder(tmp_path, 32)
    streamed = new_encoder().fit_transform(lambda: mb.stream_folder(tmp_path, 32, 16, seed=None))
    np.testing.assert_array_equal(streamed, new_encoder().fit_transform(whole))


def test_partial_fit_learns_from_a_stream_and_keeps_what_it_learned(critters):
    bag = new_encoder()
    first = bag.partial_fit(critters[:25]).encoder_.words_
    second = bag.partial_fit(critters[25:]).encoder_.words_
    assert 0 < np.abs(first - second).max() < 1
    assert bag.transform(critters).shape == (50, 12)


@pytest.mark.parametrize("encoder", [FisherEncoder(4), HistogramEncoder(12, tfidf=True)])
def test_what_is_learned_from_a_whole_set_refuses_partial_fit(critters, encoder):
    with pytest.raises(ValueError, match="batch by batch"):
        BagEncoder(DenseSIFT(8), encoder).partial_fit(critters)


def test_the_size_of_the_images_is_remembered(critters):
    images = critters.images[:, :24]
    assert new_encoder().fit(images).image_shape_ == (24, 32)
    assert new_encoder().partial_fit(images).image_shape_ == (24, 32)
    with pytest.raises(ValueError, match="one size"):
        new_encoder().fit([critters.images, images])


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_no_worker_starts_more_threads_than_the_quota_grants(critters, n_jobs):
    def threads(descriptors):
        return [pool["num_threads"] for pool in threadpool_info()]

    with threadpool_limits(8):
        found = new_encoder(n_jobs=n_jobs).fit(critters).map_descriptors(repeat(threads), critters)
    assert {n for pools in found for n in pools} == {1}


def test_two_jobs_are_two_threads_that_work_at_once(critters):
    both = Barrier(2)

    def meet(descriptors):
        both.wait(60)  # alone it would break
        return os.getpid(), get_ident()

    bag = new_encoder(n_jobs=2).fit(critters)
    (one, first), (other, second) = bag.map_descriptors([meet, meet], critters[:16])
    assert one == other == os.getpid()
    assert first != second


def limits(descriptors):
    """Return the process that did the work, and how many threads its libraries would start."""
    return os.getpid(), {pool["num_threads"] for pool in threadpool_info()}


def test_two_processes_on_request_start_no_threads_of_their_own_and_give_the_same(
    critters, vectors
):
    """A worker may have more CPUs than this process, and libraries that start a thread on each."""
    bag = new_encoder(max_images=30, n_jobs=2).fit(critters)
    with parallel_config("loky", inner_max_num_threads=4):
        found = bag.map_descriptors(repeat(limits), critters)
        np.testing.assert_array_equal(bag.transform(critters), vectors)
    assert os.getpid() not in {pid for pid, _ in found}
    assert [threads for _, threads in found] == [{1}] * 7


def test_two_workers_give_the_same_vectors_and_leave_the_thread_limits_as_they_were(
    critters, vectors
):
    before = [pool["num_threads"] for pool in threadpool_info()]
    result = new_encoder(max_images=30, n_jobs=2).fit_transform(critters)
    np.testing.assert_array_equal(result, vectors)
    assert [pool["num_threads"] for pool in threadpool_info()][: len(before)] == before


def test_it_lives_in_pipelines_and_unions(critters):
    bags = make_union(new_encoder(), BagEncoder(DenseSIFT(8), FisherEncoder(4, n_components=6)))
    model = clone(make_pipeline(bags, KNeighborsClassifier(1)))
    assert model.fit(critters.images, critters.labels).score(critters.images, critters.labels) == 1
    assert model[:-1].transform(critters.images).shape == (50, 12 + 2 * 4 * 6)


def test_tfidf_is_learned_from_whole_images(critters):
    bag = BagEncoder(DenseSIFT(8), HistogramEncoder(12, tfidf=True), max_descriptors=200)
    plain = BagEncoder(DenseSIFT(8), HistogramEncoder(12), max_descriptors=200)
    h = plain.fit_transform(critters)
    idf = np.log(50 / (h > 0).sum(0))
    np.testing.assert_allclose(bag.fit_transform(critters), h * idf, atol=1e-6)


def test_tfidf_is_learned_from_all_images_not_from_those_that_the_words_came_from(critters):
    """Words that the draw lacks would weigh 0, and all others be off."""
    params = dict(max_descriptors=200, max_images=9, batch_size=8)
    plain = BagEncoder(DenseSIFT(8), HistogramEncoder(12), **params)
    h = plain.fit_transform(critters)
    bag = BagEncoder(DenseSIFT(8), HistogramEncoder(12, tfidf=True), **params)
    for images in (critters, lambda: (critters[i : i + 7] for i in range(0, 50, 7))):
        np.testing.assert_allclose(
            bag.fit(images).encoder_.idf_, np.log(50 / (h > 0).sum(0)), rtol=1e-6
        )
    with pytest.raises(ValueError, match="read before"):
        bag.fit(iter([critters]))


def test_tfidf_that_has_seen_no_images_is_an_error_not_a_weight_of_one(critters):
    descriptors = DenseSIFT(8).transform(critters.images)
    encoder = HistogramEncoder(12, tfidf=True).fit(descriptors)
    encoder.fit(descriptors.reshape(-1, 128))  # patches of no image
    with pytest.raises(NotFittedError, match="no images"):
        encoder.transform(descriptors)
    with pytest.raises(NotFittedError, match="no images"):
        encoder.votes(descriptors, np.ones((12, 2)))


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ("photos/", TypeError, "got str"),
        (3, TypeError, "got int"),
        ([np.zeros((32, 32, 3), np.uint8)], ValueError, "np.stack"),
        ([], ValueError, "empty"),
        (np.zeros((0, 32, 32, 3), np.uint8), ValueError, "empty"),
    ],
)
def test_what_holds_no_images_is_refused(images, error, message):
    with pytest.raises(error, match=message):
        new_encoder().fit(images)


def test_a_stream_that_is_used_up_is_noticed(critters):
    with pytest.raises(ValueError, match="empty"):
        new_encoder().fit_transform(iter([critters]))
