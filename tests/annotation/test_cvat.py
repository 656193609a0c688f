"""CVAT's XML as its manual shows it: images, videos, hidden points, groups, and broken files."""

import numpy as np
import pytest
from annotated import HEIGHT, WIDTH, put_photo

from fashion_ops.annotation import cvat, formats
from fashion_ops.annotation.cvat_labels import labels_json
from fashion_ops.annotation.files import Export
from fashion_ops.annotation.photos import AnnotatedPhoto
from fashion_ops.catalog.sources.base import parse_json
from fashion_ops.taxonomy import CATEGORIES, category

SKIRT = category("skirt")
# What "CVAT for images 1.1" holds: a task, its labels, and a skeleton of eight points.
HEAD = f"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>4</id>
      <name>skirts</name>
      <size>2</size>
      <mode>MODE</mode>
      <overlap>0</overlap>
      <bugtracker></bugtracker>
      <created>2026-09-25 11:34:24.617558+00:00</created>
      <labels>
        <label><name>skirt</name><color>#5c5eba</color><type>skeleton</type><attributes></attributes>
          <svg>&lt;circle cx="22" cy="25" data-type="element node" data-label-name="1"/&gt;</svg>
        </label>
        <label><name>1</name><color>#d12345</color><type>points</type><parent>skirt</parent></label>
      </labels>
      <original_size><width>{WIDTH}</width><height>{HEIGHT}</height></original_size>
    </task>
    <dumped>2026-09-25 11:38:28.799808+00:00</dumped>
  </meta>
"""


def skeleton(frame="", label="skirt", hidden=(), covered=(), names=None, **attributes):
    """A skeleton whose point i lies at (10 + i, 20 + 2 i)."""
    names = names or [str(i + 1) for i in range(8)]
    points = "".join(
        f'<points label="{name}" source="manual" outside="{int(i in hidden)}" occluded='
        f'"{int(i in covered)}" points="{10 + i}.00,{20 + 2 * i}.00"></points>'
        for i, name in enumerate(names)
    )
    facts = "".join(f' {k}="{v}"' for k, v in attributes.items())
    of_label = f' label="{label}"' if label else ""
    return f'<skeleton{of_label} source="manual" z_order="0"{frame}{facts}>{points}</skeleton>'


def task(tmp_path, body, mode="annotation", name="annotations.xml"):
    (tmp_path / name).write_text(f"{HEAD.replace('MODE', mode)}{body}</annotations>\n", "utf-8")
    return Export(tmp_path)


def image(name, body, width=WIDTH, number=0):
    return f'<image id="{number}" name="{name}" width="{width}" height="{HEIGHT}">{body}</image>'


def read(export):
    found = list(cvat.read(export))
    photos = [p for p in found if isinstance(p, AnnotatedPhoto)]
    return photos, [p for p in found if not isinstance(p, AnnotatedPhoto)]


def test_a_task_of_images_gives_visibilities_boxes_of_the_group_and_negatives(tmp_path):
    put_photo(tmp_path / "images" / "größe.jpg")
    put_photo(tmp_path / "images" / "sub" / "empty.jpg", 1)
    box = '<box label="anything" occluded="0" xtl="5" ytl="6.5" xbr="60" ybr="70" group_id="3"></box>'
    outline = (
        '<polygon label="x" occluded="0" points="1.00,2.00;3.00,4.00;5.00,1.00" group_id="3"></polygon>'
    )
    stray = '<box label="person" occluded="0" xtl="0" ytl="0" xbr="9" ybr="9"></box>'
    own = skeleton(hidden=(7,), covered=(0, 2), group_id="3")
    body = image("größe.jpg", own + box + outline + stray) + image("sub/empty.jpg", "", number=1)
    photos, notes = read(task(tmp_path, body))
    (item,) = photos[0].labels.items
    points = np.reshape(item.landmarks, (-1, 3))
    assert points[:, 2].tolist() == [1, 2, 1, 2, 2, 2, 2, 0]
    assert points[1].tolist() == [11, 22, 2] and item.box == [5, 6.5, 60, 70]
    assert item.polygons == [[1, 2, 3, 4, 5, 1]]
    assert photos[1].labels.items == [] and photos[1].name == "sub/empty.jpg"
    assert [n.value for n in notes] == [
        "1 shapes box are in no group with one skeleton and are not used"
    ]


def test_a_skeleton_without_a_rectangle_has_the_box_around_its_labelled_points(tmp_path):
    put_photo(tmp_path / "a.jpg")
    photos, notes = read(task(tmp_path, image("a.jpg", skeleton(hidden=(0, 7)))))
    assert photos[0].labels.items[0].box == [11, 22, 16, 32]
    assert notes[0].value.startswith("1 skeletons have no rectangle")


def test_points_may_be_in_any_order_and_have_our_names(tmp_path):
    put_photo(tmp_path / "images" / "a.jpg")
    names = list(reversed(SKIRT.landmark_names))
    photos, _ = read(task(tmp_path, image("a.jpg", skeleton(names=names))))
    points = np.reshape(photos[0].labels.items[0].landmarks, (-1, 3))
    assert points[:, 0].tolist() == [17, 16, 15, 14, 13, 12, 11, 10]


def test_tracks_of_a_video_are_garments_on_the_frames_where_they_are_not_outside(tmp_path):
    for frame in (0, 1, 4):
        put_photo(tmp_path / "images" / f"frame_{frame:06d}.PNG", frame)
    shapes = [
        skeleton(' frame="0" keyframe="1"', label=""),
        skeleton(' frame="1" keyframe="0"', label="", covered=(3,)),
        skeleton(' frame="4" keyframe="1" outside="1"', label=""),
    ]
    other = skeleton(' frame="1" keyframe="1" outside="0"', label="")
    tracks = f'<track id="0" label="skirt" source="manual">{"".join(shapes)}</track>'
    tracks += f'<track id="1" label="skirt" source="manual">{other}</track>'
    photos, _ = read(task(tmp_path, tracks, "interpolation"))
    assert [p.name for p in photos] == [f"frame_{n:06d}.PNG" for n in (0, 1, 4)]
    assert [len(p.labels.items) for p in photos] == [1, 2, 0]
    assert photos[1].labels.items[0].landmarks[11] == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (image("../a.jpg", skeleton()), "path leads outside the data set: ../a.jpg"),
        (image("/etc/passwd", skeleton()), "path leads outside the data set: /etc/passwd"),
        (image("b.jpg", skeleton()), "image missing: b.jpg: not in"),
        (image("a.jpg", skeleton(), width=97), "size disagrees with labels: the photo is 96x128"),
        (image("a.jpg", skeleton(), width="many"), "field missing or wrong: width is many"),
        (
            image("a.jpg", skeleton(label="jeans")),
            "unknown category: skeleton 1 jeans: 'jeans'; rename",
        ),
        (
            image("a.jpg", skeleton(names=["9"])),
            "unknown landmark: skeleton 1 skirt: '9'; name it 1..8",
        ),
        (image("a.jpg", skeleton(names=["1", "1"])), "the point 1 stands twice; delete one"),
        (image("a.jpg", skeleton(hidden=range(8))), "no rectangle in its group and no labelled point"),
        (image("a.jpg", skeleton().replace("10.00,20.00", "10;20")), "expected x,y;x,y"),
        (image("a.jpg", skeleton().replace("10.00", "nan")), "coordinate not finite"),
        (image("a.jpg", skeleton().replace('outside="0"', 'outside="2"')), "outside is 2"),
        (
            image(
                "a.jpg",
                skeleton().replace("</skeleton>", '<attribute name="style">x</attribute></skeleton>'),
            ),
            "style is 'x'; expected a whole number",
        ),
        ("", "not of this format: annotations.xml: no image and no track; export as CVAT for images"),
        ("<image>", "not of this format: annotations.xml: mismatched tag"),
    ],
)
def test_what_is_wrong_is_one_line_with_file_record_value_and_mend(tmp_path, body, said):
    put_photo(tmp_path / "a.jpg")
    task(tmp_path, body)
    with pytest.raises(formats.LabelError) as caught:
        formats.import_labels("cvat", tmp_path, tmp_path.parent / f"{tmp_path.name}-batch")
    assert said in str(caught.value) and "annotations.xml" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path.parent / f"{tmp_path.name}-batch").exists()


def test_entities_and_other_xml_are_refused(tmp_path):
    bomb = '<!DOCTYPE a [<!ENTITY x "xxxxxxxx"><!ENTITY y "&x;&x;&x;">]><annotations>&y;</annotations>'
    for text, said in ((bomb, "DTDForbidden"), ("<svg></svg>", "begins with svg, not annotations")):
        (tmp_path / "annotations.xml").write_text(text)
        with pytest.raises(formats.LabelError, match=said):
            formats.import_labels("cvat", tmp_path, tmp_path / "batch")


def test_labels_json_has_a_skeleton_for_each_category_whose_svg_names_all_landmarks():
    labels = {label["name"]: label for label in parse_json(labels_json())}
    for c in CATEGORIES:
        own = labels[c.name]
        assert own["type"] == "skeleton"
        assert [s["name"] for s in own["sublabels"]] == list(c.landmark_names)
        assert own["svg"].count("<circle") == c.num_landmarks
        assert own["svg"].count("<line") == len(c.links)
        assert all(f'data-label-name="{name}"' in own["svg"] for name in c.landmark_names)
