"""What cheap cameras and their light do to a picture: exposure, colour, blur, noise, JPEG."""

from functools import lru_cache

import cv2
import numpy as np

from fashion_ops.synthetic.wardrobe import brush

_NOISE = 256  # side of a tile of noise, pixels


@lru_cache(maxsize=2)
def _noise(colored: bool) -> np.ndarray:
    """Smooth sensor noise around 128, standard deviation 32: uint8, two periods a side."""
    white = np.random.default_rng(97 + colored).standard_normal((_NOISE, _NOISE, 3 if colored else 1))
    soft = cv2.GaussianBlur(np.tile(white, (2, 2, 1 if colored else 3)), (0, 0), 0.6)
    soft *= 32 / soft.std()
    return np.clip(128 + soft, 0, 255).astype(np.uint8)


def develop(rng: np.random.Generator, image: np.ndarray, source: str) -> np.ndarray:
    """Apply light, exposure, white balance, blur and noise to a BGR uint8 image (h, w, 3).

    Args:
        rng: draws all strengths.
        image: from the canvas.
        source: ``user`` images are worse than ``shop`` ones.
    """
    strength = 0.6 if source == "shop" else 1.0
    image = _colored(rng, image, strength)
    image = brush.shaded(image, _light(rng, image.shape[:2], strength))
    image = _blurred(rng, image, strength)
    height, width = image.shape[:2]
    y, x = rng.integers(_NOISE, size=2)
    noise = _noise(bool(rng.random() < 0.5))
    sigma = abs(float(rng.normal(0, 3.8))) * strength / 32
    for top in range(0, height, _NOISE):  # larger pictures repeat the tile
        for left in range(0, width, _NOISE):
            part = image[top : top + _NOISE, left : left + _NOISE]
            h, w = part.shape[:2]
            cv2.addWeighted(part, 1.0, noise[y : y + h, x : x + w], sigma, -128 * sigma, part)
    return image


def _colored(rng: np.random.Generator, image: np.ndarray, strength: float) -> np.ndarray:
    """White balance, saturation and tint as one matrix; exposure, contrast and gamma as one table."""
    balance = np.exp(rng.normal(0, 0.09 * strength, 3) * (1, 0.5, 1))
    saturation = float(np.clip(rng.normal(1.0, 0.22 * strength), 0.3, 1.6))
    grey = np.full((3, 3), 1 / 3) * (1 - saturation)
    matrix = np.diag(balance) @ (np.eye(3) * saturation + grey)
    image = cv2.transform(image, matrix)
    gamma = float(np.exp(rng.normal(-0.12, 0.18 * strength)))
    contrast, lift = rng.normal(1.18, 0.14 * strength), rng.normal(0.01, 0.04 * strength)
    target = float(np.clip(rng.normal(0.53, 0.09), 0.2, 0.8))
    level = np.linspace(0, 1, 256) ** gamma
    level = (level - 0.5) * contrast + 0.5 + lift
    counts = cv2.calcHist([image], [1], None, [256], [0, 256]).ravel()
    mean = float(counts @ np.clip(level, 0, 1)) / image.shape[0] / image.shape[1]
    # the camera's own exposure makes up for most of a dark or bright motif
    exposure = (target / max(mean, 0.02)) ** 0.65
    table = np.clip(level * np.clip(exposure, 0.6, 2.2) * 255, 0, 255).astype(np.uint8)
    return cv2.LUT(image, table)


def _light(rng: np.random.Generator, shape: tuple[int, int], strength: float) -> np.ndarray:
    """Uneven light, a vignette, and sometimes the edge of a cast shadow, as a shade (h, w)."""
    angle, side = rng.uniform(0, 2 * np.pi), 33
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    slope = rng.uniform(0, 0.3) * strength * (np.cos(angle) * x + np.sin(angle) * y)
    gain = rng.normal(1.05, 0.06 * strength) + slope - rng.uniform(0, 0.2) * strength * (x * x + y * y)
    if rng.random() < 0.25 * strength:
        turn = rng.uniform(0, 2 * np.pi)
        edge = np.cos(turn) * x + np.sin(turn) * y + rng.uniform(-0.6, 0.6)
        edge = edge + 0.2 * np.sin(rng.uniform(2, 7) * (np.sin(turn) * x - np.cos(turn) * y))
        gain = gain * (1 - rng.uniform(0.1, 0.45) / (1 + np.exp(-edge * rng.uniform(4, 25))))
    small = np.clip(gain * brush.UNIT, 0, 255).astype(np.uint8)
    return cv2.resize(small, shape[::-1], interpolation=cv2.INTER_LINEAR)


def _blurred(rng: np.random.Generator, image: np.ndarray, strength: float) -> np.ndarray:
    """Out of focus, shaken, enlarged from a smaller picture, or sharpened; often none of them."""
    kind = rng.random() / strength
    height, width = image.shape[:2]
    if kind < 0.1:
        return cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 1.1)) * max(width, height) / 256)
    if kind < 0.13:
        length = int(rng.integers(3, 8)) * max(width, height) // 256 | 1
        kernel = np.zeros((length, length), np.float32)
        angle = rng.uniform(0, np.pi)
        reach = np.array([np.cos(angle), np.sin(angle)]) * (length - 1) / 2
        middle = (length - 1) / 2
        start, end = ((middle + sign * reach).round().astype(int).tolist() for sign in (-1, 1))
        cv2.line(kernel, start, end, 1.0)
        return cv2.filter2D(image, -1, kernel / kernel.sum())
    if kind < 0.24:
        zoom = float(rng.uniform(0.5, 0.9))
        small = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    amount = float(rng.uniform(0, 1.2))
    if rng.random() < 0.5:  # sharpened by the camera
        return cv2.addWeighted(image, 1 + amount, cv2.GaussianBlur(image, (0, 0), 0.8), -amount, 0)
    return image


def sample_quality(rng: np.random.Generator, source: str) -> int:
    """Quality of the JPEG, 45..95."""
    return int(rng.integers(70, 96) if source == "shop" else rng.integers(45, 96))
