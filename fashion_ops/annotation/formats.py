"""The formats by name, and what is done with each: an export becomes a batch, photos an export."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from fashion_ops.annotation import coco, cvat, fiftyone, label_studio, losses, yolo_pose
from fashion_ops.annotation.batch import BatchTotals, LabelError, write_batch
from fashion_ops.annotation.files import Export
from fashion_ops.annotation.photos import AnnotatedPhoto, Read, checked
from fashion_ops.catalog.quarantine import Refused
from fashion_ops.catalog.sources.archive import content_root, is_archive, named_after, unpack
from fashion_ops.catalog.sources.base import PHOTO_SUFFIXES
from fashion_ops.files.outputs import check_new
from fashion_ops.files.publishing import publish

_SUFFIXES = PHOTO_SUFFIXES | {".json", ".xml", ".yaml", ".txt", ".csv"}


@dataclass(frozen=True)
class Format:
    """What a format's file offers."""

    read: Callable[[Export], Read]
    write: Callable[[Sequence[AnnotatedPhoto], Path], None]
    lost: frozenset[losses.Feature]


FORMATS = {
    "coco": Format(coco.read, coco.write, coco.LOST),
    "cvat": Format(cvat.read, cvat.write, cvat.LOST),
    "label-studio": Format(label_studio.read, label_studio.write, label_studio.LOST),
    "yolo-pose": Format(yolo_pose.read, yolo_pose.write, yolo_pose.LOST),
    "fiftyone": Format(fiftyone.read, fiftyone.write, fiftyone.LOST),
}


def import_labels(name: str, source: Path, target: Path, images: Path | None = None) -> BatchTotals:
    """Write the labels of a tool's export as a batch in DeepFashion2's layout; all or nothing.

    Args:
        name: of the format, in ``FORMATS``.
        source: the export: a folder, its label file, or an archive.
        target: new folder of the batch.
        images: folder of the photos, where the export holds labels only.

    Raises:
        LabelError: the export is of another format, or a record is refused.
        OutputRefused: ``target`` exists.
        ValueError: the export cannot be read.
        OSError: a file cannot be read or written.
    """
    for path in (source, *([images] if images else [])):
        if not path.exists():
            raise LabelError(f"{path}: no such file or folder; check the path")
    if not source.is_dir() and not source.is_file():
        raise LabelError(f"{source}: is no file and no folder; name what the tool exported")
    if images is not None and not images.is_dir():
        raise LabelError(f"{images}: is no folder; name the folder of the photos by --images")
    check_new(target, (source, *([images] if images else [])))
    with _unpacked(source) as root:
        try:
            return write_batch(checked(FORMATS[name].read(Export(root, images))), target)
        except Refused as refused:
            raise LabelError(f"{source}: {refused.reason}: {refused.value}") from refused


@contextmanager
def _unpacked(source: Path) -> Iterator[Path]:
    """The export as a folder or a label file; an archive is unpacked beside nothing of the user's.

    Raises:
        LabelError: a member of the archive is refused.
    """
    if not is_archive(source):
        yield source
        return
    with TemporaryDirectory(prefix="fashion-ops-labels-") as scratch:
        folder = Path(scratch)
        if refused := unpack(source, folder, _SUFFIXES):
            raise LabelError(f"{source}: {refused[0].reason}: {refused[0].value}; pack it anew")
        with named_after(source, folder):
            yield content_root(folder)


def export_labels(name: str, photos: Sequence[AnnotatedPhoto], target: Path) -> list[str]:
    """Write photos in a format into the new folder ``target``, as a whole.

    Args:
        name: of the format, in ``FORMATS``.
        photos: checked ones.
        target: absent or an empty folder.

    Returns:
        A line for each thing that the format cannot say, with how often the photos hold it.

    Raises:
        OutputRefused: ``target`` is not new.
        OSError: a photo cannot be read, or a file not be written.
    """
    form = FORMATS[name]
    with publish(target, new=True) as fresh:
        form.write(photos, fresh)
    return losses.lines(name, losses.lost(photos, form.lost))
