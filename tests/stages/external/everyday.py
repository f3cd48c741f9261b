"""A few vectors whose numbers are exact in every float type."""

import numpy as np
import torch

COUNT, WIDTH = 60, 5
VECTORS = np.random.default_rng(0).integers(-8, 9, (COUNT, WIDTH)).astype(np.float32) / 4
IDS = [str(number) for number in range(COUNT)]
TORCH = {
    "f64": torch.float64,
    "f32": torch.float32,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "e5m2": torch.float8_e5m2,
    "e4m3": torch.float8_e4m3fn,
}
