"""``fashion-ops contact-sheet`` as typed: a page with images of every category."""

import cv2
import numpy as np
from typer.testing import CliRunner

from fashion_ops.cli import app
from fashion_ops.reports.contact_sheet import draw_landmarks
from fashion_ops.taxonomy import CATEGORIES


def test_a_page_shows_every_category(tmp_path):
    """Two blocks of seven rows: in each row, of the last only one, the image is painted."""
    path = tmp_path / "new" / "page.png"
    command = ["contact-sheet", "--out", str(path), "--columns", "1", "--size", "48"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0 and "page.png: 1 images of each category" in done.output
    page = cv2.imread(str(path))
    assert page is not None and page.shape == (7 * 80, 2 * 78, 3)
    for number in range(len(CATEGORIES)):
        top, left = 80 * (number % 7) + 26, 78 * (number // 7)
        assert page[top : top + 48, left + 6 : left + 54].std() > 10, CATEGORIES[number].name
    assert (page[6 * 80 :, 78:] == 255).all()  # categories are 13


def test_a_page_of_the_second_edition_ends_with_images_without_garments(tmp_path):
    path = tmp_path / "page.png"
    command = ["contact-sheet", "--out", str(path), "--columns", "1", "--size", "48", "--edition", "2"]
    assert CliRunner().invoke(app, command).exit_code == 0
    page = cv2.imread(str(path))
    assert page is not None and page.shape == (7 * 80, 2 * 78, 3)
    for number in range(len(CATEGORIES) + 1):
        top, left = 80 * (number % 7) + 26, 78 * (number // 7)
        middle = page[top + 12 : top + 36, left + 18 : left + 42]  # images need not be square
        assert middle.std() > 3 and (middle < 250).any(), number


def test_photos_follow_the_drawings_to_compare(tmp_path):
    """Four rows of photos, spread over the folder: two photos, the red one first."""
    (tmp_path / "photos").mkdir()
    for name, channel in (("a.jpg", 2), ("b.jpg", 1)):
        image = np.full((60, 90, 3), 20, np.uint8)
        image[..., channel] = 230
        cv2.imwrite(str(tmp_path / "photos" / name), image)
    path = tmp_path / "page.png"
    command = ["contact-sheet", "--out", str(path), "--columns", "1", "--size", "32"]
    done = CliRunner().invoke(app, [*command, "--beside", str(tmp_path / "photos")])
    assert done.exit_code == 0, done.output
    page = cv2.imread(str(path))
    assert page is not None
    rows = -(-(len(CATEGORIES) + 4) // 2)
    assert page.shape[0] == rows * (32 + 26 + 6)
    colors = []
    for number in range(len(CATEGORIES), len(CATEGORIES) + 4):
        top, left = (number % rows) * 64 + 26, (number // rows) * (page.shape[1] // 2)
        colors.append(int(page[top + 16, left + 6 + 16].argmax()))
    assert colors == [2, 2, 2, 1]


def test_landmarks_are_drawn_where_they_are_labelled():
    """A skirt: the middle of its waist visible, the left end occluded, the rest not labelled."""
    info = CATEGORIES[8]
    landmarks = np.zeros((info.num_landmarks, 3), int)
    landmarks[info.landmark_names.index("waist_center")] = 10, 20, 2
    landmarks[info.landmark_names.index("left_waist")] = 40, 20, 1
    item = {"category_id": 9, "landmarks": landmarks.ravel().tolist()}
    black = np.zeros((64, 64, 3), np.uint8)
    drawn = draw_landmarks(black, item, 2.0)
    assert drawn.shape == (128, 128, 3) and not black.any()
    assert drawn[41, 21].tolist() == [60, 180, 60]  # green
    assert drawn[41, 81].tolist() == [255, 255, 255]  # hollow
    drawn[35:48, 15:28] = drawn[35:48, 75:88] = 0
    assert not drawn.any()


def test_a_path_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    for name in ("page.xyz", "file/page.png", "folder.png"):
        command = ["contact-sheet", "--out", str(tmp_path / name), "--columns", "1", "--size", "32"]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 2 and name in done.output.replace("\n", ""), done.exception
