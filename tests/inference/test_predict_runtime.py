"""Photos to garments the edge way: reduced decoding, the three runtimes, the command line."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from fashion_ops.cli import app
from fashion_ops.files.outputs import OutputRefused, check_folder
from fashion_ops.inference.edge import EdgePredictor
from fashion_ops.inference.predictor import decode_photo
from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.centernet.deploy.graph import EXPORT
from fashion_ops.methods.centernet.deploy.photo import decode_reduced
from fashion_ops.methods.centernet.inference import Detector
from fashion_ops.methods.centernet.model import CenterNet
from fashion_ops.methods.parts.device import CPU
from fashion_ops.params import PostProcess
from fashion_ops.synthetic.wardrobe.generate import encode
from fashion_ops.synthetic.wardrobe.plan import plan
from fashion_ops.taxonomy import category, load_grouping

SIZE = 64
runner = CliRunner()


def jpeg(pixels, orientation=1):
    done, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert done
    exif = Image.Exif()
    exif[0x0112] = orientation
    head = b"\xff\xe1" + (len(exif.tobytes()) + 2).to_bytes(2) + exif.tobytes()
    return data.tobytes()[:2] + head + data.tobytes()[2:]


def spot(width, height, x, y, radius=14):
    """A black image with a bright, soft disc."""
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1)
    far = np.linalg.norm(grid - (x, y), axis=-1)
    disc = (255 * np.clip(radius - far, 0, 4) / 4).astype(np.uint8)
    return np.repeat(disc[..., None], 3, 2)


def middle(pixels):
    weight = pixels[..., 0].astype(float) * (pixels[..., 0] > 20)
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("width", "height", "factor"), [(403, 300, 4), (261, 197, 4), (801, 638, 8)])
def test_reduced_pixels_know_their_place(width, height, factor, orientation):
    data = jpeg(spot(width, height, 0.7 * width, 0.3 * height), orientation)
    whole = decode_photo(data, "photo")
    photo = decode_reduced(data, "photo", SIZE)
    assert photo.factor == factor and max(photo.pixels.shape) >= SIZE
    assert photo.size == (whole.shape[1], whole.shape[0])
    assert np.abs(photo.to_photo(middle(photo.pixels)) - middle(whole)).max() < 0.25


def test_small_and_other_images_are_decoded_whole():
    pixels = spot(127, 90, 60, 40)
    assert decode_reduced(jpeg(pixels), "photo", SIZE).pixels.shape == (90, 127, 3)
    big = spot(500, 400, 200, 100)
    photo = decode_reduced(cv2.imencode(".png", big)[1].tobytes(), "photo", SIZE)
    assert photo.factor == 1 and np.array_equal(photo.pixels, big) and photo.size == (500, 400)
    with pytest.raises(ValueError, match=r"holiday\.jpg: .*"):
        decode_reduced(jpeg(big)[:900], "holiday.jpg", SIZE)


class BrightSpot:
    """Instead of a network: a trousers' centre on the brightest cell, 6 x 4 cells, landmarks on it."""

    def __call__(self, images):
        cells = torch.nn.functional.avg_pool2d(images[:, :1].float() / 255, 4)
        groups = load_grouping("semantic62").num_groups
        b, _, h, w = cells.shape
        maps = {n: torch.zeros(b, c, h, w) for n, c in (("hm", 13), ("hps", 2 * groups))}
        maps["hm"][:, 7:8] = cells**2
        maps |= {n: torch.full((b, 2, h, w), 0.5) for n in ("reg", "hp_offset")}
        maps["wh"] = torch.tensor([6.0, 4.0]).view(1, 2, 1, 1).expand(b, 2, h, w)
        return maps | {"hm_hp": torch.zeros(b, groups, h, w)}


def test_garments_of_a_reduced_photo_lie_in_the_whole_photo():
    spec = {"backbone": "tiny", "input_size": SIZE, "grouping": "semantic62", "score_threshold": 0.3}
    predictor = EdgePredictor(Detector(BrightSpot(), spec, PostProcess(flip=False)))
    data = jpeg(spot(1200, 900, 900, 300, radius=90), orientation=6)
    garment = predictor.predict(data, 0.1)[0]
    x1, y1, x2, y2 = garment.box
    assert garment.category == "trousers"
    # Turned by 90 degrees: (900, 300) of 1200 x 900 is at (599, 900) of 900 x 1200.
    cell = 4 * 1200 / SIZE
    assert abs((x1 + x2) / 2 - 599) < cell and abs((y1 + y2) / 2 - 900) < cell
    assert (x2 - x1, y2 - y1) == pytest.approx((6 * cell, 4 * cell), rel=0.01)
    assert all(x1 <= x <= x2 and y1 <= y <= y2 for x, y, _ in garment.landmarks.values())


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A detector with random weights and peaks, and two photos of the wardrobe."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "params.yaml").write_text("{}\n")
    torch.manual_seed(3)
    net = CenterNet("tiny", load_grouping("semantic62").num_groups, 16, 16)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.Conv2d) and module.out_channels == 13:
                module.weight *= 20
    spec = {
        "method": "centernet",
        "grouping": "semantic62",
        "backbone": "tiny",
        "neck_width": 16,
        "head_width": 16,
        "input_size": SIZE,
        "score_threshold": 0.05,
        "precision": "fp32",
    }
    (folder / "models" / "detector").mkdir(parents=True)
    save_model(folder / "models" / "detector", net, spec)
    for name, shot in zip(("a", "b"), plan(0, "validation", 4, 0.35), strict=False):
        (folder / f"{name}.jpg").write_bytes(encode(shot, 256)[0])
    return folder


def run(*words):
    return runner.invoke(app, [str(w) for w in words])


def test_the_runtimes_find_the_same_garments(shop, monkeypatch):
    monkeypatch.chdir(shop)
    done = run("export", "detector", "--format", "onnx", "--decode")
    assert done.exit_code == 0 and "gives garments" in done.output and "landmarks" in done.output
    assert run("export", "detector", "--format", "openvino", "--precision", "fp32").exit_code == 0
    for export in (shop / "exports").iterdir():
        check_folder(export, EXPORT)  # it may be replaced, until something else is in it
        (export / "notes.txt").write_text("mine")
        with pytest.raises(OutputRefused, match=r"holds notes\.txt"):
            check_folder(export, EXPORT)
    predictor = EdgePredictor.load(shop / "models" / "detector", "torch", CPU)
    score = max(predictor.predict(shop / f"{n}.jpg", 0.0)[6].score for n in "ab") + 1e-4
    models = {
        "torch": "models/detector",
        "onnx": "exports/detector-onnx",
        "openvino": "exports/detector-openvino",
    }
    found = {}
    for runtime, model in models.items():
        words = ("--model", model, "--runtime", runtime, "--min-score", score, "--out", runtime)
        done = run("predict", "a.jpg", "b.jpg", *words)
        assert done.exit_code == 0, done.output
        found[runtime] = [json.loads((shop / runtime / f"{n}.json").read_text()) for n in "ab"]
        assert (shop / runtime / "a.png").stat().st_size > 1000
        words = (
            "--model",
            model,
            "--runtime",
            runtime,
            "--min-score",
            score,
            "--table",
            f"t-{runtime}",
        )
        done = run("predict", "[ab].jpg", *words)
        assert done.exit_code == 0 and "2 photos" in done.output, done.output
        rows = pd.read_parquet(shop / f"t-{runtime}" / "photos")
        assert rows["uri"].to_list() == [str(shop / f"{n}.jpg") for n in "ab"]
        for garments, one in zip(rows["garments"], found[runtime], strict=True):
            assert [g["category"] for g in garments] == [g["category"] for g in one["garments"]]
            for a, b in zip(garments, one["garments"], strict=True):
                points = [[p["x"], p["y"], p["score"]] for p in b["landmarks"].values()]
                near = 1.0  # pixels: flat maps of a network that learnt little turn rounding into cells
                assert a["box"] == pytest.approx(b["box"], abs=near), runtime
                assert a["landmarks"] == pytest.approx(np.ravel(points), abs=near), runtime
    wrong = run("predict", "[ab].jpg", "--table", "t-torch", "--model", models["torch"])
    assert wrong.exit_code == 2 and "holds results for --min-score" in wrong.output
    assert sum(len(f["garments"]) for f in found["torch"]) > 2
    for runtime in ("onnx", "openvino"):
        for ours, theirs in zip(found[runtime], found["torch"], strict=True):
            assert len(ours["garments"]) == len(theirs["garments"])
            for a, b in zip(ours["garments"], theirs["garments"], strict=True):
                assert a["category"] == b["category"] and abs(a["score"] - b["score"]) < 1e-3
                assert np.abs(np.subtract(a["box"], b["box"])).max() < 1
                assert list(a["landmarks"]) == list(category(a["category"]).landmark_names)
                for name, point in a["landmarks"].items():
                    assert abs(point["x"] - b["landmarks"][name]["x"]) < 1, name
                    assert abs(point["y"] - b["landmarks"][name]["y"]) < 1, name

    wrong = run("predict", "a.jpg", "--out", "x", "--model", models["openvino"], "--runtime", "onnx")
    assert wrong.exit_code == 2 and "is an export for openvino" in wrong.output
    wrong = run("predict", "a.jpg", "--out", "x", "--model", models["onnx"])
    assert wrong.exit_code == 2 and "--runtime onnx" in wrong.output
    wrong = run("predict", "a.jpg", "--out", "x", "--model", "models", "--runtime", "openvino")
    assert wrong.exit_code == 2 and "no exported detector here" in wrong.output
    (shop / "broken.jpg").write_bytes((shop / "a.jpg").read_bytes()[:3000])
    words = ("--out", "x", "--model", models["onnx"], "--runtime", "onnx")
    words_of_table = ("--table", "t-bad", "--model", models["onnx"], "--runtime", "onnx")
    done = run("predict", "broken.jpg", "a.jpg", *words_of_table, "--coco")
    assert done.exit_code == 0 and "1 x image truncated" in done.output, done.output
    coco = json.loads((shop / "t-bad" / "coco.json").read_text())
    assert {result["image_id"] for result in coco} <= {2}
    wrong = run("predict", "broken.jpg", "nowhere.jpg", "a.jpg", *words)
    assert wrong.exit_code == 1 and (shop / "x" / "a.json").is_file()
    assert "broken.jpg" in wrong.output and "nowhere.jpg: cannot be read" in wrong.output
