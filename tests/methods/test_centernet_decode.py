import torch

from fashion_ops.methods.centernet import decode as decoding
from fashion_ops.methods.centernet.decode import TOP, Decoded
from fashion_ops.methods.centernet.landmarks import local_maxima
from fashion_ops.methods.centernet.targets import Targets, make_targets
from fashion_ops.methods.centernet.test_time_augmentation import merge_flipped
from fashion_ops.params import PostProcess

SIZE, SIDE, GROUPS = 128, 32, 5
SLOTS = torch.arange(GROUPS).expand(13, -1)
PLAIN = PostProcess(smooth=False, mask=False, blend=False, rescore=False)


def decode(maps, min_score=0.0, post=PLAIN) -> Decoded:
    return decoding.decode(maps, SLOTS, post, min_score)


def perfect_maps(t: Targets) -> dict[str, torch.Tensor]:
    """The maps of a detector that learned its targets by heart."""
    b, _, h, w = t.hm_hp.shape

    def dense(cells, values):
        out = torch.zeros(b * h * w, values.shape[1])
        out[cells] = values
        return out.view(b, h, w, -1).permute(0, 3, 1, 2)

    return {
        "hm": t.hm,
        "hm_hp": t.hm_hp,
        "wh": dense(t.centers, t.wh),
        "reg": dense(t.centers, t.reg),
        "hps": dense(t.centers, t.hps.flatten(1)),
        "hp_offset": dense(t.points, t.hp_offset),
    }


def two_images():
    boxes = torch.tensor(
        [
            [[10.3, 20.1, 60.2, 90.7], [70.9, 15.5, 120.4, 118.2]],
            [[30.0, 8.0, 99.0, 121.5], [0.0, 0.0, 0.0, 0.0]],
        ]
    )
    category = torch.tensor([[1, 8], [13, 0]])
    share = torch.tensor([[0.1, 0.12], [0.9, 0.15], [0.52, 0.48], [0.2, 0.93], [0.85, 0.88]])
    points = boxes[..., None, :2] + share * (boxes[..., None, 2:] - boxes[..., None, :2])
    landmarks = torch.cat([points, torch.full((2, 2, GROUPS, 1), 2.0)], -1)
    return boxes, category, landmarks


def test_targets_decode_back_to_what_they_were_made_of():
    boxes, category, landmarks = two_images()
    found = decode(perfect_maps(make_targets(boxes, category, landmarks, SIZE, "published")), 0.99)
    assert found.boxes.shape == (2, 2, 4)
    for b, m in ((0, 0), (0, 1), (1, 0)):
        i = int((found.category[b] == category[b, m]).nonzero()[0])
        assert found.scores[b, i] == 1
        assert (found.boxes[b, i] - boxes[b, m]).abs().max() < 0.01
        assert (found.landmarks[b, i, :, :2] - landmarks[b, m, :, :2]).abs().max() < 0.5
        assert (found.landmarks[b, i, :, 2] == 1).all()
    assert found.scores[1, 1] < 0.99


def test_heatmap_refines_the_displacement():
    boxes, category, landmarks = two_images()
    maps = perfect_maps(make_targets(boxes, category, landmarks, SIZE, "published"))
    maps["hps"] = maps["hps"] + 1.2  # cells, within 0.3 of the box's longer side
    found = decode(maps, 0.99)
    i = int((found.category[0] == 8).nonzero()[0])
    assert (found.landmarks[0, i, :, :2] - landmarks[0, 1, :, :2]).abs().max() < 0.5


def test_displacement_stays_where_the_heatmap_can_not_be_trusted():
    boxes, category, landmarks = two_images()
    plain = perfect_maps(make_targets(boxes, category, landmarks, SIZE, "published"))
    expected = landmarks[1, 0, :, :2]

    def landmarks_of(**changed):
        return decode({**plain, **changed}, 0.99).landmarks[1, 0]

    low = landmarks_of(hm_hp=plain["hm_hp"] * 0.05)
    assert (low[:, :2] - expected).abs().max() < 0.01 and (low[:, 2] <= 0.05).all()
    nothing = landmarks_of(hm_hp=torch.zeros_like(plain["hm_hp"]))
    assert (nothing[:, :2] - expected).abs().max() < 0.01 and (nothing[:, 2] == 0).all()
    outside = torch.zeros_like(plain["hm_hp"])
    outside[:, :, 1, 1] = 1  # left of and above the box
    assert (landmarks_of(hm_hp=outside)[:, :2] - expected).abs().max() < 0.01
    far = torch.zeros_like(plain["hm_hp"])
    far[:, 0, 29, 23] = 1  # inside the box, in its other corner
    assert (landmarks_of(hm_hp=far)[0, :2] - expected[0]).abs().max() < 0.01
    near = torch.zeros_like(plain["hm_hp"])
    near[:, 0, 8, 10] = 1
    assert (landmarks_of(hm_hp=near)[0, :2] - expected[0]).abs().max() > 1


def test_each_landmark_takes_its_own_nearest_candidate():
    """Two garments of one category: every one keeps its own landmarks."""
    boxes, category, landmarks = two_images()
    category[0] = 8
    found = decode(perfect_maps(make_targets(boxes, category, landmarks, SIZE, "published")), 0.99)
    order = found.boxes[0, :2, 0].argsort()
    for m, i in enumerate(order):
        assert (found.landmarks[0, i, :, :2] - landmarks[0, m, :, :2]).abs().max() < 0.5


def test_local_maxima():
    heat = torch.tensor([[0.1, 0.5, 0.4], [0.2, 0.3, 0.9], [0.8, 0.1, 0.1]])[None, None]
    kept = local_maxima(heat)[0, 0]
    assert (kept > 0).nonzero().tolist() == [[1, 2], [2, 0]]


def test_at_most_top_garments():
    maps = {
        "hm": torch.rand(1, 13, SIDE, SIDE),
        "hm_hp": torch.rand(1, GROUPS, SIDE, SIDE),
        "wh": torch.ones(1, 2, SIDE, SIDE),
        "reg": torch.zeros(1, 2, SIDE, SIDE),
        "hps": torch.zeros(1, 2 * GROUPS, SIDE, SIDE),
        "hp_offset": torch.zeros(1, 2, SIDE, SIDE),
    }
    found = decode(maps)
    assert found.scores.shape == (1, TOP)
    assert (found.scores.diff(dim=1) <= 0).all()


def test_merging_perfect_maps_of_a_image_and_its_mirror_changes_nothing():
    boxes, category, landmarks = two_images()
    mirror = torch.tensor([1, 0, 2, 4, 3])
    maps = perfect_maps(make_targets(boxes, category, landmarks, SIZE, "published"))
    turned = boxes.clone()
    turned[..., [0, 2]] = SIZE - 1 - boxes[..., [2, 0]]
    moved = landmarks[:, :, mirror].clone()
    moved[..., 0] = SIZE - 1 - moved[..., 0]
    flipped = perfect_maps(make_targets(turned, category, moved, SIZE, "published"))
    merged = merge_flipped(maps, flipped, mirror)
    for name in ("hm", "wh", "hm_hp", "reg", "hp_offset"):
        torch.testing.assert_close(merged[name], maps[name], msg=name)
    centers = (maps["wh"][:, :1] > 0).expand_as(maps["hps"])
    torch.testing.assert_close(merged["hps"][centers], maps["hps"][centers])
