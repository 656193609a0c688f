"""Writing synthetic alignment data in the layout and with the conventions of each data set."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.io import savemat

from fashion_ops.synthetic.alignment import files
from fashion_ops.synthetic.alignment.photos import Photo
from fashion_ops.synthetic.alignment.traits import ATTRIBUTES
from fashion_ops.taxonomy import CATEGORIES, category

Splits = Mapping[str, Sequence[Photo]]  # split -> photos
SHOP_PHOTOS = 3  # the first photos of each item; the others are consumers'
NAMES = ("fld", "category_attribute", "in_shop", "consumer_to_shop", "lsp")
_HEADER = b"MATLAB 5.0 MAT-file".ljust(116)
_GAP = 97  # every 97th id is missing, as some ids are in FLD


def _with_split(splits: Splits) -> list[tuple[str, Photo]]:
    return [(split, photo) for split, photos in splits.items() for photo in photos]


def write_fld(root: Path, splits: Splits) -> None:
    """Write FLD: numbered images with gaps, a variation type, joints."""
    photos = _with_split(splits)
    ids = [i for i in range(1, 2 * len(photos) + _GAP) if i % _GAP][: len(photos)]
    names = [f"img/img_{i:08d}.jpg" for i in ids]
    named = [(name, photo) for name, (_, photo) in zip(names, photos, strict=True)]
    _lists(root, named, variation=True, padded=False)
    joints = [files.joint_row(name, photo) for name, photo in named]
    files.write_list(root / "Anno/list_joints.txt", files.joint_columns(), joints)
    _partition(root, [f"{n}  {split}" for n, (split, _) in zip(names, photos, strict=True)])


def write_category_attribute(root: Path, splits: Splits) -> None:
    """Write Category & Attribute: no variation type, padded integers, categories, attributes."""
    photos = _with_split(splits)
    folders = [c.name.title() for c in CATEGORIES]
    names = [
        f"img/{folders[photo.category_id - 1]}/img_{i:08d}.jpg"
        for i, (_, photo) in enumerate(photos, 1)
    ]
    named = [(name, photo) for name, (_, photo) in zip(names, photos, strict=True)]
    _lists(root, named, variation=False, padded=True)
    types = {photo.category_id: photo.clothes_type for _, photo in named}
    cloth = [f"{folders[c.id - 1]}  {types.get(c.id, 1)}" for c in CATEGORIES]
    files.write_list(root / "Anno/list_category_cloth.txt", "category_name category_type", cloth)
    labels = [f"{name}  {photo.category_id}" for name, photo in named]
    files.write_list(root / "Anno/list_category_img.txt", "image_name category_label", labels)
    _attribute_names(root / "Anno")
    values = [files.value_row(name, photo.attributes) for name, photo in named]
    files.write_list(root / "Anno/list_attr_img.txt", "image_name attribute_labels", values)
    _partition(root, [f"{n}  {split}" for n, (split, _) in zip(names, photos, strict=True)])


def write_in_shop(root: Path, items: Sequence[Sequence[Photo]]) -> None:
    """Write In-shop: the shop's photos of each item.

    Items of the train split have no photos in query and gallery.
    """
    named: list[tuple[str, Photo]] = []
    partition = []
    for number, photos in enumerate(items, 1):
        item, folder = f"id_{number:08d}", category(photos[0].category_id).name.title()
        for i, photo in enumerate(photos[:SHOP_PHOTOS], 1):
            name = f"img/{folder}/{item}/{i:02d}_1_{photo.pose}.jpg"
            status = "train" if number <= 0.6 * len(items) else "query" if i == 1 else "gallery"
            named.append((name, photo))
            partition.append(f"{name}  {item}  {status}")
    files.write_images(root / "Img", named)
    rows = [files.landmark_row(name, photo, variation=True) for name, photo in named]
    files.write_list(root / "Anno/list_landmarks_inshop.txt", files.landmark_columns(True), rows)
    boxes = [files.box_row(name, photo, photo.clothes_type, photo.pose) for name, photo in named]
    columns = f"image_name clothes_type pose_type {files.BOX_COLUMNS}"
    files.write_list(root / "Anno/list_bbox_inshop.txt", columns, boxes)
    _items(root, root / "Anno/attributes", "inshop", items)
    _partition(root, partition, "image_name item_id evaluation_status")


def write_consumer_to_shop(root: Path, items: Sequence[Sequence[Photo]]) -> None:
    """Write Consumer-to-shop: pairs of each consumer photo with each shop photo of the same item."""
    named: list[tuple[str, Photo]] = []
    boxes, partition = [], []
    for number, photos in enumerate(items, 1):
        item, folder = f"id_{number:08d}", category(photos[0].category_id).name.title()
        share = number / len(items)
        status = "train" if share <= 0.6 else "val" if share <= 0.75 else "test"
        names = []
        for i, photo in enumerate(photos):
            source, word = (
                (1, "shop") if i < SHOP_PHOTOS else (2, "comsumer")
            )  # misspelt as in the release
            names.append(f"img/{folder}/{item}/{word}_{i + 1:02d}.jpg")
            named.append((names[-1], photo))
            boxes.append(files.box_row(names[-1], photo, photo.clothes_type, source))
        partition += [
            f"{consumer}  {shop}  {item}  {status}"
            for consumer in names[SHOP_PHOTOS:]
            for shop in names[:SHOP_PHOTOS]
        ]
    files.write_images(root / "Img", named)
    rows = [files.landmark_row(name, photo, variation=True) for name, photo in named]
    files.write_list(root / "Anno/list_landmarks_consumer2shop.txt", files.landmark_columns(True), rows)
    columns = f"image_name clothes_type source_type {files.BOX_COLUMNS}"
    files.write_list(root / "Anno/list_bbox_consumer2shop.txt", columns, boxes)
    _items(root, root / "Anno", "consumer2shop", items)
    _partition(root, partition, "image_pair_name_1 image_pair_name_2 item_id evaluation_status")


def write_lsp(root: Path, people: Sequence[tuple[bytes, np.ndarray]]) -> None:
    """Write LSP: numbered images and ``joints.mat``, person-centric.

    Args:
        root: created.
        people: JPEG and joints (14, 3) of each person.
    """
    (root / "images").mkdir(parents=True)
    for i, (jpeg, _) in enumerate(people, 1):
        (root / f"images/im{i:04d}.jpg").write_bytes(jpeg)
    joints = np.stack([rows.T for _, rows in people], axis=2) if people else np.zeros((3, 14, 0))
    savemat(root / "joints.mat", {"joints": joints.astype(np.float64)}, do_compression=True)
    _without_date(root / "joints.mat")


def is_synthetic_lsp(root: Path) -> bool:
    """Whether ``write_lsp`` wrote this data set: the header of its joints has no date."""
    path = root / "joints.mat"
    return path.is_file() and path.read_bytes()[: len(_HEADER)] == _HEADER


def _without_date(path: Path) -> None:
    """Remove the date from the header of a MAT file, so that its bytes depend on its content only."""
    data = bytearray(path.read_bytes())
    data[: len(_HEADER)] = _HEADER
    path.write_bytes(data)


def _lists(root: Path, named: list[tuple[str, Photo]], *, variation: bool, padded: bool) -> None:
    files.write_images(root / "Img", named)
    rows = [files.landmark_row(n, p, variation=variation, padded=padded) for n, p in named]
    columns = files.landmark_columns(variation)
    files.write_list(root / "Anno/list_landmarks.txt", columns, rows)
    boxes = [files.box_row(name, photo, padded=padded) for name, photo in named]
    files.write_list(root / "Anno/list_bbox.txt", f"image_name {files.BOX_COLUMNS}", boxes)


def _partition(root: Path, rows: list[str], columns: str = "image_name evaluation_status") -> None:
    files.write_list(root / "Eval/list_eval_partition.txt", columns, rows)


def _attribute_names(folder: Path) -> None:
    rows = [f"{name}  {kind}" for name, kind in ATTRIBUTES]
    files.write_list(folder / "list_attr_cloth.txt", "attribute_name attribute_type", rows)


def _items(root: Path, folder: Path, benchmark: str, items: Sequence[Sequence[Photo]]) -> None:
    names = [f"id_{number:08d}" for number in range(1, len(items) + 1)]
    files.write_list(root / f"Anno/list_item_{benchmark}.txt", None, names)
    _attribute_names(folder)
    rows = [files.value_row(n, photos[0].attributes) for n, photos in zip(names, items, strict=True)]
    files.write_list(folder / "list_attr_items.txt", "item_id attribute_labels", rows)
