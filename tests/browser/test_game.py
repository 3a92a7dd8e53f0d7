"""Be the BagNet, played in lesson 10 with what the keys and the page alone give."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

import minibag as mb
from minibag.figures.game import crop, framed
from minibag.widgets.answers import COLUMNS
from tests.browser.cases import GAME, load
from tests.browser.lab import Area, eventually

ROUNDS = 10


@dataclass
class Player:
    """Plays from the page, and knows from the pixels of the patches which image it is."""

    area: Area

    def __post_init__(self) -> None:
        self.images, self.model = mb.critters("test", 400, seed=10), load("critters-bagnet9")
        self.grid = self.model.grid((64, 64))
        self.places: dict[bytes, list[tuple[int, tuple[int, int]]]] = defaultdict(list)
        for n, image in enumerate(self.images.images):
            for cell in np.ndindex(self.grid.shape):
                self.places[crop(image, self.grid, cell).tobytes()].append((n, cell))

    def press(self, button: str, then: str = "") -> None:
        """Press a button with the keyboard alone; wait for the one that the game leads to then."""
        self.area.tab_to(button)
        self.area.page.keyboard.press("Space")
        if then:
            expect(self.area.at.get_by_role("button", name=then, exact=True)).to_be_focused()

    def says(self, text: str) -> None:
        eventually(self.area.page, lambda: self._says(text))

    def _says(self, text: str) -> None:
        assert text in self.area.says.inner_text()

    def patches(self, k: int) -> tuple[int, list[tuple[int, int]]]:
        """Return the one image that has all patches shown, and where they lie in it."""
        self.says(f"You see {k} patch")
        seen = [dict(self.places[patch.tobytes()]) for patch in self.area.pictures()]
        assert len(seen) == k
        (n,) = set.intersection(*map(set, seen))
        return n, [places[n] for places in seen]

    def outcome(
        self, n: int, cells: list[tuple[int, int]], guess: int
    ) -> tuple[str, int, str, int]:
        """Check the page after a guess; return true class, right, BagNet's answer, BagNet right."""
        rows, columns = np.transpose(cells)
        said = self.model.evidence(self.images.images[n : n + 1])[0, :, rows, columns].mean(0)
        truth, bag = int(self.images.labels[n]), int(said.argmax())
        names, verdict = self.images.classes, ("wrong", "right")
        self.says(f"It is: {names[truth]}. ")
        self.says(f"you said {names[guess]}, {verdict[guess == truth]}; ")
        self.says(f"BagNet-9 said {names[bag]}, {verdict[bag == truth]}.")
        whole = framed(self.images.images[n], self.grid, cells)
        np.testing.assert_array_equal(self.area.pictures()[0], whole)
        return names[truth], int(guess == truth), names[bag], int(bag == truth)


@pytest.fixture(scope="module")
def player(lesson) -> Player:
    return Player(Area(lesson(GAME.notebook).page, GAME.mark))


def test_a_game_played_by_keyboard_is_saved_as_it_was_played(player: Player, course: Path):
    classes, played = player.images.classes, []
    player.area.at.get_by_role("combobox").focus()
    for number in range(1, ROUNDS + 1):
        k = 1 + number % 3
        for _ in range(1, k):
            player.press("Show one more patch")
        n, cells = player.patches(k)
        guess = number % len(classes)
        player.press(classes[guess], then="Next picture" if number < ROUNDS else "Save my answers")
        truth, right, bag, bag_right = player.outcome(n, cells, guess)
        answer = (number, 9, k, len(classes), truth, classes[guess], right, bag, bag_right)
        played.append([str(value) for value in answer])
        if number < ROUNDS:
            player.press("Next picture", then="Show one more patch")
    player.press("Save my answers")
    player.says(f"Saved {ROUNDS} answers as answers/")
    (file,) = (course / "my" / "answers").glob("*.csv")
    assert list(csv.reader(file.open())) == [list(COLUMNS), *played]


def test_the_game_goes_on_by_mouse(player: Player):
    player.area.click("Play on")
    player.patches(1)
    player.area.click("Show one more patch")
    n, cells = player.patches(2)
    player.area.click(player.images.classes[3])
    player.outcome(n, cells, 3)
