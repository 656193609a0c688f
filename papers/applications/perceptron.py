"""A multi-layer perceptron that predicts attributes from features."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn
from torch.nn import functional as F

HIDDEN = 256
STEPS = 300
BATCH = 256


def train_classifier(
    features: Float[np.ndarray, "n f"], labels: Int[np.ndarray, "n a"], seed: int
) -> nn.Sequential:
    """Train one hidden layer with dropout, by binary cross entropy on the known labels and AdamW.

    Args:
        features: of mean 0 and standard deviation 1.
        labels: 1 for a garment with the attribute, -1 for one without, 0 for unknown.
        seed: of weights, order and dropout.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Linear(features.shape[1], HIDDEN),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(HIDDEN, labels.shape[1]),
        )
        x, y = torch.from_numpy(features), torch.from_numpy(labels)
        optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
        for _ in range(STEPS):
            rows = torch.randint(len(x), (BATCH,))
            known = y[rows] != 0
            target = (y[rows] > 0).float()
            loss = F.binary_cross_entropy_with_logits(net(x[rows]), target, known.float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return net.eval()


@torch.inference_mode()
def predict_scores(net: nn.Module, features: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n a"]:
    """Logits of each attribute."""
    return net(torch.from_numpy(features)).numpy()
