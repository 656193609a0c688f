"""One training run on two processes: equal weights, every sample once, the same as on one, resumed."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from fashion_ops.methods.parts.augment import step_generator
from fashion_ops.methods.parts.trainer import TrainerOptions, fit
from fashion_ops.methods.parts.training_module import TrainingModule
from fashion_ops.params import TrainingConfig

RUN = TrainingConfig(
    lr=0.02, lr_steps=((2, 0.02), (1, 0.002)), epochs=3, batch_size=8, precision="fp32"
)
SAMPLES, BATCHES = 32, 4


class Points(Dataset):
    """32 noisy points of a plane."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(SAMPLES, 3, generator=generator)
        self.y = self.x @ torch.tensor([[1.0], [-2.0], [0.5]])
        self.y += 0.1 * torch.randn(SAMPLES, 1, generator=generator)

    def __len__(self):
        return SAMPLES

    def __getitems__(self, indices):
        return {"x": self.x[indices], "y": self.y[indices], "index": torch.tensor(indices)}


class Plane(TrainingModule):
    """Least squares; reports which samples it saw, its noise, and how far apart the processes end."""

    def __init__(self):
        super().__init__(RUN, seed=3)
        torch.manual_seed(1)
        self.model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
        self.model.unused = nn.Linear(2, 2)  # as in DLA

    def losses(self, batch, generator):
        outputs = self.model[2](self.model[1](self.model[0](batch["x"])))
        return {
            "loss": (outputs - batch["y"]).square().mean(),
            "seen": (2.0 ** batch["index"].double()).sum(),
            "noise": torch.rand((), generator=generator, dtype=torch.float64),
        }

    def on_train_end(self):
        own = torch.cat([p.detach().flatten() for p in self.parameters()])
        everyone = self.all_gather(own).view(-1, len(own))
        self.history[-1]["processes"] = len(everyone)
        self.history[-1]["apart"] = float((everyone - everyone[0]).abs().max())


def drawn(epoch):
    """Noise of both processes in each step of an epoch."""
    steps = range(epoch * BATCHES, (epoch + 1) * BATCHES)
    cpu = torch.device("cpu")
    generators = [step_generator(3, step, cpu, rank) for step in steps for rank in (0, 1)]
    return [torch.rand((), generator=g, dtype=torch.float64).item() for g in generators]


def stop(*_):
    raise RuntimeError("the machine went away")


def test_two_processes_train_as_one_and_resume(tmp_path: Path):
    """Begun by one process, gone on by two. 2^32 - 1 is 32 powers of two only if each is there once."""
    alone, both = Plane(), Plane()
    fit(alone, Points())
    checkpoint = tmp_path / "run.ckpt"
    with pytest.raises(RuntimeError, match="went away"):
        fit(Plane(), Points(), TrainerOptions(checkpoint=checkpoint, on_epoch=stop))
    history = fit(both, Points(), TrainerOptions(checkpoint=checkpoint, devices=2))
    assert len(history) == 3 and history[-1]["processes"] == 2
    assert history[-1]["apart"] == 0
    for a, b in zip(alone.parameters(), both.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    assert history[0] == alone.history[0]
    for epoch in (1, 2):
        one, two = alone.history[epoch], history[epoch]
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
        assert one["seen"] * BATCHES == two["seen"] * BATCHES * 2 == 2**SAMPLES - 1
        noise = drawn(epoch)
        assert len(set(noise)) == 2 * BATCHES
        assert two["noise"] == pytest.approx(sum(noise) / len(noise), rel=1e-9)
    assert [p.name for p in tmp_path.iterdir()] == ["run.ckpt"]
    saved = torch.load(checkpoint, weights_only=False)
    assert saved["epoch"] == 2 and len(saved["state_dict"]["_extra_state"]["history"]) == 3


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(ValueError, match="a batch of 8 can't be shared by 3 devices"):
        fit(Plane(), Points(), TrainerOptions(devices=3))
