"""The cascade: three box heads in a row, each working on boxes that the previous one has refined.

Stage i matches its boxes at a higher IoU than stage i - 1 and regresses in finer units; regression is
class-agnostic. With HTC's branches (``htc``) semantic features are added to the pooled ones, and the
mask head of stage i works on boxes that stage i has refined (interleaved execution). At test time the
class probabilities are the mean over the stages, each on its own input boxes; the last stage gives the
boxes.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import MultiScaleRoIAlign, batched_nms, clip_boxes_to_image, remove_small_boxes

from fashion_ops.methods.detection.htc import MaskBranch, Semantic, SemanticBranch
from fashion_ops.methods.detection.loss import semantic_loss, stage_losses
from fashion_ops.methods.detection.targets import equal_to_any, resize_semantic_map, semantic_map

IOUS = (0.5, 0.6, 0.7)
REGRESSION_WEIGHTS = (  # 1 / standard deviation of the targets of each stage
    (10.0, 10.0, 5.0, 5.0),
    (20.0, 20.0, 10.0, 10.0),
    (30.0, 30.0, 15.0, 15.0),
)
LOSS_WEIGHTS = (1.0, 0.5, 0.25)
POSITIVES = 0.25  # largest share of positives among the sampled boxes
POOLED = 7
SAMPLING_RATIO = 2
NMS_IOU = 0.5
MAX_DETECTIONS = 100  # of an image
SCORE_THRESHOLD = 0.05
MIN_SIDE = 1e-2  # of a box, pixels

BoxTensors = dict[str, Tensor]  # of one image: boxes (n, 4), scores (n,), labels (n,), maybe masks
Targets = list[dict[str, Tensor]]  # of each image: boxes (g, 4), labels (g,), maybe masks (g, H, W)
Sizes = list[tuple[int, int]]  # (height, width) of each image before padding


class Stage(RoIHeads):
    """One box head of the cascade; ``RoIHeads`` does the matching, sampling and box coding.

    Args:
        number: 0, 1 or 2.
        inputs: channels of the pooled features.
        width: of the two fully connected layers.
        num_categories: without the background.
        samples: number of boxes sampled from each image in training.
    """

    def __init__(self, number: int, inputs: int, width: int, num_categories: int, samples: int) -> None:
        super().__init__(
            box_roi_pool=None,
            box_head=TwoMLPHead(inputs * POOLED**2, width),
            box_predictor=nn.ModuleDict(
                {"category": nn.Linear(width, num_categories + 1), "box": nn.Linear(width, 4)}
            ),
            fg_iou_thresh=IOUS[number],
            bg_iou_thresh=IOUS[number],
            batch_size_per_image=samples,
            positive_fraction=POSITIVES,
            bbox_reg_weights=REGRESSION_WEIGHTS[number],
            score_thresh=0.0,
            nms_thresh=NMS_IOU,
            detections_per_img=MAX_DETECTIONS,
        )
        for name, std in (("category", 0.01), ("box", 0.001)):
            nn.init.normal_(self.box_predictor[name].weight, std=std)
            nn.init.zeros_(self.box_predictor[name].bias)

    def forward(  # type: ignore[override]
        self, pooled: Float[Tensor, "n w 7 7"]
    ) -> tuple[Float[Tensor, "n c"], Float[Tensor, "n 4"]]:
        """Compute logits, background first, and box deltas, both in fp32."""
        x = self.box_head(pooled)
        return self.box_predictor["category"](x).float(), self.box_predictor["box"](x).float()

    def refine(self, deltas: Tensor, boxes: list[Tensor], sizes: Sizes) -> list[Tensor]:
        """Apply the deltas (n, 4) to the boxes and clip them to their images, without gradient.

        Args:
            deltas: of the boxes of all images, one image after another.
            boxes: (n, 4) of each image.
            sizes: (height, width) of each image.
        """
        moved = self.box_coder.decode(deltas.detach(), boxes).reshape(-1, 4)
        parts = moved.split([len(b) for b in boxes])
        return [clip_boxes_to_image(b, size) for b, size in zip(parts, sizes, strict=True)]


class CascadeHeads(nn.Module):
    """The three stages on the maps of a feature pyramid, with or without HTC's branches.

    Args:
        width: channels of the maps.
        head_width: channels of the box heads.
        num_categories: without the background.
        samples: number of boxes sampled from each image for each stage in training.
        hybrid: whether to add the mask branch and the semantic branch.
    """

    def __init__(
        self, width: int, head_width: int, num_categories: int, samples: int, hybrid: bool
    ) -> None:
        super().__init__()
        self.pool = MultiScaleRoIAlign(list("0123"), POOLED, SAMPLING_RATIO)
        self.stages = nn.ModuleList(
            Stage(i, width, head_width, num_categories, samples) for i in range(len(IOUS))
        )
        self.semantic = SemanticBranch(width, num_categories) if hybrid else None
        self.masks = MaskBranch(width, num_categories, len(IOUS)) if hybrid else None

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        sizes: Sizes,
        targets: Targets | None = None,
    ) -> tuple[list[BoxTensors], dict[str, Tensor]]:
        """Detect garments or compute losses; the interface of ``GeneralizedRCNN.roi_heads``.

        Args:
            features: maps by name.
            proposals: boxes of each image.
            sizes: (height, width) of each image before padding.
            targets: boxes, labels (and masks) of each image; None to detect.

        Returns:
            Without targets: boxes, labels, scores (and, with HTC, masks inside the boxes) of each
            image, and an empty dictionary. With targets: an empty list, and the losses by name.
        """
        semantic = self.semantic(features) if self.semantic is not None else None
        if targets is not None:
            return [], self.losses(features, semantic, proposals, sizes, targets)
        boxes, scores = self.run(features, semantic, proposals, sizes)
        detections = [
            select_detections(*image, SCORE_THRESHOLD) for image in zip(boxes, scores, strict=True)
        ]
        if self.masks is not None:
            masks = self.masks.predict(features, semantic, detections)
            detections = [{**d, "masks": m} for d, m in zip(detections, masks, strict=True)]
        return detections, {}

    def box_features(
        self, features: dict[str, Tensor], semantic: Semantic | None, boxes: list[Tensor]
    ) -> Float[Tensor, "n w 7 7"]:
        """Pool the maps to 7 x 7 inside the boxes (n, 4) of each image, all images in a row.

        ``semantic``, unless it is None, is pooled in the same boxes and added.
        """
        pooled = self.pool(features, boxes, canvas(features))
        return pooled if semantic is None else pooled + semantic.pool(boxes, POOLED)

    def run(
        self,
        features: dict[str, Tensor],
        semantic: Semantic | None,
        proposals: list[Tensor],
        sizes: Sizes,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Run the proposals through all stages.

        Args:
            features: maps of the pyramid, by name.
            semantic: output of the semantic branch; None without HTC's branches.
            proposals: boxes (n, 4) of each image, pixels of the padded image.
            sizes: (height, width) of each image before padding.

        Returns:
            For each image: boxes of the last stage (n, 4), and probabilities (n, 1 + categories),
            background first, the mean over all stages.
        """
        boxes, probabilities = proposals, []
        for stage in self.stages:
            assert isinstance(stage, Stage)
            logits, deltas = stage(self.box_features(features, semantic, boxes))
            probabilities.append(logits.softmax(-1))
            boxes = stage.refine(deltas, boxes, sizes)
        return boxes, list(torch.stack(probabilities).mean(0).split([len(b) for b in boxes]))

    def losses(
        self,
        features: dict[str, Tensor],
        semantic: Semantic | None,
        proposals: list[Tensor],
        sizes: Sizes,
        targets: Targets,
    ) -> dict[str, Tensor]:
        """Compute the weighted losses; training minimises their sum.

        Args:
            features: maps of the pyramid, by name.
            semantic: output of the semantic branch; None without HTC's branches.
            proposals: boxes (n, 4) of each image, pixels of the padded image.
            sizes: (height, width) of each image before padding.
            targets: boxes, labels (and, with HTC, masks) of each image.

        Returns:
            ``category1`` and ``box1`` of the first stage and so on; with HTC also ``mask1`` and so on,
            and ``semantic``. Each is a scalar.
        """
        losses: dict[str, Tensor] = {}
        boxes = proposals
        for i, (stage, weight) in enumerate(zip(self.stages, LOSS_WEIGHTS, strict=True)):
            assert isinstance(stage, Stage)
            sampled, _, labels, target_deltas = stage.select_training_samples(boxes, targets)
            logits, deltas = stage(self.box_features(features, semantic, sampled))
            category, box = stage_losses(
                logits, deltas, torch.cat(labels), torch.cat(list(target_deltas))
            )
            losses[f"category{i + 1}"], losses[f"box{i + 1}"] = weight * category, weight * box
            boxes = [
                refined[~equal_to_any(before, target["boxes"])]
                for refined, before, target in zip(
                    stage.refine(deltas, sampled, sizes), sampled, targets, strict=True
                )
            ]
            if self.masks is not None:
                inside, matched, labels, _ = stage.select_training_samples(boxes, targets)
                real = [x > 0 for x in labels]
                losses[f"mask{i + 1}"] = weight * self.masks.loss(
                    i,
                    features,
                    semantic,
                    [b[r] for b, r in zip(inside, real, strict=True)],
                    [m[r] for m, r in zip(matched, real, strict=True)],
                    targets,
                )
        if semantic is not None:
            area = canvas(features)[0]
            maps = torch.stack([semantic_map(t["masks"], t["labels"], area) for t in targets])
            size = (semantic.logits.shape[-2], semantic.logits.shape[-1])
            losses["semantic"] = semantic_loss(semantic.logits, resize_semantic_map(maps, size))
        return losses


def canvas(features: dict[str, Tensor]) -> Sizes:
    """Derive (height, width) of each padded image from the map at stride 4."""
    batch, _, height, width = features["0"].shape
    return [(4 * height, 4 * width)] * batch


def select_detections(
    boxes: Float[Tensor, "n 4"], scores: Float[Tensor, "n c"], threshold: float
) -> BoxTensors:
    """Select the garments among the boxes of one image, with NMS in each category.

    Args:
        boxes: x1, y1, x2, y2 in pixels, shared by all categories.
        scores: of each box and category, background first, 0..1.
        threshold: scores must be above it.

    Returns:
        The best ``MAX_DETECTIONS`` boxes, scores and labels (1 is the first category), best first.
    """
    row, category = (scores[:, 1:] > threshold).nonzero(as_tuple=True)
    labels = category + 1
    boxes, values = boxes[row], scores[row, labels]
    kept = remove_small_boxes(boxes, MIN_SIDE)
    boxes, values, labels = boxes[kept], values[kept], labels[kept]
    kept = batched_nms(boxes, values, labels, NMS_IOU)[:MAX_DETECTIONS]
    return {"boxes": boxes[kept], "scores": values[kept], "labels": labels[kept]}
