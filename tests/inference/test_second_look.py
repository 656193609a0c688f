"""A second look: garments that are small in a photo are found again in crops around them."""

from types import SimpleNamespace

import numpy as np

from fashion_ops.inference.predictor import Garment
from fashion_ops.inference.second_look import find_twice, first_look
from fashion_ops.methods.centernet.deploy.photo import Photo
from fashion_ops.taxonomy import category

WHITE = slice(100, 160), slice(300, 340)  # rows and columns of the garment


def photo_of(height: int = 400, width: int = 600, **settings) -> Photo:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[WHITE] = 255
    return Photo(
        pixels, (width * settings.get("factor", 1), height * settings.get("factor", 1)), **settings
    )


def find(photos, min_score):
    """Finds what is white as a skirt; its score is the share of the photo's height that it takes."""
    found = []
    for photo in photos:
        rows, columns = np.nonzero(photo.pixels[..., 0])
        box = np.array([columns.min(), rows.min(), columns.max(), rows.max()], np.float32)
        score = (box[3] - box[1]) / photo.pixels.shape[0]
        points = np.tile([*box[:2], 1.0], (category("skirt").num_landmarks, 1))
        detection = SimpleNamespace(box=box, score=float(score), category_id=9)
        garment = Garment.of(detection, points, photo)
        found.append([garment] if score >= min_score else [])
    return found


def test_a_small_garment_is_found_in_its_crop_where_it_lies_in_the_photo() -> None:
    photo = photo_of()
    assert find([photo], 0.5) == [[]]
    ((garment,),) = find_twice(find, [photo], 0.5)
    assert garment.score > 0.8
    assert garment.box == (300.0, 100.0, 339.0, 159.0)
    assert garment.landmarks["left_hem"][:2] == (300.0, 100.0)


def test_the_first_look_may_be_another_finder() -> None:
    looks = []

    def look(photos, min_score):
        looks.append(len(photos))
        return find(photos, min_score)

    photos = [photo_of(), photo_of()]
    assert find_twice(find, photos, 0.5, look) == find_twice(find, photos, 0.5)
    assert looks == [2]
    assert first_look(SimpleNamespace(predict_many=find)) is find
    assert first_look(SimpleNamespace(predict_many=find, detect_many=look)) is look


def test_a_photo_of_reduced_size_gives_pixels_of_the_whole_one() -> None:
    ((garment,),) = find_twice(find, [photo_of(factor=2, shift=(0.5, 0.5))], 0.5)
    assert garment.box == (600.5, 200.5, 678.5, 318.5)


def test_photos_keep_their_order_and_one_without_a_garment_has_none() -> None:
    def find_some(photos, min_score):
        return [find([p], min_score)[0] if p.pixels.any() else [] for p in photos]

    empty = Photo(np.zeros((90, 90, 3), np.uint8), (90, 90))
    found = find_twice(find_some, [empty, photo_of(), empty, photo_of()], 0.5)
    assert [len(garments) for garments in found] == [0, 1, 0, 1]
