"""What an exported folder says of the network in it: ``export.json``, and the names of its files.

A folder holds the network, this description, the detector's ``model.json`` and the
``postprocess.json`` that belongs to it.
"""

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from fashion_ops.params import Section
from fashion_ops.taxonomy import CATEGORIES, NUM_CATEGORIES

Format = Literal["onnx", "openvino"]
Precision = Literal["fp32", "bf16", "int8"]

NETWORK: dict[Format, str] = {"onnx": "network.onnx", "openvino": "network.xml"}
GRAPH = "export.json"
INPUT = "images"
MAPS = ("hm", "wh", "hps", "reg", "hm_hp", "hp_offset")
GARMENTS = ("boxes", "scores", "category", "landmarks")


class Port(Section):
    """An input or output: type, shape ("batch" where any size goes), and what it means."""

    dtype: str
    shape: tuple[int | str, ...]
    meaning: str


class Graph(Section):
    """An exported network. ``batch``: images at once, None for any number."""

    format: Format
    precision: Precision
    batch: Literal[1] | None
    input_size: int
    gives: Literal["maps", "garments"]
    inputs: dict[str, Port]
    outputs: dict[str, Port]

    def write(self, folder: Path) -> None:
        """As ``export.json`` of a folder."""
        (folder / GRAPH).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Graph":
        """The description in a folder.

        Raises:
            FileNotFoundError: the folder is no export, or its network is missing.
            ValueError: the description can't be read.
        """
        path = folder / GRAPH
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder}: no exported detector here ({GRAPH} is missing); make one with "
                "`fashion-ops export detector`"
            )
        try:
            graph = cls.model_validate_json(path.read_text(encoding="utf-8"))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(f"{path}: {where}: {first['msg']} (got {first['input']!r})") from error
        network = folder / NETWORK[graph.format]
        if not network.is_file():
            raise FileNotFoundError(f"{network}: missing, though {path} speaks of it")
        return graph


def describe(
    form: Format, precision: Precision, dynamic_batch: bool, size: int, groups: int, top: int | None
) -> Graph:
    """The description of a network that is being exported.

    Args:
        form: of the file.
        precision: it is served with.
        dynamic_batch: any number of images at once.
        size: side of the input, pixels.
        groups: landmark channels.
        top: garments an image where the graph decodes; None where it gives maps.
    """
    batch = "batch" if dynamic_batch else 1
    cells, slots = size // 4, max(c.num_landmarks for c in CATEGORIES)

    def grid(channels: int, meaning: str) -> Port:
        return Port(dtype="float32", shape=(batch, channels, cells, cells), meaning=meaning)

    outputs = {
        "hm": grid(NUM_CATEGORIES, "centre heatmaps, 0..1, one a category"),
        "wh": grid(2, "box width and height, cells of 4 pixels"),
        "hps": grid(2 * groups, "from the centre's cell to each landmark: x, y of each group, cells"),
        "reg": grid(2, "centre within its cell: x, y, cells"),
        "hm_hp": grid(groups, "landmark heatmaps, 0..1, one a group"),
        "hp_offset": grid(2, "landmark within its cell: x, y, cells"),
    }
    if top is not None:
        outputs = {
            "boxes": Port(
                dtype="float32", shape=(batch, top, 4), meaning="x1, y1, x2, y2, pixels of the input"
            ),
            "scores": Port(dtype="float32", shape=(batch, top), meaning="0..1, best first"),
            "category": Port(dtype="int64", shape=(batch, top), meaning="1..13"),
            "landmarks": Port(
                dtype="float32",
                shape=(batch, top, slots, 3),
                meaning="x, y in pixels of the input, score; in the category's order, then score 0",
            ),
        }
    return Graph(
        format=form,
        precision=precision,
        batch=None if dynamic_batch else 1,
        input_size=size,
        gives="maps" if top is None else "garments",
        inputs={
            INPUT: Port(
                dtype="uint8",
                shape=(batch, size, size, 3),
                meaning="RGB 0..255; an image that keeps its aspect, centred, black around",
            )
        },
        outputs=outputs,
    )
