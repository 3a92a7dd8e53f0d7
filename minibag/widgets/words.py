"""The word explorer of lesson 03: pick a word and an image, see where the word fires."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from minibag.bag import PatchGrid
from minibag.data import ImageSet
from minibag.figures.words import Wall, explore_word, word_use
from minibag.widgets.base import Redrawn


class WordExplorer(Redrawn):
    """Sliders for the word and the image; buttons step through the words that fire in the image.

    Parameters
    ----------
    images : ImageSet of N images
    word_maps : ints (N, h, w), the word of every patch
    grid : where the patches lie
    wall : what every word looks like, from `minibag.figures.words.wall_of_words`
    image, word : the first picture

    Raises
    ------
    ValueError
        If maps and images differ in number, or a word is not on the wall.
    """

    def __init__(
        self,
        images: ImageSet,
        word_maps: NDArray[np.integer],
        grid: PatchGrid,
        wall: Wall,
        *,
        image: int = 0,
        word: int = 0,
    ) -> None:
        n_words = len(wall.mean)
        if len(word_maps) != len(images) or word_maps.max() >= n_words:
            raise ValueError(
                f"{len(images)} images and a wall of {n_words} words do not go with "
                f"{len(word_maps)} word maps whose largest word is {word_maps.max()}"
            )
        self.images, self.word_maps, self.grid, self.wall = images, word_maps, grid, wall
        self.has_word = np.stack(
            [np.bincount(words.ravel(), minlength=n_words) > 0 for words in word_maps]
        )
        super().__init__(
            self.picture_of,
            {
                "image": widgets.IntSlider(image, 0, len(images) - 1, description="Image"),
                "word": widgets.IntSlider(word, 0, n_words - 1, description="Word"),
            },
        )
        self.previous = self._button("Previous word here", "arrow-left", -1)
        self.next = self._button("Next word here", "arrow-right", 1)
        steps = widgets.HBox([self.previous, self.next])
        self.children = (self.look, *self.controls.values(), steps, self.view, self.text)

    def _button(self, label: str, icon: str, direction: int) -> widgets.Button:
        tip = f"{label.split()[0]} word that fires in this image"
        button = widgets.Button(description=label, icon=icon, tooltip=tip, layout={"width": "auto"})
        button.on_click(lambda _: self.attempt(lambda: self.step(direction)))
        return button

    def step(self, direction: int) -> None:
        """Go to the next (1) or previous (-1) word that fires in the image, round the end."""
        here = np.flatnonzero(self.has_word[self.controls["image"].value])
        word: Any = self.controls["word"]
        if direction > 0:
            word.value = int(min(here[here > word.value], default=here[0]))
        else:
            word.value = int(max(here[here < word.value], default=here[-1]))

    def picture_of(self, image: int, word: int) -> tuple[Figure, str]:
        """Return the picture of a word in an image, and the same in words."""
        figure = explore_word(
            self.images.images, self.word_maps, self.grid, self.wall, image=image, word=word
        )
        label = self.images.classes[self.images.labels[image]]
        use = word_use(self.word_maps, image, word)
        return figure, f"Image {image} ({label}), word {word}: {use}."
