"""The word classifier: exact evidence, scikit-learn's contract, files."""

import copy
import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import (
    check_estimator_cloneable,
    check_estimator_repr,
    check_get_params_invariance,
    check_mixin_order,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
)

import minibag as mb
from minibag.bag import BagPredictor
from minibag.words import (
    BagEncoder,
    BagOfVisualWords,
    DenseSIFT,
    FisherEncoder,
    HistogramEncoder,
    LocalColor,
    PyramidEncoder,
    VLADEncoder,
)
from minibag.words.heads import intersection

SIFT = DenseSIFT(8)


@pytest.fixture(scope="module")
def critters():
    return mb.critters("train", 80, size=48)


@pytest.fixture(scope="module")
def photos():
    return mb.photos("train", size=64).subset(60)


@pytest.fixture(scope="module")
def fitted(critters):
    return BagOfVisualWords(SIFT, 40).fit(critters)


LINEAR = {
    "histogram": dict(n_words=40),
    "logistic": dict(n_words=40, classifier="logistic"),
    "not standardised": dict(n_words=40, classifier=RidgeClassifier(1e-3)),
    "several patch sizes": dict(features=DenseSIFT(8, (12, 16)), n_words=40),
    "pyramid": dict(n_words=15, encoding="pyramid"),
    "soft": dict(encoding=HistogramEncoder(20, assignment="soft")),
    "tf-idf": dict(encoding=HistogramEncoder(40, tfidf=True)),
    "soft pyramid": dict(encoding=PyramidEncoder(9, (1, 3), assignment="soft")),
}


CASES = [
    *((name, "critters", n) for name in LINEAR for n in (2, None)),
    *((name, "photos", None) for name in ("histogram", "several patch sizes", "tf-idf")),
]


@pytest.mark.parametrize(("config", "name", "n_classes"), CASES)
def test_the_mean_of_the_evidence_is_the_decision(config, name, n_classes, request):
    images = request.getfixturevalue(name)
    if n_classes:
        images = images[images.labels < n_classes]
    model = BagOfVisualWords(**{"features": SIFT, **LINEAR[config]}).fit(images)
    mean = model.evidence(images).mean((2, 3))
    np.testing.assert_allclose(mean, model.logits(images), atol=1e-5)
    if n_classes:
        decision = mean[:, 1] - mean[:, 0]
        np.testing.assert_allclose(decision, model.decision_function(images), atol=1e-5)
        np.testing.assert_array_equal(mean[:, 0], -mean[:, 1])


@pytest.mark.parametrize(
    ("params", "cause"),
    [
        (dict(n_words=20, classifier="intersection"), "'intersection' is not linear"),
        (dict(n_words=20, classifier=make_pipeline(StandardScaler(), LogisticRegression())), "lin"),
        (dict(encoding=HistogramEncoder(20, norm="sqrt")), "takes square roots"),
        (dict(encoding=HistogramEncoder(20, norm="l2")), "divides by the length"),
        (dict(n_words=9, encoding="vlad"), "signed square roots and divides by the length"),
        (dict(encoding=FisherEncoder(4, n_components=8)), "signed square roots"),
    ],
)
def test_evidence_that_does_not_exist_is_refused_with_the_cause(critters, params, cause):
    model = BagOfVisualWords(SIFT, **params).fit(critters)
    assert model.score(critters, critters.labels) > 0.3  # 0.125 is chance
    with pytest.raises(ValueError, match=f"no exact evidence per patch: .*{cause}"):
        model.evidence(critters[:2])


@pytest.mark.parametrize("n_classes", [3, 8])
def test_a_support_vector_machine_of_pairs_is_not_taken_for_a_linear_head(critters, n_classes):
    """With three classes there are three pairs, so the shape of coef_ alone does not tell."""
    images = critters[critters.labels < n_classes]
    model = BagOfVisualWords(SIFT, 20, classifier=SVC(kernel="linear", C=100)).fit(images)
    vectors = model.encoder_.transform(images)
    own = SVC(kernel="linear", C=100).fit(vectors, images.labels).decision_function(vectors)
    np.testing.assert_allclose(model.decision_function(images), own, atol=1e-6)
    with pytest.raises(ValueError, match="not linear"):
        model.evidence(images)


def test_a_second_fit_forgets_the_first_head(critters):
    model = BagOfVisualWords(SIFT, 20).fit(critters)
    model.set_params(classifier="intersection").fit(critters)
    expected = BagOfVisualWords(SIFT, 20, classifier="intersection").fit(critters)
    np.testing.assert_array_equal(
        model.decision_function(critters), expected.decision_function(critters)
    )


def test_evidence_is_local(fitted, critters):
    """Changing one corner changes only the patches that see it."""
    image = critters.images[:1].copy()
    image[:, :10, :10] = np.random.default_rng(0).integers(0, 256, (1, 10, 10, 3))
    changed = fitted.evidence(image) != fitted.evidence(critters.images[:1])
    grid = fitted.grid((48, 48))
    sees = np.array(
        [[max(grid.box(i, j)[:2]) < 11 for j in range(5)] for i in range(5)]  # 1 px for gradients
    )
    assert changed.any()
    assert not changed[0, :, ~sees].any()


def test_it_is_a_bag_predictor(fitted, critters):
    assert isinstance(fitted, BagPredictor)
    assert fitted.classes == critters.classes
    assert (
        fitted.grid((48, 64)).shape == fitted.evidence(np.zeros((1, 48, 64, 3), np.uint8)).shape[2:]
    )


def test_word_maps_count_up_to_the_histogram(fitted, critters):
    maps = fitted.word_maps(critters)
    assert maps.shape == (80, 5, 5)
    counts = np.stack([np.bincount(m.ravel(), minlength=40) for m in maps])
    np.testing.assert_allclose(fitted.encoder_.transform(critters), counts / 25, atol=1e-6)


@pytest.mark.parametrize("classifier", ["linear_svm", "logistic", "intersection", GaussianNB()])
def test_probabilities_are_probabilities_in_the_order_of_the_decision(critters, classifier):
    if isinstance(classifier, GaussianNB):
        with pytest.raises(ValueError, match="no decision_function"):
            BagOfVisualWords(SIFT, 20, classifier=classifier).fit(critters)
        return
    model = BagOfVisualWords(SIFT, 20, classifier=classifier).fit(critters)
    proba = model.predict_proba(critters)
    np.testing.assert_allclose(proba.sum(1), 1)
    assert np.array_equal(model.classes_[proba.argmax(1)], model.predict(critters))


HEADS = ["linear_svm", "logistic", "intersection", RidgeClassifier(), LogisticRegression(), SVC()]


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("classifier", HEADS, ids=str)
def test_probabilities_are_the_softmax_of_the_logits(critters, classifier, n_classes):
    """With two classes they once were that of half the logits."""
    images = critters[critters.labels < n_classes]
    model = BagOfVisualWords(SIFT, 20, classifier=classifier).fit(images)
    powers = np.exp(model.logits(images))
    expected = powers / powers.sum(1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(images), expected, rtol=1e-9)


@pytest.mark.parametrize("C", [0.02, 2])
@pytest.mark.parametrize("n_words", [10, 40])
def test_the_regularisation_means_the_same_for_every_number_of_words(critters, n_words, C):
    """Standardised vectors of F entries have length sqrt(F): the head sees them at length 1."""
    model = BagOfVisualWords(SIFT, n_words, classifier="logistic", C=C).fit(critters)
    vectors = model.encoder_.transform(critters).astype(float)
    standardised = StandardScaler().fit_transform(vectors) / n_words**0.5
    own = LogisticRegression(C=C, max_iter=1000).fit(standardised, critters.labels)
    np.testing.assert_allclose(
        model.predict_proba(critters), own.predict_proba(standardised), atol=1e-4
    )


@pytest.mark.parametrize("classifier", ["logistic", LogisticRegression()], ids=str)
@pytest.mark.parametrize("n_classes", [2, 8])
def test_logistic_probabilities_are_scikit_learns_own(critters, n_classes, classifier):
    images = critters[critters.labels < n_classes]
    model = BagOfVisualWords(SIFT, 20, classifier=classifier).fit(images)
    vectors = model.encoder_.transform(images)
    own = LogisticRegression()
    own.classes_, own.coef_, own.intercept_ = model.classes_, model.coef_, model.intercept_
    np.testing.assert_allclose(model.predict_proba(images), own.predict_proba(vectors), atol=1e-6)


def test_intersection_kernel_sums_the_smaller_entries():
    rng = np.random.default_rng(0)
    a, b = rng.random((4, 6)), rng.random((5, 6))
    expected = [[sum(min(x, y) for x, y in zip(p, q, strict=True)) for q in b] for p in a]
    np.testing.assert_allclose(intersection(a, b), expected)


def test_images_and_labels_may_come_in_any_form(fitted, critters):
    stream = lambda: (critters[i : i + 9] for i in range(0, 80, 9))  # noqa: E731
    for model in (
        clone(fitted).fit(critters.images, critters.labels),
        clone(fitted).fit(stream),
        clone(fitted).fit([critters[:50], critters[50:]]),
    ):
        np.testing.assert_array_equal(model.coef_, fitted.coef_)
    named = clone(fitted).fit(critters.images, np.array(critters.classes)[critters.labels])
    assert named.score(critters.images, np.array(critters.classes)[critters.labels]) > 0.6
    assert set(named.classes) == set(critters.classes)
    with pytest.raises(ValueError, match="requires y"):
        clone(fitted).fit(critters.images)
    with pytest.raises(ValueError, match="no labels"):
        clone(fitted).fit([critters.images])


def test_a_stream_whose_batches_name_different_classes_is_refused(critters):
    others = mb.ImageSet(critters.images, critters.labels, critters.classes[::-1])
    with pytest.raises(ValueError, match="two sets of classes"):
        BagOfVisualWords(SIFT, 9).fit([critters, others])


def test_before_fit_everything_says_so(critters):
    model = BagOfVisualWords(SIFT)
    for ask in (model.predict, model.predict_proba, model.evidence, model.word_maps, model.grid):
        with pytest.raises(NotFittedError):
            ask(critters)


def test_it_works_in_grid_search_and_cross_validation(critters):
    search = GridSearchCV(BagOfVisualWords(SIFT, 20), {"C": [0.01, 1], "n_words": [10, 20]}, cv=2)
    search.fit(critters.images, critters.labels)
    assert search.best_score_ > 0.2
    scores = cross_val_score(search.best_estimator_, critters.images, critters.labels, cv=2)
    assert np.isfinite(scores).all()


# scikit-learn's other checks fit on tables (n, features); images are (n, H, W, 3), which DenseSIFT
# insists on. Vocabulary, which learns from tables, runs all of them in test_vocabulary.
CHECKS = [
    check_estimator_cloneable,
    check_estimator_repr,
    check_get_params_invariance,
    check_mixin_order,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
]
ESTIMATORS = [
    BagOfVisualWords(),
    BagEncoder(),
    HistogramEncoder(),
    PyramidEncoder(),
    VLADEncoder(),
    FisherEncoder(),
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_scikit_learns_contract(estimator, check):
    check(type(estimator).__name__, estimator)


def test_the_same_seed_gives_the_same_model(fitted, critters):
    np.testing.assert_array_equal(clone(fitted).fit(critters).coef_, fitted.coef_)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (dict(encoding="bag"), "encoding must be one of"),
        (dict(classifier="svm"), "classifier must be one of"),
        (dict(encoding=HistogramEncoder(9), n_words=9), "n_words to the encoder"),
        (dict(n_words=10**5), "fewer words"),
    ],
)
def test_wrong_parameters_are_refused(critters, params, message):
    with pytest.raises(ValueError, match=message):
        BagOfVisualWords(**{"features": SIFT, **params}).fit(critters)


SAVED = {
    "histogram": dict(n_words=20, features=DenseSIFT(8, (12, 16), root=True)),
    "tf-idf": dict(encoding=HistogramEncoder(20, tfidf=True, norm="l2")),
    "pyramid": dict(n_words=9, encoding="pyramid", classifier="logistic", C=np.float64(2)),
    "vlad of colours": dict(features=LocalColor(8), n_words=5, encoding="vlad"),
    "fisher": dict(encoding=FisherEncoder(4, n_components=8)),
}


@pytest.mark.parametrize("n_classes", [2, 8])
@pytest.mark.parametrize("params", SAVED.values(), ids=SAVED)
def test_a_saved_model_comes_back_bit_for_bit(critters, params, n_classes, tmp_path):
    images = critters[critters.labels < n_classes]
    model = BagOfVisualWords(**{"features": SIFT, **params}).fit(images)
    model.save(tmp_path / "model.safetensors")
    loaded = BagOfVisualWords.load(tmp_path / "model.safetensors")
    for method in ("decision_function", "predict", "predict_proba"):
        expected, result = (getattr(m, method)(images) for m in (model, loaded))
        assert np.array_equal(result, expected)
        assert result.dtype == expected.dtype
    assert loaded.classes == model.classes
    assert loaded.image_shape_ == model.image_shape_ == (48, 48)
    refitted = clone(loaded).fit(images)
    assert np.array_equal(refitted.decision_function(images), model.decision_function(images))
    assert [f.name for f in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("params", SAVED.values(), ids=SAVED)
def test_a_loaded_model_goes_on_like_the_one_that_was_saved(critters, params, tmp_path):
    """One more batch once moved the words of a loaded model the whole way."""
    model = BagOfVisualWords(**{"features": SIFT, "n_jobs": 2, **params}).fit(critters[:60])
    model.save(tmp_path / "m")
    loaded = BagOfVisualWords.load(tmp_path / "m")
    assert loaded.n_jobs == loaded.encoder_.n_jobs == 2
    for name in model.encoder_.encoder_.learned:
        ours, theirs = (getattr(m.encoder_.encoder_, name) for m in (model, loaded))
        assert ours.dtype == theirs.dtype
    if params.get("encoding") not in (None, "pyramid", "vlad"):
        with pytest.raises(ValueError, match="batch by batch"):
            loaded.encoder_.partial_fit(critters[60:])
        return
    before = model.encoder_.encoder_.words_
    for m in (model, loaded):
        m.encoder_.partial_fit(critters[60:])
    ours, theirs = (m.encoder_.encoder_ for m in (model, loaded))
    assert not np.array_equal(ours.words_, before)
    assert np.array_equal(ours.words_, theirs.words_)
    assert np.array_equal(ours.counts_, theirs.counts_)
    assert np.array_equal(model.decision_function(critters), loaded.decision_function(critters))


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.int64, float, bool, str])
def test_labels_come_back_in_their_own_type(critters, kind, tmp_path):
    images = critters[critters.labels < 2]
    model = BagOfVisualWords(SIFT, 9).fit(images.images, images.labels.astype(kind))
    model.save(tmp_path / "m")
    ours, theirs = (m.predict(images) for m in (model, BagOfVisualWords.load(tmp_path / "m")))
    assert ours.dtype == theirs.dtype
    assert np.array_equal(ours, theirs)


def test_a_file_of_older_days_still_loads_and_says_what_it_lacks(fitted, critters, tmp_path):
    """Once no file held counts, the type of the labels, or the number of jobs."""
    fitted.save(tmp_path / "m")
    arrays = load_file(tmp_path / "m")
    with safe_open(tmp_path / "m", "numpy") as file:
        ((kind, written),) = file.metadata().items()
    header = json.loads(written)
    del arrays["counts_"], header["label_type"], header["model"]["n_jobs"]
    save_file(arrays, tmp_path / "old", {kind: json.dumps(header)})
    old = BagOfVisualWords.load(tmp_path / "old")
    assert np.array_equal(old.decision_function(critters), fitted.decision_function(critters))
    with pytest.raises(ValueError, match="file of an older minibag"):
        old.encoder_.partial_fit(critters)
    old.save(tmp_path / "again")
    assert "counts_" not in load_file(tmp_path / "again")


def test_labels_that_are_words_are_saved_too(critters, tmp_path):
    for kind in (str, object):
        names = np.array(critters.classes, kind)[critters.labels]
        model = BagOfVisualWords(SIFT, 20).fit(critters.images, names)
        model.save(tmp_path / "m")
        loaded = BagOfVisualWords.load(tmp_path / "m")
        assert np.array_equal(loaded.predict(critters), model.predict(critters))
        assert loaded.classes_.dtype == model.classes_.dtype


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (dict(classifier="intersection"), "cannot save classifier='intersection'"),
        (dict(classifier=RidgeClassifier()), "cannot save classifier=Ridge"),
        (dict(random_state=np.random.RandomState(0)), "cannot save the parameter RandomState"),
    ],
)
def test_what_cannot_be_saved_is_refused_and_nothing_is_written(
    critters, params, message, tmp_path
):
    model = BagOfVisualWords(SIFT, 9, **params).fit(critters)
    with pytest.raises(ValueError, match=message):
        model.save(tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_own_features_cannot_be_saved(critters, tmp_path):
    class Own(DenseSIFT):
        pass

    model = BagOfVisualWords(Own(8), 9).fit(critters)
    with pytest.raises(ValueError, match="cannot save Own"):
        model.save(tmp_path / "m")


def test_a_write_that_fails_leaves_the_old_file(fitted, tmp_path, monkeypatch):
    file = tmp_path / "m"
    file.write_bytes(b"old")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        fitted.save(file)
    assert [f.read_bytes() for f in tmp_path.iterdir()] == [b"old"]


def test_damaged_foreign_and_missing_files_are_refused(fitted, tmp_path):
    file = tmp_path / "m"
    with pytest.raises(FileNotFoundError, match="no model file"):
        BagOfVisualWords.load(file)
    fitted.save(file)
    whole = file.read_bytes()
    for damaged in (whole[:-1], whole[:100], b"", b"PK\x03\x04 a zip", whole + b"x"):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged"):
            BagOfVisualWords.load(file)
    save_file({"w": np.zeros(3)}, file)
    with pytest.raises(ValueError, match="something else"):
        BagOfVisualWords.load(file)
    with pytest.raises(Exception, match="not fitted"):
        BagOfVisualWords().save(file)


HEADERS = {  # of the right kind, but not what `save` writes: what to put where
    "not a table": [],
    "features nobody knows": {"features": ["SURF", {}]},
    "parameters nobody knows": {"features": ["DenseSIFT", {"magic": 1}]},
    "impossible parameters": {"features": ["DenseSIFT", {"step": "4"}]},
    "an impossible encoder": {"encoder": ["histogram", {"n_words": 40, "assignment": "softly"}]},
    "another vocabulary": {"encoder": ["histogram", {"n_words": 41}]},
    "another encoder": {"encoder": ["fisher", {}]},
    "a pyramid": {"encoder": ["pyramid", {"n_words": 40}]},
    "a kernel": {"model": {"classifier": "intersection"}},
    "fewer classes": {"classes": ["a", "b"], "labels": [0, 1]},
    "classes without names": {"classes": [None] * 8},
    "numbers for names": {"classes": [*range(8)]},
    "a name twice": {"classes": [*"abcdefga"]},
    "labels without a name": {"labels": [0, 1]},
    "no image size": {"image_shape": None},
    "images smaller than a patch": {"image_shape": [8, 8]},
}
ARRAYS = {
    "words_": [np.zeros((40, 64), np.float32), np.zeros(40, np.float32)],
    "idf_": [np.ones(39, np.float32)],
    "counts_": [np.ones(39, np.int64)],
    "coef_": [np.zeros((8, 39)), np.zeros((1, 40)), np.zeros(40)]
    + [np.full((8, 40), odd) for odd in (np.nan, np.inf, True)],
    "intercept_": [np.zeros(1), np.zeros((8, 1))],
}


@pytest.mark.parametrize("wrong", HEADERS.values(), ids=HEADERS)
def test_a_header_that_does_not_fit_is_one_clear_error(fitted, wrong, tmp_path):
    fitted.save(tmp_path / "m")
    with safe_open(tmp_path / "m", "numpy") as file:
        ((kind, header),) = file.metadata().items()
    wrong = json.loads(header) | wrong if isinstance(wrong, dict) else wrong
    save_file(load_file(tmp_path / "m"), tmp_path / "m", {kind: json.dumps(wrong)})
    with pytest.raises(ValueError, match="m is damaged"):
        BagOfVisualWords.load(tmp_path / "m")


def test_a_header_of_endless_brackets_is_one_clear_error(fitted, tmp_path):
    fitted.save(tmp_path / "m")
    with safe_open(tmp_path / "m", "numpy") as file:
        (kind,) = file.metadata()
    save_file(load_file(tmp_path / "m"), tmp_path / "m", {kind: "[" * 100_000})
    with pytest.raises(ValueError, match="m is damaged"):
        BagOfVisualWords.load(tmp_path / "m")


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_that_is_missing_or_of_another_shape_is_one_clear_error(fitted, name, tmp_path):
    fitted.save(tmp_path / "m")
    with safe_open(tmp_path / "m", "numpy") as file:
        header = file.metadata()
    for wrong in (*([[]] if name != "counts_" else []), *ARRAYS[name]):  # older files lack counts_
        arrays = load_file(tmp_path / "m") | {name: wrong}
        if name in arrays and not len(wrong):
            del arrays[name]
        save_file(arrays, tmp_path / "other", header)
        with pytest.raises(ValueError, match="other is damaged"):
            BagOfVisualWords.load(tmp_path / "other")


def test_a_model_that_is_not_finite_is_not_saved(fitted, tmp_path):
    broken = copy.deepcopy(fitted)
    broken.coef_[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"coef_ .* something else than finite numbers"):
        broken.save(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_saving_twice_writes_the_same_bytes(fitted, tmp_path):
    for name in "ab" * 4:
        fitted.save(tmp_path / name)
        assert (tmp_path / name).read_bytes() == (tmp_path / "a").read_bytes()
