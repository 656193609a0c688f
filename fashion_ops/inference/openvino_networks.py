"""Networks in OpenVINO that take one crop or image at a time, several at once.

Each runs on streams of CPU threads that never wait for one another: a crop and its mirror image, or
the crops of several garments, keep all cores busy, and none of the small layers of a network is
divided. The shape is fixed, and an answer does not depend on what else was in the batch.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from fashion_ops.methods.centernet.deploy.runtimes import ExportedDetector
from fashion_ops.methods.centernet.test_time_augmentation import merge_flipped
from fashion_ops.methods.parts.augment import normalize
from fashion_ops.methods.parts.heatmaps import STRIDE, soft_argmax, to_pixels
from fashion_ops.methods.parts.openvino_core import CORE
from fashion_ops.methods.parts.precision import computes_bf16
from fashion_ops.methods.posefix.inference import Refiner
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.taxonomy import category

_STREAMS = 4  # at most; with more cores each stream has several threads


class OpenvinoModule(nn.Module):
    """A network in OpenVINO that is called with a batch, like the torch network that it was made from.

    Args:
        path: of the OpenVINO IR.
        threads: number of CPU threads; 0 uses all cores.

    Raises:
        RuntimeError: the file is missing or cannot be read.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        super().__init__()
        network = CORE.read_model(path)
        network.reshape({port: [1, *list(port.partial_shape)[1:]] for port in network.inputs})
        threads = threads or len(os.sched_getaffinity(0))
        streams = min(threads, _STREAMS)
        config: dict[str, Any] = {
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # each network would pin its first stream to the same core
        }
        if not computes_bf16("auto", "cpu"):
            config["INFERENCE_PRECISION_HINT"] = "f32"
        compiled = CORE.compile_model(network, "CPU", config)
        self.shapes = [tuple(port.shape)[1:] for port in compiled.outputs]
        self.queue = ov.AsyncInferQueue(compiled, streams)
        self.queue.set_callback(_keep)

    def outputs(self, *arguments: Tensor) -> list[Tensor]:
        """Compute all outputs from tensors on the CPU whose first dimension is the batch."""
        arrays = [argument.contiguous().numpy() for argument in arguments]
        out = [np.empty((len(arrays[0]), *shape), np.float32) for shape in self.shapes]
        for i in range(len(arrays[0])):
            self.queue.start_async([array[i : i + 1] for array in arrays], [o[i] for o in out])
        self.queue.wait_all()
        return [torch.from_numpy(o) for o in out]

    def forward(self, *arguments: Tensor) -> Tensor:
        """Compute the first output, see ``outputs``."""
        return self.outputs(*arguments)[0]


def _keep(request: Any, out: list[np.ndarray]) -> None:
    """Copy the outputs of a request of OpenVINO, whose memory the next one takes."""
    for n, array in enumerate(out):
        array[...] = request.get_output_tensor(n).data[0]


class TracedLandmarker(nn.Module):
    """What is exported of a landmarker: crops uint8 to the output channels of one category.

    Args:
        model: a ``Landmarker``, which keeps its channels.
        channels: of the category's landmarks, in their order.
    """

    def __init__(self, model: nn.Module, channels: np.ndarray) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("channels", torch.from_numpy(np.ascontiguousarray(channels)))

    def forward(self, crops: Tensor) -> Tensor:
        """Compute the head's output (B, n, ...) for crops uint8 (B, 3, H, W)."""
        return self.model(normalize(crops.float() / 255))[:, self.get_buffer("channels")]


class TracedRefiner(nn.Module):
    """What is exported of a refiner: crops uint8 and an input pose to logits.

    Args:
        model: a network of ``posefix.model``.
        takes_pose: whether the input pose is known.
    """

    def __init__(self, model: nn.Module, takes_pose: bool) -> None:
        super().__init__()
        self.model, self.takes_pose = model, takes_pose

    def forward(self, crops: Tensor, points: Tensor) -> Tensor:
        """Compute logits (B, n, H/4, W/4) for crops uint8 (B, 3, H, W) and points (B, n, 2)."""
        ones = torch.ones_like(points[..., 0])
        known = ones > 0 if self.takes_pose else ones < 0
        return self.model(normalize(crops.float() / 255), points, known)


class _Answers(nn.Module):
    """Gives outputs that were computed already, in their order, whatever it is called with."""

    def __init__(self, *outputs: Tensor) -> None:
        super().__init__()
        self.outputs = iter(outputs)

    def forward(self, _: Tensor) -> Tensor:
        return next(self.outputs)


class OpenvinoLandmarker(LandmarkPredictor):
    """The landmarker of one category: its ``model`` gives that category's landmarks alone."""

    @torch.inference_mode()
    def predict_own(
        self, crops: UInt8[Tensor, "n 3 h w"], category_ids: np.ndarray
    ) -> list[np.ndarray]:
        """Do what ``LandmarkPredictor.predict_own`` does, for crops of the one category."""
        if not len(crops):
            return []
        if self.decoding.flip_test:  # crops and mirror images at once
            answers = _Answers(*self.model(torch.cat([crops, crops.flip(-1)])).chunk(2))
            mirror = torch.from_numpy(category(int(category_ids[0])).mirror())
        else:
            answers, mirror = _Answers(self.model(crops)), None
        return list(self._decode_batch(answers, crops.float(), mirror, None).numpy())

    def predict_channels_and_stds(
        self, crops: UInt8[Tensor, "n 3 h w"], category_ids: np.ndarray
    ) -> np.ndarray:
        """Refuse: the channels of other categories are not in the exported network."""
        raise ValueError("score all: an exported landmarker has its category's landmarks alone")


class OpenvinoRefiner(Refiner):
    """A refiner whose ``model`` takes crops uint8 and points."""

    @torch.inference_mode()
    def refine(
        self, crops: UInt8[Tensor, "n 3 h w"], landmarks: Float[Tensor, "n k 3"]
    ) -> Float[Tensor, "n k 3"]:
        """Do what ``Refiner.refine`` does."""
        out, points = landmarks.clone(), landmarks[..., :2].float()
        if not len(crops):
            return out
        if not self.spec["flip_test"]:
            refined = self._pixels(crops, points)
        else:
            mirror = torch.from_numpy(self.category.mirror())
            right, sign = points.new_tensor([crops.shape[-1] - 1, 0]), points.new_tensor([-1, 1])
            mirrored = (right + sign * points)[:, mirror]
            both = self._pixels(torch.cat([crops, crops.flip(-1)]), torch.cat([points, mirrored]))
            refined, flipped = both.chunk(2)
            refined = (refined + right + sign * flipped[:, mirror]) / 2
        out[..., :2] = refined.to(out)
        return out

    def _pixels(self, crops: Tensor, points: Tensor) -> Tensor:
        """Refined points in crop pixels, without flip test."""
        return to_pixels(soft_argmax(self.model(crops, points)), STRIDE)


class OpenvinoDetector(ExportedDetector):
    """An exported CenterNet whose ``network`` is ``OpenvinoMaps``."""

    def maps(self, images: UInt8[Tensor, "b 3 s s"]) -> dict[str, Tensor]:
        """Do what ``Detector.maps`` does, the images and their mirror images at once."""
        if not self.post.flip:
            return self.network(images)
        both = self.network(torch.cat([images, images.flip(-1)]))
        maps, flipped = ({k: v.chunk(2)[half] for k, v in both.items()} for half in (0, 1))
        return merge_flipped(maps, flipped, torch.from_numpy(self.grouping.mirror()))


class OpenvinoMaps:
    """The maps of a detector by an ``OpenvinoModule``: an ``inference.Network``.

    Args:
        path: of the OpenVINO IR.
        names: of its outputs.
        threads: number of CPU threads; 0 uses all cores.
    """

    def __init__(self, path: Path, names: list[str], threads: int) -> None:
        self.module, self.names = OpenvinoModule(path, threads), names

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Run letterboxed images, uint8 (B, 3, S, S); returns the graph's outputs by name."""
        maps = self.module.outputs(images.permute(0, 2, 3, 1))
        return dict(zip(self.names, maps, strict=True))
