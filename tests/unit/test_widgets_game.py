"""Be the BagNet: a game played to its end, its file, and what a class's files say together."""

import csv
import re

import numpy as np
import pytest

import minibag as mb
from minibag.bag import PatchGrid
from minibag.data import ImageSet
from minibag.figures.game import framed, human_accuracy
from minibag.stats import wilson_interval
from minibag.widgets import BeTheBagNet, pool
from minibag.widgets.answers import COLUMNS, tally
from tests.pictures import pictures

CLASSES = ("cat", "dog", "emu")


class Colours:
    """A bag whose patches vote for red, green and blue as they are coloured."""

    classes = CLASSES

    def __init__(self, q):
        self.q = q

    def grid(self, image_shape):
        n = (image_shape[0] - self.q) // 4 + 1
        return PatchGrid(self.q, 4, 0, (n, n))

    def evidence(self, images):
        n = self.grid(images.shape[1:3]).shape[0]
        rows = [
            [
                images[:, 4 * i : 4 * i + self.q, 4 * j : 4 * j + self.q].mean((1, 2))
                for j in range(n)
            ]
            for i in range(n)
        ]
        return np.moveaxis(np.array(rows), (0, 1, 2, 3), (2, 3, 0, 1))


@pytest.fixture(scope="module")
def images():
    """Thirty noisy images of 16 px, two thirds of them cats."""
    rng = np.random.default_rng(0)
    labels = np.array([0] * 20 + [1] * 5 + [2] * 5)
    return ImageSet(rng.integers(0, 256, (30, 16, 16, 3), dtype=np.uint8), labels, CLASSES)


@pytest.fixture
def play(images, tmp_path):
    return BeTheBagNet(
        images, {4: Colours(4), 8: Colours(8)}, rounds=3, folder=tmp_path / "answers", seed=1
    )


def read(folder):
    (file,) = folder.iterdir()
    with file.open(newline="") as opened:
        return file.name, list(csv.DictReader(opened))


def patches_shown(game):
    """The patches on the page, without the image that comes after the guess."""
    shown = pictures(game.view.value)
    return shown[1:] if game.round.guess is not None else shown


def test_the_first_page_shows_one_patch_of_the_grid_and_nothing_else(play):
    (patch,) = pictures(play.view.value)
    assert patch.shape == (8, 8, 3)
    top, left, *_ = play.round.grid.box(*play.round.cells[0])
    np.testing.assert_array_equal(patch, play.round.image[top : top + 8, left : left + 8])
    assert "?" in play.view.value
    assert "You see 1 patch of 9, 8 x 8 pixels each" in play.text.value


def test_more_patches_come_one_by_one_until_all_are_shown_once(play):
    for n in range(2, 10):
        play.more.click()
        assert len(pictures(play.view.value)) == n
    assert play.more.disabled
    assert sorted(play.round.cells) == [(i, j) for i in range(3) for j in range(3)]
    play.more.click()  # a stale click
    assert len(pictures(play.view.value)) == 9


def test_buttons_are_live_only_when_it_is_their_turn(play):
    buttons = [play.more, *play.guesses, play.next, play.save, play.controls["q"]]

    def live():
        return [not button.disabled for button in buttons]

    assert live() == [True, True, True, True, False, False, True]
    play.more.click()
    assert live() == [True, True, True, True, False, False, False]
    play.guesses[0].click()
    assert live() == [False, False, False, False, True, True, True]
    play.next.click()
    assert live() == [True, True, True, True, False, True, False]
    assert [button.description for button in play.guesses] == list(CLASSES)


def test_after_the_guess_all_answers_are_those_of_a_loop(play, images):
    for guess in (0, 1, 2):
        play.more.click()
        seen = play.round
        play.guesses[guess].click()
        grid, evidence = play.models[8].grid((16, 16)), play.models[8].evidence(seen.image[None])[0]
        total = np.zeros(3)
        for i, j in seen.cells:
            total += evidence[:, i, j]
        answers = [guess, int(total.argmax()), int(evidence.mean((1, 2)).argmax())]
        expected = [
            f"<b>{'✓' if c == seen.truth else '✗'} {CLASSES[c]}</b>, "
            f"{'right' if c == seen.truth else 'wrong'}"
            for c in answers
        ]
        assert re.findall(r"<b>[✓✗] \w+</b>, \w+", play.view.value) == expected
        assert f"It is: {CLASSES[seen.truth]}" in play.view.value
        whole = pictures(play.view.value)[0]
        np.testing.assert_array_equal(whole, framed(seen.image, grid, seen.cells))
        assert (images.images == seen.image).all((1, 2, 3)).any()
        play.next.click()


def test_frames_lie_on_the_edges_of_the_patches_and_leave_the_rest_alone():
    image = np.full((40, 40, 3), 90, np.uint8)
    big = framed(image, PatchGrid(8, 8, 0, (5, 5)), [(1, 2)])
    assert big.shape == (320, 320, 3)
    rows, columns = np.nonzero((big != 90).any(2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (64, 127, 128, 191)
    assert (big[70:120, 136:184] == 90).all()
    narrow = framed(np.zeros((700, 20, 3), np.uint8), PatchGrid(8, 8, 0, (87, 2)), [(1, 1)])
    assert narrow.shape == (700, 20, 3)


def test_the_game_ends_after_its_rounds_and_may_go_on(play, tmp_path):
    right = machine = 0
    for n in range(1, 5):
        truth = play.round.truth
        assert f"Picture {n}{' of 3' if n < 4 else ''}<" in play.view.value
        play.guesses[truth if n != 2 else (truth + 1) % 3].click()
        right += n != 2
        machine += play.round.logits.argmax() == truth
        assert f"you {right} of {n}, BagNet {machine} of {n}" in play.view.value
        if n == 3:
            won = "win" if right > machine else "BagNet wins" if machine > right else "draw"
            assert f"{won}!" in play.view.value
            assert play.next.description == "Play on"
            play.save.click()
            assert len(read(tmp_path / "answers")[1]) == 3
        play.next.click()
    play.save.click()
    assert len(read(tmp_path / "answers")[1]) == 4  # the same file: no answer counts twice


def test_the_file_holds_the_answers_and_says_where_it_is(play, tmp_path):
    truths, shown = [], []
    for extra in (0, 2):
        for _ in range(extra):
            play.more.click()
        truths.append(CLASSES[play.round.truth])
        shown.append(1 + extra)
        play.guesses[2].click()
        play.controls["q"].value = 4
        play.next.click()
    play.save.click()
    name, rows = read(tmp_path / "answers")
    assert re.fullmatch(r"be-the-bagnet-[0-9a-f]{8}\.csv", name)
    assert str(tmp_path / "answers" / name) in play.text.value
    assert tuple(rows[0]) == COLUMNS
    for n, row in enumerate(rows):
        assert (row["round"], row["q"]) == (f"{n + 1}", "84"[n])
        assert (row["patches"], row["classes"]) == (f"{shown[n]}", "3")
        assert (row["class"], row["guess"]) == (truths[n], "emu")
        assert row["right"] == f"{int(truths[n] == 'emu')}"
        assert row["bagnet_right"] == f"{int(row['bagnet'] == row['class'])}"


def test_the_same_seed_gives_the_same_game_at_any_patch_size(images):
    def pictures_of(q, seed):
        game = BeTheBagNet(images, {q: Colours(q)}, seed=seed)
        seen = []
        for _ in range(8):
            seen.append((game.round.image.tobytes(), game.round.cells))
            game.guesses[0].click()
            game.next.click()
        return seen

    assert pictures_of(8, 3) == pictures_of(8, 3)
    assert [image for image, _ in pictures_of(8, 3)] == [image for image, _ in pictures_of(4, 3)]
    assert pictures_of(8, 3) != pictures_of(8, 4)


def test_rare_classes_come_as_often_and_no_image_twice_before_its_class_is_through(images):
    game = BeTheBagNet(images, {8: Colours(8)}, seed=0)
    labels, of_class = [], {0: [], 1: [], 2: []}
    for _ in range(300):
        labels.append(game.round.truth)
        of_class[game.round.truth].append(game.round.image.tobytes())
        game.deal(8)
    assert np.bincount(labels).min() > 70  # two thirds of the images are of class 0
    for label, seen in of_class.items():
        n = int((images.labels == label).sum())
        assert len(set(seen[:n])) == n


def test_another_patch_size_waits_for_the_next_picture_save_at_the_start(play):
    first = play.round.image
    play.controls["q"].value = 4
    assert play.round.grid.size == 4
    assert (play.round.image != first).any()  # a patch of the first one has been seen
    play.guesses[0].click()
    play.controls["q"].value = 8
    assert play.round.grid.size == 4
    play.next.click()
    assert play.round.grid.size == 8


def test_a_second_click_on_the_same_button_counts_once(play):
    play.guesses[0].click()
    play.guesses[1].click()
    assert len(play.answers) == 1
    play.next.click()
    image = play.round.image
    play.next.click()
    assert play.round.image is image


def test_the_keyboard_is_led_to_the_button_whose_turn_it_is(play, monkeypatch):
    led = []
    monkeypatch.setattr(type(play.next), "focus", lambda button: led.append(button.description))
    for _ in range(3):
        play.guesses[0].click()
        play.next.click()
    more = "Show one more patch"
    assert led == ["Next picture", more, "Next picture", more, "Save my answers", more]


def test_an_error_stands_in_the_widget(play, tmp_path):
    play.guesses[0].click()
    (tmp_path / "answers").write_text("in the way")
    play.save.click()
    assert 'role="alert"' in play.text.value
    assert "FileExistsError" in play.text.value


def test_pages_without_a_kernel_show_the_round(play):
    play.more.click()
    for _ in range(2):
        bundle, metadata = play._repr_mimebundle_()
        assert bundle["image/png"]
        assert metadata["image/png"]["alt"] in play.text.value
        play.guesses[1].click()


def test_the_bagnets_of_the_zoo_play_critters():
    game = BeTheBagNet(mb.critters("test", 8), seed=0)
    assert sorted(game.models) == [5, 9, 17]
    game.guesses[0].click()
    assert "BagNet-9" in game.view.value


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        (None, {}, "no BagNet came with minibag"),
        ({}, {}, "no BagNet came"),
        ({5: Colours(8)}, {}, "patch size 5, got 8"),
        ({8: Colours(8)}, {"rounds": 0}, "images and rounds, got 30 and 0"),
    ],
)
def test_refuses_what_cannot_be_played(images, models, options, message):
    with pytest.raises(ValueError, match=message):
        BeTheBagNet(images, models, **options)


def test_a_model_that_diverged_does_not_play(images):
    class Diverged(Colours):
        def evidence(self, images):
            return super().evidence(images) * np.nan

    with pytest.raises(ValueError, match="not finite"):
        BeTheBagNet(images, {8: Diverged(8)})


def test_refuses_models_of_other_classes(images):
    others = ImageSet(images.images, images.labels, ("cat", "dog", "cow"))
    with pytest.raises(ValueError, match="unknown: cow; missing: emu"):
        BeTheBagNet(others, {8: Colours(8)})


def answer(q=8, patches=2, classes=3, truth="cat", guess="cat", bagnet="dog", **wrong):
    values = (1, q, patches, classes, truth, guess, int(guess == truth), bagnet,
              int(bagnet == truth))  # fmt: skip
    return {**dict(zip(COLUMNS, values, strict=True)), **wrong}


def write(path, rows, columns=COLUMNS):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def test_pooled_counts_are_those_of_a_loop(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        answer(int(rng.choice([4, 8])), int(rng.integers(1, 9)), int(rng.choice([3, 10])),
               *rng.choice(CLASSES, 3).tolist())
        for _ in range(60)
    ]  # fmt: skip
    for n, part in enumerate(np.array_split(np.arange(60), 4)):
        write(tmp_path / f"be-the-bagnet-{n:08x}.csv", [rows[i] for i in part])
    (tmp_path / "notes.txt").write_text("not a table")
    found = tally(tmp_path)
    assert [t.q for t in found] == [4, 8]
    for t in found:
        mine = [row for row in rows if row["q"] == t.q]
        assert t.n == len(mine)
        assert t.right == sum(row["guess"] == row["class"] for row in mine)
        assert t.bagnet_right == sum(row["bagnet"] == row["class"] for row in mine)
        assert t.patches == pytest.approx(sum(row["patches"] for row in mine) / len(mine))
        assert t.chance == pytest.approx(sum(1 / row["classes"] for row in mine) / len(mine))


def test_the_figure_of_a_class_draws_the_counts_with_wilson_intervals(tmp_path):
    write(tmp_path / "a.csv", [answer(), answer(guess="dog"), answer(guess="emu"), answer(q=4)])
    (ax,) = pool(tmp_path).axes
    assert [label.get_text() for label in ax.get_xticklabels()] == [
        "4\nn = 1\n2.0 patches each",
        "8\nn = 3\n2.0 patches each",
    ]
    people, machine = ax.containers
    np.testing.assert_allclose(people.lines[0].get_ydata(), [1, 1 / 3])
    np.testing.assert_allclose(machine.lines[0].get_ydata(), [0, 0])
    drawn = [segment[:, 1] for segment in people.lines[2][0].get_segments()]
    np.testing.assert_allclose(drawn, [wilson_interval(1, 1), wilson_interval(1, 3)])


def test_a_played_game_can_be_pooled(play, tmp_path):
    for _ in range(3):
        play.guesses[0].click()
        play.next.click()
    play.save.click()
    (all_at_8,) = tally(tmp_path / "answers")
    assert (all_at_8.n, all_at_8.patches, all_at_8.chance) == (3, 1, pytest.approx(1 / 3))
    assert (all_at_8.right, all_at_8.bagnet_right) == play.right
    assert human_accuracy([all_at_8]).axes[0].get_title()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,height\nada,170\n", "expected a line round,q"),
        ("", "expected a line round,q"),
        (",".join(COLUMNS) + "\n", "expected a line .* and answers below"),
        (",".join(COLUMNS) + "\n1,8\n", "shorter"),
        (",".join(COLUMNS) + "\n1,eight,1,3,cat,cat,1,cat,1\n", "eight"),
        (",".join(COLUMNS) + "\n1,8,1,3,cat,dog,1,cat,1\n", "contradicts itself: 1,8"),
        (",".join(COLUMNS) + "\n1,8,0,3,cat,cat,1,cat,1\n", "contradicts itself"),
        (",".join(COLUMNS) + "\n1,8,1,1,cat,cat,1,cat,1\n", "contradicts itself"),
        (b"\xff\xfe\x00", "utf-8"),
    ],
)
def test_names_a_file_that_holds_no_answers(tmp_path, content, message):
    write(tmp_path / "a.csv", [answer()])
    bad = tmp_path / "foreign.csv"
    bad.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=f"foreign.csv holds no answers.*{message}"):
        tally(tmp_path)


def test_class_names_are_text_to_a_spreadsheet_and_counted_all_the_same(images, tmp_path):
    names = ("=1+1", "@cat", "\udcff")
    strange = ImageSet(images.images, images.labels, names)
    bag, truths = Colours(4), []
    bag.classes = names
    play = BeTheBagNet(strange, {4: bag}, folder=tmp_path, seed=1)
    for _ in range(12):
        truths.append(play.round.truth)
        play.guess(0)
        play.next_picture()
    play.save_answers()
    _, rows = read(tmp_path)
    written = ["'=1+1", "'@cat", "\\udcff"]
    assert [row["class"] for row in rows] == [written[truth] for truth in truths]
    assert {row["guess"] for row in rows} == {"'=1+1"}
    assert tally(tmp_path)[0].right == truths.count(0) > 0


def test_an_empty_folder_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="save answers of BeTheBagNet there"):
        pool(tmp_path)
