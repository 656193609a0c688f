"""The cascade: three box heads in a row, each on the boxes that the one before has refined.

Stage i matches its boxes at a higher IoU than stage i - 1 and regresses in finer units; regression is
class-agnostic. With HTC's branches (``htc``) a semantic map joins the features, and stage i's mask head
sees the boxes that stage i has refined (interleaved execution). At test the classes' probabilities are
averaged over the stages, each on its own boxes, which go with the last stage's.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import MultiScaleRoIAlign, batched_nms, clip_boxes_to_image, remove_small_boxes

from fashion_ops.methods.detection.htc import MaskBranch, Semantic, SemanticBranch
from fashion_ops.methods.detection.loss import semantic_loss, stage_losses
from fashion_ops.methods.detection.targets import equal_to_any, semantic_map, shrunk_map

IOUS = (0.5, 0.6, 0.7)
REGRESSION_WEIGHTS = (  # 1 / standard deviation of the targets
    (10.0, 10.0, 5.0, 5.0),
    (20.0, 20.0, 10.0, 10.0),
    (30.0, 30.0, 15.0, 15.0),
)
LOSS_WEIGHTS = (1.0, 0.5, 0.25)
POSITIVES = 0.25  # of the sampled boxes, at most
POOLED = 7
SAMPLING_RATIO = 2
NMS_IOU = 0.5
MOST = 100  # garments an image
SCORE_THRESHOLD = 0.05
SMALLEST = 1e-2  # side of a box, pixels

Found = dict[str, Tensor]
Targets = list[dict[str, Tensor]]


class Stage(RoIHeads):
    """One box head; its matching, sampling and coding of boxes are ``RoIHeads``' own.

    Args:
        number: 0, 1 or 2.
        inputs: channels of the pooled features.
        width: of the two fully connected layers.
        num_categories: without the background.
        samples: boxes an image in training.
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
            detections_per_img=MOST,
        )
        for name, std in (("category", 0.01), ("box", 0.001)):
            nn.init.normal_(self.box_predictor[name].weight, std=std)
            nn.init.zeros_(self.box_predictor[name].bias)

    def forward(  # type: ignore[override]
        self, pooled: Float[Tensor, "n w 7 7"]
    ) -> tuple[Float[Tensor, "n c"], Float[Tensor, "n 4"]]:
        """Logits of background and categories, and the regressed deltas; fp32."""
        x = self.box_head(pooled)
        return self.box_predictor["category"](x).float(), self.box_predictor["box"](x).float()

    def refine(self, deltas: Tensor, boxes: list[Tensor], sizes: list[tuple[int, int]]) -> list[Tensor]:
        """The boxes moved by the deltas, cut off at the images' borders; no gradient."""
        moved = self.box_coder.decode(deltas.detach(), boxes).reshape(-1, 4)
        parts = moved.split([len(b) for b in boxes])
        return [clip_boxes_to_image(b, size) for b, size in zip(parts, sizes, strict=True)]


class CascadeHeads(nn.Module):
    """Three stages on a pyramid's maps, with HTC's branches or without.

    Args:
        width: channels of the maps.
        head_width: of the box heads.
        num_categories: without the background.
        samples: boxes an image and stage in training.
        hybrid: add the mask and the semantic branch.
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
        sizes: list[tuple[int, int]],
        targets: Targets | None = None,
    ) -> tuple[list[Found], dict[str, Tensor]]:
        """What torchvision's ``GeneralizedRCNN`` asks of its ``roi_heads``.

        Args:
            features: maps by name.
            proposals: boxes of each image.
            sizes: (height, width) of each image before padding.
            targets: boxes, labels (and masks) of each image, to train.

        Returns:
            boxes, labels, scores (and, of HTC, masks in their boxes) of each image, and no losses;
            or, with targets, no garments, and the losses by name.
        """
        semantic = self.semantic(features) if self.semantic is not None else None
        if targets is not None:
            return [], self.losses(features, semantic, proposals, sizes, targets)
        boxes, scores = self.run(features, semantic, proposals, sizes)
        found = [pick(*one, SCORE_THRESHOLD) for one in zip(boxes, scores, strict=True)]
        if self.masks is not None:
            masks = self.masks.predict(features, semantic, found)
            found = [{**one, "masks": m} for one, m in zip(found, masks, strict=True)]
        return found, {}

    def box_features(
        self, features: dict[str, Tensor], semantic: Semantic | None, boxes: list[Tensor]
    ) -> Float[Tensor, "n w 7 7"]:
        """Maps inside the boxes, and the semantic features inside them."""
        pooled = self.pool(features, boxes, canvas(features))
        return pooled if semantic is None else pooled + semantic.pool(boxes, POOLED)

    def run(
        self,
        features: dict[str, Tensor],
        semantic: Semantic | None,
        proposals: list[Tensor],
        sizes: list[tuple[int, int]],
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Proposals through all stages: the last one's boxes, the mean of all stages' probabilities.

        Both for each image, (n, 4) and (n, 1 + categories).
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
        sizes: list[tuple[int, int]],
        targets: Targets,
    ) -> dict[str, Tensor]:
        """Weighted losses by name; their sum is what is minimised."""
        out: dict[str, Tensor] = {}
        boxes = proposals
        for i, (stage, weight) in enumerate(zip(self.stages, LOSS_WEIGHTS, strict=True)):
            assert isinstance(stage, Stage)
            sampled, _, labels, goals = stage.select_training_samples(boxes, targets)
            logits, deltas = stage(self.box_features(features, semantic, sampled))
            category, box = stage_losses(logits, deltas, torch.cat(labels), torch.cat(list(goals)))
            out[f"category{i + 1}"], out[f"box{i + 1}"] = weight * category, weight * box
            boxes = [
                refined[~equal_to_any(own, target["boxes"])]
                for refined, own, target in zip(
                    stage.refine(deltas, sampled, sizes), sampled, targets, strict=True
                )
            ]
            if self.masks is not None:
                inside, matched, labels, _ = stage.select_training_samples(boxes, targets)
                real = [x > 0 for x in labels]
                out[f"mask{i + 1}"] = weight * self.masks.loss(
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
            out["semantic"] = semantic_loss(semantic.logits, shrunk_map(maps, size))
        return out


def canvas(features: dict[str, Tensor]) -> list[tuple[int, int]]:
    """(height, width) of the padded images, whose sides are multiples of 32."""
    batch, _, height, width = features["0"].shape
    return [(4 * height, 4 * width)] * batch


def pick(boxes: Float[Tensor, "n 4"], scores: Float[Tensor, "n c"], threshold: float) -> Found:
    """Garments among the boxes of one image, best first: per category, doubles suppressed.

    Args:
        boxes: one a row, for all categories.
        scores: background first.
        threshold: scores must be above it.
    """
    row, category = (scores[:, 1:] > threshold).nonzero(as_tuple=True)
    labels = category + 1
    boxes, values = boxes[row], scores[row, labels]
    kept = remove_small_boxes(boxes, SMALLEST)
    boxes, values, labels = boxes[kept], values[kept], labels[kept]
    kept = batched_nms(boxes, values, labels, NMS_IOU)[:MOST]
    return {"boxes": boxes[kept], "scores": values[kept], "labels": labels[kept]}
