"""Networks of the service in OpenVINO: as in torch, or not written; exports that fail or hang."""

import copy
import errno
import multiprocessing
import os
from contextlib import contextmanager
from multiprocessing import Pipe

import jaxtyping
import numpy as np
import pytest
import torch

from fashion_ops.inference.example import Example
from fashion_ops.inference.openvino_networks import OpenvinoLandmarker, OpenvinoModule, OpenvinoRefiner
from fashion_ops.inference.openvino_pipeline import write_landmarker, write_refiner
from fashion_ops.serving import exporting
from fashion_ops.serving.champion import Loader
from fashion_ops.serving.exporting import _export, export_apart
from fashion_ops.taxonomy import category


@contextmanager
def unchecked():
    """Without the checks of annotations: the sizes of a traced network are tensors."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def exported(model, cls, path, write):
    """A landmarker or refiner whose network runs in OpenVINO."""
    with unchecked():
        write(path)
    return cls(**{**vars(model), "model": OpenvinoModule(path, 2)})


@pytest.mark.usefixtures("openvino_in_fp32")
@pytest.mark.parametrize("changes", [{}, {"flip_test": False}, {"flip_test": True, "decode": "argmax"}])
def test_a_landmarker_in_openvino_gives_what_torch_gives(predictor, tmp_path, changes):
    kind, landmarker = category(1), predictor.pipeline.finetuned[1].with_decoding(**changes)
    served = exported(
        landmarker,
        OpenvinoLandmarker,
        tmp_path / "a.xml",
        lambda path: write_landmarker(landmarker, kind, path),
    )
    width, height = landmarker.crop
    crops = torch.randint(0, 256, (5, 3, height, width), dtype=torch.uint8)
    ids = np.full(5, kind.id)
    ours, theirs = (np.stack(m.predict_crops(crops, ids)) for m in (served, landmarker))
    assert ours.shape == (5, kind.num_landmarks, 3)
    np.testing.assert_allclose(ours, theirs, atol=0.02)
    (alone,) = served.predict_crops(crops[3:4], ids[3:4])
    np.testing.assert_allclose(alone, ours[3], atol=0.02)
    (output,) = served.model(crops[3:4])
    assert torch.equal(output, served.model(crops)[3])  # what is in the batch changes no bit
    with pytest.raises(ValueError, match="score all"):
        served.predict_channels_and_stds(crops, ids)


@pytest.mark.usefixtures("openvino_in_fp32")
def test_a_refiner_in_openvino_gives_what_torch_gives(predictor, tmp_path):
    refiner = predictor.pipeline.refined[1]
    served = exported(
        refiner, OpenvinoRefiner, tmp_path / "b.xml", lambda path: write_refiner(refiner, path)
    )
    width, height = refiner.crop
    crops = torch.randint(0, 256, (3, 3, height, width), dtype=torch.uint8)
    points = torch.rand(3, refiner.category.num_landmarks, 3) * torch.tensor([width, height, 1.0])
    torch.testing.assert_close(
        served.refine(crops, points), refiner.refine(crops, points), atol=0.02, rtol=0
    )


def test_a_network_that_openvino_computes_otherwise_is_not_written(predictor, tmp_path, monkeypatch):
    landmarker = predictor.pipeline.finetuned[1]
    trace = torch.jit.trace

    def trace_another(model, *arguments, **options):
        other = copy.deepcopy(model)
        next(other.parameters()).data.mul_(1.5)
        return trace(other, *arguments, **options)

    monkeypatch.setattr("torch.jit.trace", trace_another)
    with unchecked(), pytest.raises(ValueError, match="a: in OpenVINO it differs from torch"):
        write_landmarker(landmarker, category(1), tmp_path / "a.xml")


def test_what_hinders_an_export_is_told_in_one_line(tmp_path):
    receiving, sending = Pipe(duplex=False)
    _export(tmp_path / "none", tmp_path / "networks", sending)
    line, passing = receiving.recv()
    assert "none" in line and "\n" not in line and not (tmp_path / "networks").exists()
    assert not passing


def test_what_hinders_an_export_on_this_machine_may_pass(tmp_path, monkeypatch):
    def export(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "a.xml")

    monkeypatch.setattr("fashion_ops.inference.alignment_predictor.load_bundle", export)
    receiving, sending = Pipe(duplex=False)
    _export(tmp_path, tmp_path / "networks", sending)
    line, passing = receiving.recv()
    assert "free some space" in line and passing


def test_an_export_that_hangs_is_stopped_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "_MINUTES", 0)
    with pytest.raises(TimeoutError, match=r"networks: the export of .*garments-7 has not ended in 0"):
        export_apart(tmp_path / "garments-7", tmp_path / "networks")
    assert not multiprocessing.active_children()


@pytest.mark.skipif(not os.environ.get("FASHION_OPS_LONG"), reason="exports 27 networks")
def test_a_whole_version_is_exported_once_beside_the_service_and_passes_its_check(bundle, tmp_path):
    loader, networks = Loader("openvino", threads=2), tmp_path / "networks"
    first = loader.load(bundle, networks)
    made = {path: path.stat().st_mtime_ns for path in networks.rglob("*") if path.is_file()}
    assert len(made) > 2 * 26
    second = loader.load(bundle, networks)
    assert made == {path: path.stat().st_mtime_ns for path in made}
    example = Example.of(first)
    example.check(second)
    assert example.garments == Example.of(second).garments
    next(networks.glob("refined-*.bin")).write_bytes(b"")
    with pytest.raises((ValueError, RuntimeError)):
        loader.load(bundle, networks)
    with pytest.raises(ValueError, match="detector"):
        export_apart(tmp_path / "none", tmp_path / "other")
