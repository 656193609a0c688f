"""The wardrobe's ablation on the real samples: equal garments for all arms, and it goes on."""

import argparse
from pathlib import Path

import pytest

from bench import wardrobe_ablation
from bench.resampled_oks import resampled, write_table

LABELS = Path(__file__).parents[3] / "shared" / "samples" / "deepfashion2_demo"


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> argparse.Namespace:
    if not LABELS.exists():
        pytest.skip(f"no real samples at {LABELS}")
    return argparse.Namespace(
        labels=LABELS / "annotations_coco.json",
        photos=None,
        out=tmp_path_factory.mktemp("ablation"),
        seeds=[0],
        images=26,
        garments=16,
        epochs=1,
        crop=(64, 64),
        validation=4,
        size=64,
    )


def test_arms_train_on_as_many_garments_and_a_second_run_trains_nothing(given, monkeypatch):
    trained = []
    train = wardrobe_ablation.train

    def counted(ws, garments, config, seed, folder):
        trained.append(len(garments))
        train(ws, garments, config, seed, folder)

    monkeypatch.setattr(wardrobe_ablation, "train", counted)
    scores = wardrobe_ablation.run(given)
    assert trained == [16, 16]
    assert list(scores) == ["mean shape", "edition 1", "edition 2"]
    assert all(len(arm[0]["photos"]["garments"]) == 55 for arm in scores.values())
    rows = resampled(scores, "edition 1")
    assert 0.1 < rows["mean shape"].oks < 0.5
    assert "edition 2" in write_table(rows, "edition 1")
    assert wardrobe_ablation.run(given) == scores
    assert trained == [16, 16]


def test_too_few_garments_are_said_to_be_too_few(given):
    more = argparse.Namespace(**{**vars(given), "garments": 10_000})
    with pytest.raises(ValueError, match=r"edition 1: \d+ garments on 26 images.*raise --images"):
        wardrobe_ablation.run(more)
