"""The files of an exported detector, and the description of its network in ``export.json``.

A folder contains the network, this description, the detector's ``model.json`` and its
``postprocess.json``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from fashion_ops.errors.reading import read_object
from fashion_ops.files.outputs import FolderKind
from fashion_ops.methods.artifact import SPEC
from fashion_ops.methods.centernet.codec import STRIDE
from fashion_ops.methods.centernet.postprocess_file import FILE
from fashion_ops.methods.parts.onnx_graph import Port
from fashion_ops.params import Section
from fashion_ops.taxonomy import CATEGORIES, NUM_CATEGORIES

Format = Literal["onnx", "openvino"]
Precision = Literal["fp32", "bf16", "int8"]

NETWORK: dict[Format, str] = {"onnx": "network.onnx", "openvino": "network.xml"}
GRAPH = "export.json"
INPUT = "images"
MAPS = ("hm", "wh", "hps", "reg", "hm_hp", "hp_offset")
GARMENTS = ("boxes", "scores", "category", "landmarks")


@dataclass(frozen=True)
class ExportConfig:
    """How a detector is exported.

    Attributes:
        format: file format of the network.
        precision: that the network runs in. ``bf16`` halves the weights' size and is for OpenVINO only,
            which uses it on hardware that supports it; ``int8`` is calibrated on images.
        decode: whether the graph decodes its maps into garments.
        dynamic_batch: whether the graph takes any number of images at once; else it takes one.
    """

    format: Format = "onnx"
    precision: Precision = "fp32"
    decode: bool = False
    dynamic_batch: bool = False


class Graph(Section):
    """Description of an exported network; ``batch`` is the number of images at once, None for any."""

    format: Format
    precision: Precision
    batch: Literal[1] | None
    input_size: int
    gives: Literal["maps", "garments"]
    inputs: dict[str, Port]
    outputs: dict[str, Port]

    def write(self, folder: Path) -> None:
        """Write ``export.json`` into an existing folder."""
        (folder / GRAPH).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Graph":
        """Read ``export.json`` from a folder.

        Raises:
            FileNotFoundError: there is no such file, or the network is missing.
            ValueError: the description is invalid; the message names the key and its value.
        """
        path = folder / GRAPH
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder}: no exported detector here ({GRAPH} is missing); make one with "
                "`fashion-ops export detector`"
            )
        values = read_object(path)
        try:
            graph = cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(f"{path}: {where}: {first['msg']} (got {first['input']!r})") from error
        network = folder / NETWORK[graph.format]
        if not network.is_file():
            raise FileNotFoundError(f"{network}: missing, though {path} describes it")
        return graph


EXPORT = FolderKind(
    "fashion-ops export detector",
    (GRAPH, SPEC, FILE, *NETWORK.values(), "network.bin"),  # the last one has OpenVINO's weights
    lambda folder: bool(Graph.read(folder)),
)


def describe_graph(config: ExportConfig, size: int, groups: int, top: int) -> Graph:
    """Describe the network of an export.

    Args:
        config: how it is exported.
        size: side of the input, pixels.
        groups: number of landmark channels.
        top: number of garments of an image, if the graph decodes.
    """
    batch = "batch" if config.dynamic_batch else 1
    cells, slots = size // STRIDE, max(c.num_landmarks for c in CATEGORIES)

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
    if config.decode:
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
        format=config.format,
        precision=config.precision,
        batch=None if config.dynamic_batch else 1,
        input_size=size,
        gives="garments" if config.decode else "maps",
        inputs={
            INPUT: Port(
                dtype="uint8",
                shape=(batch, size, size, 3),
                meaning="RGB 0..255; an image that keeps its aspect, centred, black around",
            )
        },
        outputs=outputs,
    )
