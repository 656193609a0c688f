"""How a training is carried out: formats, sums, checkpoints in time, workers, ``torch.compile``."""

import ast
import copy
import multiprocessing
import multiprocessing.util
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from bench.gpu_methods import Method, methods, nothing_cached
from fashion_ops.methods.parts import loader_workers, precision, trainer
from fashion_ops.methods.parts.precision import computes_bf16, full_precision, training_dtype
from fashion_ops.methods.parts.trainer import TrainerOptions, fit
from fashion_ops.methods.parts.training_module import TrainingModule
from fashion_ops.methods.top_down.loss import _all_maps_loss, heatmap_loss
from fashion_ops.params import Distributed, TrainingConfig

RUN = TrainingConfig(lr=0.02, epochs=3, batch_size=4, precision="fp32")
ROOT = Path(__file__).parents[2]
LIMIT = 5.0  # `clip_gradients` of RUN


class Points(Dataset):
    """12 points of a steep plane."""

    def __init__(self):
        self.x = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))

    def __len__(self):
        return len(self.x)

    def __getitems__(self, indices):
        return self.x[indices]


def target(batch):
    return 40 * batch.sum(1, keepdim=True)


class Plane(TrainingModule):
    """Least squares; keeps each loss and the gradients that the optimizer is given."""

    def __init__(self, config=RUN, sgd=False):
        super().__init__(config, seed=3)
        torch.manual_seed(1)
        self.model, self.sgd = nn.Linear(3, 1), sgd
        self.seen, self.batches, self.gradients = [], [], []

    def losses(self, batch, generator):
        loss = (self.model(batch) - target(batch)).square().mean()
        self.seen.append(float(loss.detach()))
        self.batches.append(batch)
        return {"loss": loss, "half": loss / 2}

    def on_before_optimizer_step(self, optimizer):
        super().on_before_optimizer_step(optimizer)
        self.gradients.append(torch.cat([p.grad.flatten() for p in self.parameters()]).clone())

    def configure_optimizers(self):
        if self.sgd:
            return torch.optim.SGD(self.model.parameters(), lr=1e-3)
        return super().configure_optimizers()


def test_losses_summed_on_the_device_have_the_bits_of_numbers_summed_in_python():
    module = Plane()
    history = fit(module, Points())
    for epoch, values in enumerate(history):
        losses = module.seen[3 * epoch : 3 * epoch + 3]
        assert values["loss"] == sum(losses) / 3
        assert values["half"] == sum(loss / 2 for loss in losses) / 3


@pytest.mark.parametrize("sgd", [False, True], ids=["fused", "not fused"])
def test_fp16_clips_the_gradients_of_the_loss_and_not_those_of_the_scaled_loss(monkeypatch, sgd):
    """Lightning unscales before our hook unless the optimizer is fused, which would within its step."""
    monkeypatch.setattr(trainer, "training_dtype", lambda *_: torch.float16)
    module = Plane(sgd=sgd)
    start = copy.deepcopy(module.model)
    fit(module, Points())
    finite = [step for step, g in enumerate(module.gradients) if g.isfinite().all()]
    first = finite[0]  # until then the scale was too large, and the steps were left out
    assert first > 0 and finite == list(range(first, 9))
    assert module.gradients[first].norm() == pytest.approx(LIMIT, rel=1e-4)
    start(module.batches[first]).sub(target(module.batches[first])).square().mean().backward()
    exact = torch.cat([p.grad.flatten() for p in start.parameters()])
    assert exact.norm() > 2 * LIMIT
    exact *= LIMIT / exact.norm()
    torch.testing.assert_close(module.gradients[first], exact, rtol=1e-2, atol=1e-2)
    assert not torch.equal(module.model.weight, start.weight)


def test_bf16_is_computed_where_the_hardware_does_and_fp16_only_in_training_on_gpus(monkeypatch):
    asked = []

    def supported(including_emulation=True):
        asked.append(including_emulation)
        return including_emulation  # as a GPU of before Ampere answers

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert training_dtype("auto", "cuda") is torch.float16 and asked == [False]
    assert not computes_bf16("auto", "cuda")
    assert training_dtype("fp32", "cuda") is torch.float32
    assert training_dtype("bf16", "cuda") is torch.bfloat16
    monkeypatch.setattr(precision, "computes_bf16", lambda *_: False)
    assert training_dtype("auto", "cpu") is torch.float32


def test_coordinates_are_computed_without_tf32():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with full_precision():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("kind", ["mse", "cross_entropy"])
def test_the_loss_of_all_maps_is_that_of_the_labelled_ones(kind):
    generator = torch.Generator().manual_seed(0)
    predicted = torch.randn(3, 5, 6, 4, generator=generator, requires_grad=True)
    target = torch.rand(3, 5, 6, 4, generator=generator)
    for weight in (torch.rand(3, 5, generator=generator).round(), torch.zeros(3, 5)):
        losses = [f(predicted, target, weight, kind) for f in (heatmap_loss, _all_maps_loss)]
        torch.testing.assert_close(*losses)
        torch.testing.assert_close(*(torch.autograd.grad(loss, predicted)[0] for loss in losses))


def test_checkpoints_are_written_when_their_interval_has_passed(tmp_path, monkeypatch):
    """Epochs of four minutes, a checkpoint every ten: after 12 and 24 minutes; the rest resumes."""
    clock = [0.0]
    monkeypatch.setattr(trainer, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    file, written = tmp_path / "run.ckpt", []
    config = RUN.model_copy(update={"epochs": 8})

    class Slow(Plane):
        def on_train_epoch_start(self):
            super().on_train_epoch_start()
            clock[0] += 240

    Slow.__name__ = Plane.__name__  # whose run it is

    def on_epoch(epoch, _):
        done = torch.load(file, weights_only=False)["epoch"] + 1 if file.exists() else 0
        written.append(done)
        if epoch == 7:
            raise RuntimeError("the node goes")

    options = TrainerOptions(checkpoint=file, checkpoint_minutes=10, on_epoch=on_epoch)
    with pytest.raises(RuntimeError, match="the node goes"):
        fit(Slow(config), Points(), options)
    assert written == [0, 0, 3, 3, 3, 6, 6]
    resumed, whole = Plane(config), Plane(config)
    assert fit(resumed, Points(), TrainerOptions(checkpoint=file)) == fit(whole, Points())
    assert len(resumed.seen) == 2 * 3
    assert torch.equal(resumed.model.weight, whole.model.weight)


def test_the_networks_are_compiled_for_the_training_only(monkeypatch):
    calls = []

    def compile_(function, *_, **__):
        def compiled(*args, **kwargs):
            calls.append(function)
            return function(*args, **kwargs)

        return compiled

    monkeypatch.setattr(torch, "compile", compile_)
    module, plain = Plane(), Plane()
    assert fit(module, Points(), TrainerOptions(compile=True)) == fit(plain, Points())
    assert len(calls) == 9  # steps of the one that is compiled
    module.model(torch.zeros(1, 3))
    assert len(calls) == 9


def test_a_machine_that_cannot_compile_is_told_in_one_line(monkeypatch):
    class NoCompiler(Exception):
        __module__ = "torch._inductor.exc"

    def compile_(*_, **__):
        raise NoCompiler(
            "InvalidCxxCompiler: No working C++ compiler found\n\nSet TORCHDYNAMO_VERBOSE=1"
        )

    monkeypatch.setattr(torch, "compile", compile_)
    with pytest.raises(ValueError, match=r"^distributed\.compile: .* C\+\+ .* found; set it to false$"):
        fit(Plane(), Points(), TrainerOptions(compile=True))


def test_the_setting_of_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device cuda: this process sees no GPU"):
        fit(Plane(), Points(), TrainerOptions(device="cuda"))


def test_workers_end_with_the_training_also_with_one_that_fails():
    def fail(*_):
        raise RuntimeError("stop")

    fit(Plane(), Points(), TrainerOptions(loader_workers=2))
    assert multiprocessing.active_children() == []
    with pytest.raises(RuntimeError, match="stop"):
        fit(Plane(), Points(), TrainerOptions(loader_workers=2, on_epoch=fail))
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("method", methods(small=True), ids=lambda method: method.name)
def test_every_method_learns_the_same_bits_from_any_number_of_workers(method: Method, tmp_path):
    points = []
    for workers in (0, 2):
        folder = tmp_path / str(workers)
        folder.mkdir()
        with nothing_cached():
            model = method.train(6, 2, TrainerOptions(loader_workers=workers), folder)
            points.append(method.points(model, torch.device("cpu"), "fp32"))
    assert (points[0] == points[1]).all()


def test_the_settings_of_distributed_reach_the_options():
    settings = Distributed(device="cpu", loader_workers=3, compile=True)
    options = TrainerOptions.of(settings, bar=True)
    assert options == TrainerOptions(device="cpu", loader_workers=3, compile=True, bar=True)


TRAININGS = {"train_stage", "train_deeppose", "train_idpr", "add_routing", "train_gle"}


def test_every_training_of_a_step_a_command_or_a_paper_is_told_how():
    """``TrainerOptions(...)`` names device and loader workers, and no training is left without."""
    wrong, seen = [], 0
    files = [ROOT / "fashion_ops" / room for room in ("steps", "commands")] + [ROOT / "papers"]
    for path in sorted(file for folder in files for file in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            given = {keyword.arg for keyword in node.keywords}
            if name == "TrainerOptions":
                wrong += [] if given >= {"device", "loader_workers", "compile"} else [path, node.lineno]
            elif name in TRAININGS:
                positions = {"train_stage": 7, "train_gle": 99, "add_routing": 5}
                told = "options" in given or len(node.args) >= positions.get(name, 5)
                wrong += [] if told else [path, node.lineno]
            seen += name in TRAININGS | {"TrainerOptions"}
    assert wrong == [] and seen > 10


@pytest.mark.parametrize("trouble", ["too long", "gone"])
def test_workers_find_a_place_for_their_sockets(tmp_path, monkeypatch, trouble):
    folder = tmp_path / ("x" * (100 if trouble == "too long" else 1))
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    process = multiprocessing.current_process()
    monkeypatch.setitem(process._config, "tempdir", None)
    first = multiprocessing.util.get_temp_dir()
    if trouble == "gone":
        shutil.rmtree(folder)
        monkeypatch.setattr(tempfile, "tempdir", None)
    fit(Plane(), Points(), TrainerOptions(loader_workers=2))
    assert process._config["tempdir"] != first and Path(process._config["tempdir"]).is_dir()
    Path(first).mkdir(parents=True, exist_ok=True)  # Python deletes it at its exit


class Unsendable(Points):
    """Its batches cannot be pickled, so a worker prints why and sends nothing."""

    def __getitems__(self, indices):
        return lambda: None


def test_workers_that_send_nothing_end_the_training(monkeypatch):
    monkeypatch.setattr(trainer, "BATCH_SECONDS", 1.0)
    monkeypatch.setattr(loader_workers, "BATCH_SECONDS", 1.0)
    with pytest.raises(TimeoutError, match=r"sent no batch for 1 s.*distributed\.loader_workers: 0"):
        fit(Plane(), Unsendable(), TrainerOptions(loader_workers=1))
