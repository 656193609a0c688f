"""Whether a bundle predicts again what ``evaluate`` wrote.

A model that was registered, fetched and loaded again must be the model that was evaluated. On the same
hardware it must give the same bits. Networks do so only for the same batches, so the comparison covers
whole chunks of ``predictions.CHUNK`` from the start of the split. On other hardware, where results
differ by rounding, ``Deviation`` measures how far apart they are (``inference.deviation``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from fashion_ops.catalog.reader import Catalog
from fashion_ops.errors.reading import read_table
from fashion_ops.evaluation.oks_nms import oks_nms
from fashion_ops.inference.deviation import NO_DEVIATION, Deviation, bit_difference, deviation, largest
from fashion_ops.inference.hardware_record import evaluated_on
from fashion_ops.inference.landmark_pipeline import VARIANTS
from fashion_ops.inference.predictions import (
    BOX_KINDS,
    CHUNK,
    DetectBlock,
    Tables,
    detect_with,
    landmarks_with,
)
from fashion_ops.inference.predictor import Predictor, Predictors, bundle_of
from fashion_ops.methods.parts.blocks import Block, BlockRunner, Blocks, OpenRunner
from fashion_ops.methods.parts.hardware import Hardware, equal_bits
from fashion_ops.params import Evaluate, Params, Promote
from fashion_ops.workspace import Workspace

# Rules of the gate: the first where the hardware is that of the evaluation, the others elsewhere.
EQUAL_BITS, PIXELS, AP = "equal bits", "promote.max_pixel_difference", "promote.max_ap_difference"


@dataclass(frozen=True)
class Reproduction:
    """The comparison of predictions made again with those that were evaluated.

    Attributes:
        deviation: the largest differences of all compared tables.
        recorded: hardware of the evaluation; empty if it was not recorded.
        hardware: hardware of this comparison.
    """

    deviation: Deviation
    recorded: frozenset[Hardware]
    hardware: frozenset[Hardware]

    @property
    def exact(self) -> bool:
        """Whether every bit must be the same."""
        return equal_bits(self.recorded, self.hardware)

    @property
    def where(self) -> str:
        """The hardware of both, in words."""
        if self.exact:
            return "on the hardware of the evaluation"
        then, now = ("; ".join(map(str, sorted(h))) for h in (self.recorded, self.hardware))
        return f"on {now}, evaluated on {then or 'hardware that was not recorded'}"

    def in_words(self) -> str:
        """How far the predictions are the same, and where they were made."""
        if not self.deviation.bits:
            return f"bit for bit, {self.where}"
        return f"{self.deviation}, {self.where}"

    def failures(self, gate: Promote) -> dict[str, str]:
        """What is not as it was evaluated: by rule, in words with numbers; empty if nothing is.

        Args:
            gate: has the tolerances that hold where the hardware differs.
        """
        d = self.deviation
        if not d.bits:
            return {}
        if self.exact:
            return {EQUAL_BITS: f"{d.bits}, {self.where}; {d}"}
        values = {
            PIXELS: (f"{d.pixels:.3g} px within which 99 % of the landmarks lie", d.pixels),
            AP: (f"AP that differs by {d.ap:.3g}", d.ap),
        }
        return {
            rule: f"{text}, {rule} is {self.limit(gate, rule):g}, {self.where}"
            for rule, (text, value) in values.items()
            if not value <= self.limit(gate, rule)
        }

    @staticmethod
    def limit(gate: Promote, rule: str) -> float:
        """The tolerance of a rule."""
        return gate.max_pixel_difference if rule == PIXELS else gate.max_ap_difference


def predict_split(
    runner: BlockRunner, catalog: Catalog, images: pd.DataFrame, p: Evaluate, limit: int | None
) -> dict[str, Tables]:
    """Predict a split, or its start, as ``evaluate`` does before OKS-NMS.

    Args:
        runner: of one predictor, see ``of_predictor``.
        catalog: provides the images.
        images: ``schemas.IMAGES`` of the split.
        p: detections kept per image and category, and how landmarks are scored.
        limit: number of predictions per kind of boxes, a multiple of ``CHUNK``; None for all.

    Returns:
        Kind of boxes (``truth_boxes``, ``own_boxes``) -> variant -> ``schemas.PREDICTIONS``.
    """
    garments = catalog.garments[catalog.garments["image_id"].isin(images["image_id"])]
    labelled = garments.sort_values("image_id", kind="stable").iloc[:limit]
    detected = _detect_first(runner, catalog, images, p.max_detections, limit)
    boxes = {"truth_boxes": labelled, "own_boxes": detected}
    return landmarks_with(runner, catalog, boxes, p.score)


def _detect_first(
    runner: BlockRunner, catalog: Catalog, images: pd.DataFrame, max_detections: int, limit: int | None
) -> pd.DataFrame:
    """Detect on chunks of images until there are ``limit`` detections; None: on all images.

    The number of chunks doubles from one run to the next.

    Returns:
        ``schemas.PREDICTIONS``; with a limit its first rows in the order of image ids.
    """
    tables: list[pd.DataFrame] = []
    start, size = 0, len(images) if limit is None else CHUNK
    while start < len(images) and (limit is None or sum(map(len, tables)) < limit):
        rows = images.iloc[start : start + size]
        tables.append(detect_with(runner, catalog, rows, max_detections)["boxes"])
        start, size = start + size, 2 * size
    detected = pd.concat(tables, ignore_index=True)
    return detected if limit is None else detected.sort_values("image_id", kind="stable").iloc[:limit]


@dataclass(frozen=True)
class PredictorBlock:
    """A block for one of several predictors."""

    index: int
    block: Block

    def predict(self, models: Sequence[Predictor]) -> Any:
        """Predict the block with the detector, ``boxes``, or the landmark models of the predictor."""
        predictor = models[self.index]
        if isinstance(self.block, DetectBlock):
            return self.block.predict({"boxes": predictor.detector})
        return self.block.predict([predictor.pipeline])


class PredictorRunner:
    """Predicts with one of the predictors that the models of another runner are."""

    def __init__(self, runner: BlockRunner, index: int = 0) -> None:
        self._runner, self._index = runner, index

    @property
    def hardware(self) -> set[Hardware]:
        """See ``BlockRunner``."""
        return self._runner.hardware

    def run(self, blocks: Blocks, label: str, total: int) -> dict[str, Any]:
        """See ``BlockRunner``."""
        own = ((name, PredictorBlock(self._index, block)) for name, block in blocks)
        return self._runner.run(own, label, total)


def reproduce(
    runner: BlockRunner,
    catalog: Catalog,
    recorded: Mapping[str, pd.DataFrame],
    p: Evaluate,
    hardware: frozenset[Hardware],
) -> Reproduction:
    """Predict the start of a split again, and compare it with what was evaluated.

    Args:
        runner: of one predictor, see ``PredictorRunner``.
        catalog: the evaluated one.
        recorded: evaluated predictions by "truth_boxes/refined" and the like.
        p: the parameters of the evaluation.
        hardware: of the evaluation.
    """
    images = catalog.images[catalog.images["split"] == p.split]
    made = predict_split(runner, catalog, images, p, CHUNK)
    found = []
    for name, table in recorded.items():
        kind, variant = name.split("/")
        d = compare_start(table, made[kind].get(variant), catalog, p, CHUNK)
        found.append(replace(d, bits=f"{name}: {d.bits}" if d.bits else ""))
    return Reproduction(largest(found), hardware, frozenset(runner.hardware))


def reproduce_evaluation(
    bundle: Path, params: Params, ws: Workspace, open_runner: OpenRunner
) -> Reproduction:
    """Compare the predictions of a bundle with those in ``ws.evaluation``.

    Args:
        bundle: a folder of models, such as ``registry.client.fetch_bundle`` returns.
        params: parameters of the evaluation.
        ws: workspace with the evaluated catalog and its evaluation.
        open_runner: makes what predicts.

    Raises:
        FileNotFoundError: there is no evaluation, or a model is missing.
    """
    recorded = {
        f"{kind}/{variant}": read_table(ws.evaluation / "predictions" / kind / f"{variant}.parquet")
        for kind in BOX_KINDS
        for variant in VARIANTS
    }
    runner = PredictorRunner(open_runner(Predictors, [bundle_of(bundle)]))
    hardware = evaluated_on(ws)
    return reproduce(runner, Catalog(ws.catalog), recorded, params.evaluate, hardware)


def compare_start(
    recorded: pd.DataFrame, made: pd.DataFrame | None, catalog: Catalog, p: Evaluate, limit: int
) -> Deviation:
    """Compare the first predictions with recorded ones.

    Args:
        recorded: all predictions that ``evaluate`` wrote for a variant and kind of boxes.
        made: the predictions of ``predict_split``; None where there were no boxes.
        catalog: the evaluated one.
        p: the parameters of the evaluation.
        limit: as given to ``predict_split``. The last image may have more garments; it is left out with
            OKS-NMS, and where bits differ.
    """
    table = recorded.head(0) if made is None else made
    start = "" if p.oks_nms is not None else bit_difference(recorded.iloc[:limit], table)
    if p.oks_nms is None and not start:
        return NO_DEVIATION
    images = catalog.images[catalog.images["split"] == p.split]
    ends = (t["image_id"].max() for t in (recorded.iloc[:limit], table) if len(t))
    last = min(ends, default=-1)
    before = images["image_id"] < last
    images = images[before if before.any() else images["image_id"] <= last]
    table, recorded = (t[t["image_id"].isin(images["image_id"])] for t in (table, recorded))
    garments = catalog.garments[catalog.garments["image_id"].isin(images["image_id"])]
    d = deviation(recorded, oks_nms(table, p.oks_nms), images, garments, p.max_detections)
    return d if d.bits else Deviation(start)
