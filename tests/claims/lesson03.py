"""Claims of lesson 03: visual words."""

from functools import cache

import numpy as np
from scipy.special import softmax
from sklearn.cluster import KMeans
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import minibag as mb
from tests.claims import Outcome, claim

SIFT = mb.DenseSIFT(step=4, patch_size=16)


@cache
def tiles():
    """Return training and test tiles of the lesson, and their descriptors."""
    sets = mb.photos("train", size=64, per_class=43), mb.photos("test", size=64, per_class=20)
    return (*sets, *(SIFT.transform(s.images) for s in sets))


def counts(vocabulary, descriptors):
    """Return hard histograms."""
    maps = vocabulary.predict(descriptors).reshape(len(descriptors), -1)
    return np.stack([np.bincount(m, minlength=vocabulary.n_words) for m in maps]) / maps.shape[1]


@cache
def accuracies(n_words, seed):
    """Return the accuracy of the nearest neighbour and of the linear classifier, as the lesson."""
    train, test, known, new = tiles()
    known, new = known[:, ::2, ::2], new[:, ::2, ::2]
    vocabulary = mb.Vocabulary(n_words, random_state=seed).fit(known)
    x, y = counts(vocabulary, known), counts(vocabulary, new)
    heads = (
        KNeighborsClassifier(1, metric="manhattan"),
        make_pipeline(StandardScaler(), LinearSVC(C=0.01, random_state=0)),
    )
    return [head.fit(x, train.labels).score(y, test.labels) for head in heads]


def means(n_words, seed):
    """Return both accuracies, as means of two seeds."""
    return np.mean([accuracies(n_words, 2 * seed + s) for s in range(2)], axis=0)


@claim("03", "Most differ.", seeds=1)
def distinct(_: int) -> Outcome:
    rows = tiles()[2].reshape(-1, 128)
    share = len(np.unique(rows, axis=0)) / len(rows)
    return Outcome(share > 0.5, f"{share:.0%} of {len(rows):,} are different ones")


@claim("03", "Five words lump together what matters; the first hundred buy most.",
       before="The first hundred words matter most (a hundred are enough)")  # fmt: skip
def first_hundred(seed: int) -> Outcome:
    few, some, many = means(5, seed), means(100, seed), means(400, seed)
    held = (some - few > 2 * (many - some)).all()
    return Outcome(held, f"5: {few.round(2)}, 100: {some.round(2)}, 400: {many.round(2)}")


@claim("03", "From 100 to 200 there are a few points more", before="From about 100 words on, "
       "twice as many buy at most a few points, about as much as the seeds differ.")  # fmt: skip
def next_hundred(seed: int) -> Outcome:
    gain = means(200, seed) - means(100, seed)
    return Outcome(bool((gain > 0).all() and (gain < 0.08).all()), f"gain {gain.round(3)}")


@claim("03", "The nearest neighbour is as good or worse with 800 as with 200", seeds=3)
def nearest(seed: int) -> Outcome:
    few, many = means(200, seed)[0], means(800, seed)[0]
    return Outcome(many < few + 0.01, f"200: {few:.1%}, 800: {many:.1%}")


@claim("03", "The linear classifier can add up such words, and does not lose.", seeds=3)
def linear(seed: int) -> Outcome:
    few, many = means(200, seed)[1], means(800, seed)[1]
    return Outcome(many > few - 0.01, f"200: {few:.1%}, 800: {many:.1%}")


@claim("03", "About half of the starts end with the same small error")
def starts(seed: int) -> Outcome:
    from sklearn.datasets import make_blobs

    points, _ = make_blobs(300, centers=4, cluster_std=1, center_box=(-6, 6), random_state=10)
    rng = np.random.default_rng(seed)
    ends = [
        KMeans(4, init=rng.choice(points, 4, replace=False), n_init=1, tol=0).fit(points).inertia_
        for _ in range(200)
    ]
    share = np.mean(np.array(ends) < 1.05 * min(ends))
    return Outcome(0.3 < share < 0.7, f"{share:.0%} of 200 starts")


@claim("03", "Nearer, but not near.")
def distances(seed: int) -> Outcome:
    rows = tiles()[2].reshape(-1, 128)
    vocabulary = mb.Vocabulary(200, random_state=seed).fit(tiles()[2])
    away = np.linalg.norm(rows - vocabulary.words_[vocabulary.predict(rows)], axis=-1).mean()
    other = np.linalg.norm(rows - np.random.default_rng(seed).permutation(rows), axis=-1).mean()
    return Outcome(0.3 < away / other < 0.7, f"{away:.2f} against {other:.2f}")


@claim("03", "more than half of the tiles find their photograph")
def find(seed: int) -> Outcome:
    train, test, known, new = tiles()
    vocabulary = mb.Vocabulary(200, random_state=seed).fit(known)
    head = KNeighborsClassifier(1, metric="manhattan").fit(counts(vocabulary, known), train.labels)
    right = head.score(counts(vocabulary, new), test.labels)
    return Outcome(right > 0.5, f"{right:.0%}")


@claim("03", "Soft counts notice far less")
def soft(seed: int) -> Outcome:
    _, test, known, _ = tiles()
    vocabulary = mb.Vocabulary(200, random_state=seed).fit(known)
    moved = [SIFT.transform(i) for i in (test.images[:100, :-1, :-1], test.images[:100, 1:, 1:])]
    hard = np.abs(np.subtract(*(counts(vocabulary, d) for d in moved))).sum(1).mean() / 2
    softly = [
        softmax(-(vocabulary.transform(d) ** 2) / 0.08, axis=-1).mean(axis=(1, 2)) for d in moved
    ]
    change = np.abs(np.subtract(*softly)).sum(1).mean() / 2
    return Outcome(change < hard / 2, f"hard {hard:.0%}, soft {change:.0%}")


@claim("03", "Common words stand for grain without a direction")
def common(seed: int) -> Outcome:
    known = tiles()[2]
    vocabulary = mb.Vocabulary(200, random_state=seed).fit(known)
    df = (counts(vocabulary, known) > 0).sum(0)
    eight = vocabulary.words_.reshape(200, 16, 8).sum(1)
    one_way = eight.max(1) / np.maximum(eight.sum(1), 1e-6)
    usual = np.argsort(df)[-10:]
    near = f"strongest direction {one_way[usual].mean():.2f}, of all words {one_way.mean():.2f}"
    return Outcome(bool(one_way[usual].mean() < one_way.mean()), near)
