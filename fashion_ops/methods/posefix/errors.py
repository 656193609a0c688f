"""Synthetic pose errors, which a refiner learns to undo (PoseFix, section 3; Ronchi & Perona, 2017).

There are five types, defined by keypoint similarity KS = exp(-d^2 / (2 * area * (2 * sigma)^2)); d_t is
the distance at which KS is t:

- good: within d_.85 of the landmark; jitter: between d_.85 and d_.50;
- inversion: within d_.50 of the mirror landmark of the same garment;
- swap: within d_.50 of the same or the mirror landmark of an overlapping garment of the same category;
- miss: between d_.50 and d_.10 of any of these four and further than d_.50 from the other three.

A drawn point must be nearer to its centre than to the other three (swap: than to the two of the same
garment). A type that is impossible for a landmark is left out and the others are renormalised.

The published probabilities are for joints of people. Ours keep the numbers and map three groups of
landmarks onto the paper's three columns (face, upper, lower body) by how visible and well defined they
are: STEADY collars and shoulders, MIDDLE armpits, waists, hips and openings, LOOSE sleeves, cuffs,
sides and hems. The paper's counts of labelled joints (5 and 10 of 17) become shares of the landmarks.
Where the paper considers all overlapping people, we consider the garment that overlaps most.
``error_rates`` measures the rates of a model instead.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fashion_ops.methods.parts.precision import constants
from fashion_ops.taxonomy import Category

GOOD, JITTER, INVERSION, SWAP, MISS = range(5)
DRAWS = 16  # points drawn for each type and landmark; the first allowed one is used
FEW, SOME = 5 / 17, 10 / 17  # shares of labelled landmarks

STEADY, MIDDLE, LOOSE = range(3)
STEADY_NAMES = ("collar", "shoulder", "strap")
MIDDLE_NAMES = ("armpit", "waist", "hip", "crotch", "inseam", "opening")

# rows STEADY, MIDDLE, LOOSE
JITTER_P = {"up to some": (0.15, 0.20, 0.25), "more": (0.10, 0.15, 0.20)}
MISS_P = {
    "up to few": (0.15, 0.20, 0.25),
    "up to some": (0.10, 0.13, 0.15),
    "more": (0.02, 0.05, 0.10),
}
INVERSION_P = (0.01, 0.03, 0.06)
SWAP_P = {"crowded": (0.02, 0.15, 0.10), "else": (0.01, 0.06, 0.03)}


def landmark_groups(category: Category) -> list[int]:
    """Choose STEADY, MIDDLE or LOOSE for each landmark of a category, by its name."""

    def group(name: str) -> int:
        stem = name.removeprefix("left_").removeprefix("right_")
        return (
            STEADY
            if stem.startswith(STEADY_NAMES)
            else MIDDLE
            if stem.startswith(MIDDLE_NAMES)
            else LOOSE
        )

    return [group(name) for name in category.landmark_names]


def ks_distance(
    area: Float[Tensor, " b"], sigmas: Float[Tensor, " n"], ks: float
) -> Float[Tensor, "b n"]:
    """Compute the distance at which the keypoint similarity is ``ks``.

    Args:
        area: of each garment's box; the distance is in the unit of its root.
        sigmas: OKS sigmas.
        ks: 0..1.
    """
    squared = -2 * torch.log(torch.tensor(ks)) * area[:, None] * (2 * sigmas) ** 2
    return squared.sqrt()


@dataclass(frozen=True)
class WrongPoses:
    """Poses with errors.

    Attributes:
        points: x, y in crop pixels.
        known: landmarks for which some type of error was possible.
        types: ``GOOD`` to ``MISS``.
    """

    points: Float[Tensor, "b n 2"]
    known: Bool[Tensor, "b n"]
    types: Int[Tensor, "b n"]


def type_probabilities(
    labelled: Bool[Tensor, "b n"], crowded: Bool[Tensor, " b"], groups: Int[Tensor, " n"]
) -> Float[Tensor, "b n 5"]:
    """Look up the probabilities of ``GOOD`` to ``MISS``, before impossible types are left out.

    Args:
        labelled: whether the true position is known.
        crowded: whether the garment overlaps another one of its category.
        groups: see ``landmark_groups``.
    """
    share = labelled.float().mean(1)
    few, some = (share <= FEW)[:, None], (share <= SOME)[:, None]

    def column(values: tuple[float, float, float]) -> Tensor:
        return constants(values, share)[groups].expand(len(share), -1)

    jitter = torch.where(some, column(JITTER_P["up to some"]), column(JITTER_P["more"]))
    miss = torch.where(some, column(MISS_P["up to some"]), column(MISS_P["more"]))
    miss = torch.where(few, column(MISS_P["up to few"]), miss)
    crowd = crowded[:, None] & some
    swap = torch.where(crowd, column(SWAP_P["crowded"]), column(SWAP_P["else"]))
    inversion = column(INVERSION_P)
    good = 1 - jitter - miss - inversion - swap
    return torch.stack([good, jitter, inversion, swap, miss], -1)


def synthesize_errors(
    points: Float[Tensor, "b n 2"],
    labelled: Bool[Tensor, "b n"],
    neighbour: Float[Tensor, "b n 3"],
    area: Float[Tensor, " b"],
    sigmas: Float[Tensor, " n"],
    mirror: Int[Tensor, " n"],
    probabilities: Float[Tensor, "b n 5"],
    generator: torch.Generator,
) -> WrongPoses:
    """Move every landmark of every pose of a batch by an error of a random type.

    Args:
        points: true x, y, or another estimate where ``labelled`` is false; crop pixels.
        labelled: whether the true position is known.
        neighbour: x, y in crop pixels and visibility of the landmarks of an overlapping garment of the
            category; visibility 0 where there is none.
        area: of the garment's box, square crop pixels.
        sigmas: OKS sigmas.
        mirror: the landmark on the other side; a landmark on the axis is its own mirror image.
        probabilities: of ``GOOD`` to ``MISS``, before impossible types are left out; those of
            ``type_probabilities``, or measured.
        generator: source of randomness, on the device of ``points``.
    """
    b, n = labelled.shape
    device = points.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    paired = mirror != torch.arange(n, device=device)
    near, has_near = neighbour[..., :2], neighbour[..., 2] > 0
    centers = torch.stack([points, near, points[:, mirror], near[:, mirror]], 2)  # (b, n, 4, 2)
    exists = torch.stack(
        [
            torch.ones_like(labelled),
            has_near,
            labelled[:, mirror] & paired,
            has_near[:, mirror] & paired,
        ],
        2,
    )

    # Each type draws from rings around centres: the weight of each centre, the radii of the ring.
    # Centres: the landmark, the neighbour's, the mirror landmark, the neighbour's mirror landmark.
    rows = ((1, 0, 0, 0), (1, 0, 0, 0), (0, 0, 1, 0), (0, 1, 0, 1), (1, 0.25, 0.25, 0.25))
    weights = torch.stack([constants(row, points) for row in rows])
    weights = weights * exists[:, :, None]  # (b, n, 5, 4)
    d85, d50, d10 = (ks_distance(area, sigmas, ks) for ks in (0.85, 0.50, 0.10))
    zero = torch.zeros_like(d85)
    inner = torch.stack([zero, d85, zero, zero, d50], -1)[..., None]  # (b, n, 5, 1)
    outer = torch.stack([d85, d50, d50, d50, d10], -1)[..., None]

    cumulative = weights.cumsum(-1)
    pick = uniform(b, n, 5, DRAWS) * cumulative[..., -1:]
    source = (pick[..., None] >= cumulative[..., None, :]).sum(-1).clamp_max(3)  # (b, n, 5, draws)
    radius = inner + uniform(b, n, 5, DRAWS) * (outer - inner)
    angle = uniform(b, n, 5, DRAWS) * (2 * torch.pi)
    step = torch.stack([angle.cos(), angle.sin()], -1) * radius[..., None]
    around = centers[:, :, None, None].expand(-1, -1, 5, DRAWS, -1, -1)
    drawn = around.gather(4, source[..., None, None].expand(-1, -1, -1, -1, 1, 2))[..., 0, :] + step

    distance = (drawn[..., None, :] - around).norm(dim=-1)  # (b, n, 5, draws, 4)
    rival = torch.arange(4, device=device) != source[..., None]
    rival[:, :, SWAP] = torch.arange(4, device=device) % 2 == 0  # of the same garment
    limit = radius.clone()
    limit[:, :, MISS] = d50[..., None]
    allowed = ((distance > limit[..., None]) | ~rival | ~exists[:, :, None, None]).all(-1)
    allowed &= cumulative[..., -1:] > 0

    probability = probabilities * allowed.any(-1)
    ladder = probability.cumsum(-1)
    types = (uniform(b, n, 1) * ladder[..., -1:] >= ladder).sum(-1).clamp_max(4)
    first = (allowed * torch.arange(DRAWS, 0, -1, device=device)).argmax(-1)  # (b, n, 5)
    best = drawn.gather(3, first[..., None, None].expand(-1, -1, -1, 1, 2))[:, :, :, 0]
    moved = best.gather(2, types[..., None, None].expand(-1, -1, 1, 2))[:, :, 0]
    return WrongPoses(moved, ladder[..., -1] > 0, types)
