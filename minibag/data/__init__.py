"""Where images come from: critters, photos, Imagenette and any image folder. No torch here."""

from minibag.data.critter_parts import PARTS
from minibag.data.critter_scene import PART_GAP, PART_WIDTH
from minibag.data.critters import CritterSet, critters
from minibag.data.decode import UnreadableImageError
from minibag.data.folder import image_folder, stream_folder
from minibag.data.imagenette import imagenette
from minibag.data.imageset import ImageSet
from minibag.data.photos import photos

__all__ = [
    "PARTS",
    "PART_GAP",
    "PART_WIDTH",
    "CritterSet",
    "ImageSet",
    "UnreadableImageError",
    "critters",
    "image_folder",
    "imagenette",
    "photos",
    "stream_folder",
]
