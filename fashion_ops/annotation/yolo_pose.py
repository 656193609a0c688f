"""YOLO-pose as Ultralytics reads it: data.yaml, images/SPLIT, labels/SPLIT with one line a garment.

After the page "Pose Estimation Datasets Overview" of Ultralytics' documentation: class, box centre and
size, then x, y and visibility of each key point, as shares of the photo's sides. All classes have one
number of key points and one mirror order (``kpt_shape``, ``flip_idx``). So a category's landmarks go
into 41 slots: up to three that are their own mirror, and 19 pairs; the rest is padding. landmarks.csv
says which landmark of which class is in which slot. A photo without a label file shows no garment; a
label file is of one photo.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path

import yaml
from pydantic import BaseModel, Field

from fashion_ops.annotation.exported import short_name
from fashion_ops.annotation.files import Export, file_names, photos_below
from fashion_ops.annotation.losses import Feature
from fashion_ops.annotation.photos import (
    AnnotatedPhoto,
    Read,
    category_of,
    find,
    landmark_index,
    parsed,
    pixels,
    points_of,
    told,
    write_photo,
)
from fashion_ops.annotation.upright import as_labelled
from fashion_ops.catalog.quarantine import Reason, Refusal, Refused
from fashion_ops.catalog.sources.base import PHOTO_SUFFIXES, Item, Labels, inside, is_junk
from fashion_ops.errors.reading import readable
from fashion_ops.taxonomy import CATEGORIES, Category

LOST = frozenset(Feature)
TABLE = "landmarks.csv"
_CLASSES = "classes.txt"  # some tools write it among the labels
_KEYS = {"train": "train", "validation": "val", "test": "test"}  # split -> key of data.yaml
_COLUMNS = ("class", "category", "slot", "number", "landmark")


class _Data(BaseModel):
    names: dict[int, str] | list[str]
    kpt_shape: tuple[int, int]
    path: str = ""
    train: str | list[str] | None = None
    val: str | list[str] | None = None
    test: str | list[str] | None = None


class _Row(BaseModel):
    category: str
    slot: int = Field(ge=0)
    landmark: str


@dataclass(frozen=True)
class _Format:
    """What data.yaml and landmarks.csv say.

    Attributes:
        kinds: category by class.
        slots: by category id, the slot of each landmark.
        width: slots of a line.
        dims: 2 or 3 numbers a slot.
    """

    kinds: dict[int, Category]
    slots: dict[int, list[int]]
    width: int
    dims: int


def read(export: Export) -> Read:
    """Yield the photos of the splits of a data.yaml.

    Raises:
        Refused: there is no such file, or it or landmarks.csv is wrong.
    """
    path = export.label_file("data.yaml", "dataset.yaml", suffix=".yaml")
    with readable(path, "YAML"):
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    data = parsed(_Data, content)
    form, rows = _format(export, data), []
    photos: dict[Path, Path] = {}  # by label file
    for split, key in _KEYS.items():
        named = getattr(data, key)
        for place in [named] if isinstance(named, str) else named or []:
            for photo in _photos_of(export, data, place):
                with told(rows, export.relative(photo), split=split):
                    _check_own(photos, photo, _label_file(export, photo))
                    yield _photo(export, form, photo, split)
                yield from rows
                rows.clear()
    yield from _without_photo(export, photos)


def _check_own(photos: dict[Path, Path], photo: Path, labels: Path) -> None:
    """Check that a label file is of one photo; ``photos`` are those so far.

    Raises:
        Refused: a photo with the same stem has it too.
    """
    other = photos.setdefault(labels, photo)
    if other != photo and labels.exists():
        said = f"{labels.name} is of {other.name} and of {photo.name}; rename one, and its labels"
        raise Refused(Reason.UNCLEAR, said)


def _without_photo(export: Export, photos: dict[Path, Path]) -> Iterator[Refusal]:
    """A row for each label file, beside those of the photos, that is of none."""
    folders = {labels.parent: photo.parent for labels, photo in photos.items()}
    for folder, images in folders.items():
        if folder == images:  # which may hold other texts
            continue
        stems = {path.stem for path in images.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES}
        for path in sorted(folder.glob("*.txt")):
            if path.stem not in stems and path.name != _CLASSES and not is_junk(path.name):
                said = "no photo of its name; put it there, or delete the labels"
                yield Refused(Reason.NO_IMAGE, said).row("", export.relative(path))


def _photos_of(export: Export, data: _Data, place: str) -> Iterator[Path]:
    """The photos of a split: those of a folder, or of a list of photos.

    Raises:
        Refused: the path leads elsewhere, or there is nothing.
    """
    try:
        below = inside(place)
    except Refused as refused:
        said = f"{place}; write it relative to the folder of data.yaml, such as images/train"
        raise Refused(refused.reason, said) from None
    base = export.folder
    if data.path and not Path(data.path).is_absolute() and ".." not in Path(data.path).parts:
        base = base / data.path if (base / data.path / below).exists() else base
    target = base / below
    if target.is_dir():
        yield from photos_below(target)
    elif target.is_file():
        with readable(target, "a list of photos"):
            lines = target.read_text(encoding="utf-8-sig").splitlines()
        for number, line in enumerate(map(str.strip, lines), 1):
            try:
                if line:
                    below = str(base.relative_to(export.folder))
                    yield export.photo(line.removeprefix("./"), below)
            except Refused as refused:
                said = f"{place} line {number}: {refused.value}"
                raise Refused(refused.reason, said) from None
    else:
        raise Refused(Reason.MISSING, f"{place}: no folder and no list of photos in {base}")


def _format(export: Export, data: _Data) -> _Format:
    names = data.names if isinstance(data.names, dict) else dict(enumerate(data.names))
    kinds = {number: find(name) for number, name in names.items()}
    width, dims = data.kpt_shape
    if dims not in (2, 3):
        raise Refused(Reason.FIELD, f"kpt_shape is {list(data.kpt_shape)}; expected [slots, 2 or 3]")
    table = export.folder / TABLE
    if table.is_file():
        slots = _read_table(table, width)
    else:
        slots = {c.id: list(range(c.num_landmarks)) for c in kinds.values() if c.num_landmarks == width}
    if missing := [c for c in kinds.values() if c.id not in slots]:
        kind = missing[0]
        raise Refused(
            Reason.UNCLEAR,
            f"which of the {width} key points is which of the {kind.num_landmarks} landmarks of "
            f"{kind.name}; write {TABLE} with the columns category, slot (from 0) and landmark",
        )
    return _Format(kinds, slots, width, dims)


def _read_table(path: Path, width: int) -> dict[int, list[int]]:
    """The slot of each landmark by category id.

    Raises:
        Refused: a row is wrong, or a category lacks a landmark.
    """
    found: dict[int, dict[int, int]] = {}
    with readable(path, "CSV"):
        rows = list(csv.DictReader(StringIO(path.read_text(encoding="utf-8-sig"))))
    for line, raw in enumerate(rows, 2):
        try:
            row = parsed(_Row, raw)
            kind = find(row.category)
            index = landmark_index(kind, row.landmark)
            if row.slot >= width:
                raise Refused(Reason.FIELD, f"slot is {row.slot}; kpt_shape has {width}")
        except Refused as refused:
            raise Refused(refused.reason, f"{TABLE} line {line}: {refused.value}") from None
        found.setdefault(kind.id, {})[index] = row.slot
    for category_id, slots in found.items():
        kind = CATEGORIES[category_id - 1]
        if len(slots) < kind.num_landmarks or len(set(slots.values())) < len(slots):
            said = f"{TABLE}: {kind.name} needs {kind.num_landmarks} landmarks in different slots"
            raise Refused(Reason.COUNT, said)
    return {c: [slots[i] for i in range(len(slots))] for c, slots in found.items()}


def _photo(export: Export, form: _Format, path: Path, split: str) -> AnnotatedPhoto:
    (load, size), labels = as_labelled(path), _label_file(export, path)
    items: list[Item] = []
    if labels.exists():
        with readable(labels, "labels"):
            text = labels.read_text(encoding="utf-8-sig", errors="backslashreplace")
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                try:
                    items.append(_item(form, line.split(), size, number))
                except Refused as refused:
                    said = f"{export.relative(labels)} line {number}: {refused.value}"
                    raise Refused(refused.reason, said) from None
    place = export.relative(labels)
    short = short_name(export.relative(path))
    return AnnotatedPhoto(short, load, size, Labels(items), split, place=place)


def _label_file(export: Export, photo: Path) -> Path:
    """The label file of a photo: in ``labels`` in place of the last folder ``images`` of its path."""
    parts = list(photo.relative_to(export.folder).parent.parts)
    if "images" in parts:
        at = len(parts) - 1 - parts[::-1].index("images")
        parts[at] = "labels"
    return export.folder.joinpath(*parts, f"{photo.stem}.txt")


def _item(form: _Format, words: Sequence[str], size: tuple[int, int], line: int) -> Item:
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        raise Refused(Reason.FIELD, f"{' '.join(words)[:60]!r}; expected numbers") from None
    expected = 5 + form.width * form.dims
    if len(numbers) != expected:
        said = f"{len(numbers)} numbers; expected {expected}: class, box, {form.width} key points"
        raise Refused(Reason.COUNT, f"{said} of {form.dims}")
    kind = form.kinds.get(int(numbers[0])) if numbers[0].is_integer() else None
    if kind is None:
        raise Refused(Reason.CATEGORY, f"class {words[0]}; names has {sorted(form.kinds)}")
    width, height = size
    x, y, w, h = (v * side for v, side in zip(numbers[1:5], (*size, *size), strict=True))
    points = [numbers[at : at + form.dims] for at in range(5, expected, form.dims)]
    flat: list[float] = []
    for slot in form.slots[kind.id]:
        px, py, *given = points[slot]
        visible = given[0] if given else 2 * bool(px or py)
        flat += [pixels(px * width), pixels(py * height), visible]
    box = [pixels(v) for v in (x - w / 2, y - h / 2, x + w / 2, y + h / 2)]
    return Item(f"line {line}", kind.id, "", box, flat, [])


@cache
def slots_of(category_id: int) -> tuple[int, ...]:
    """The slot of each landmark: its own mirror in 0..2, pairs in 3 and 4, 5 and 6, and so on."""
    kind = CATEGORIES[category_id - 1]
    mirror = kind.mirror().tolist()
    middle = [i for i, other in enumerate(mirror) if i == other]
    pairs = [(i, other) for i, other in enumerate(mirror) if i < other]
    first = NUM_MIDDLE
    places = {i: slot for slot, i in enumerate(middle)}
    places |= {i: first + 2 * n + side for n, pair in enumerate(pairs) for side, i in enumerate(pair)}
    return tuple(places[i] for i in range(kind.num_landmarks))


def _middle(kind: Category) -> int:
    return sum(i == other for i, other in enumerate(kind.mirror().tolist()))


NUM_MIDDLE = max(map(_middle, CATEGORIES))
NUM_SLOTS = NUM_MIDDLE + max(c.num_landmarks - _middle(c) for c in CATEGORIES)
FLIP = [*range(NUM_MIDDLE), *(NUM_MIDDLE + (i ^ 1) for i in range(NUM_SLOTS - NUM_MIDDLE))]


def write(photos: Sequence[AnnotatedPhoto], folder: Path) -> None:
    """Write data.yaml, landmarks.csv, images/SPLIT and labels/SPLIT."""
    splits = [split for split in _KEYS if any(photo.split == split for photo in photos)]
    for split in splits:
        of_split = [photo for photo in photos if photo.split == split]
        names = file_names((photo.name for photo in of_split), flat=False)
        for photo, name in zip(of_split, names, strict=True):
            write_photo(folder / "images" / split / name, photo)
            labels = (folder / "labels" / split / name).with_suffix(".txt")
            labels.parent.mkdir(parents=True, exist_ok=True)
            labels.write_text("".join(_lines(photo)), encoding="ascii")
    data = {
        "path": ".",
        **{_KEYS[split]: f"images/{split}" for split in splits},
        "kpt_shape": [NUM_SLOTS, 3],
        "flip_idx": FLIP,
        "names": {c.id - 1: c.name for c in CATEGORIES},
    }
    (folder / "data.yaml").write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    (folder / TABLE).write_text(_table(), encoding="utf-8")


def _lines(photo: AnnotatedPhoto) -> Iterator[str]:
    """A line for each garment. What is outside of the photo is cut or not labelled: YOLO refuses it."""
    width, height = photo.size
    for item in photo.labels.items:
        kind, (x1, y1, x2, y2) = category_of(item), item.box
        x1, x2 = (min(max(x, 0.0), width) / width for x in (x1, x2))
        y1, y2 = (min(max(y, 0.0), height) / height for y in (y1, y2))
        slots = [(0.0, 0.0, 0)] * NUM_SLOTS
        for slot, (x, y, v) in zip(slots_of(kind.id), points_of(item).tolist(), strict=True):
            if v and 0 <= x <= width and 0 <= y <= height:
                slots[slot] = (x / width, y / height, int(v))
        numbers = [kind.id - 1, (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]
        yield " ".join(f"{v:.12g}" for v in [*numbers, *(v for s in slots for v in s)]) + "\n"


def _table() -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for c in CATEGORIES:
        for number, (name, slot) in enumerate(zip(c.landmark_names, slots_of(c.id), strict=True), 1):
            writer.writerow((c.id - 1, c.name, slot, number, name))
    return text.getvalue()
