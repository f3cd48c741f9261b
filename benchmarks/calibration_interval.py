"""Does the interval of the expected calibration error hold the true one? Simulated test parts whose truth is known.

    python -m benchmarks.calibration_interval [--simulations 400]

A model that claims c is right in c (calibrated), in a share of what it claims (boastful), where it claims more than 0.7 too
often and elsewhere too seldom (both ways), or is boastful in the top bin alone (at the top). True is the error of the 15 bins
with as many products as one likes. Printed per model and size of the part: the true error, the mean of the plain one and of
the debiased one, in points, the share of 95 % intervals that hold the true one - ours, and those of two bootstraps over
products, percentile and basic - and how wide ours is.
"""

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fusecat.stages.calibration import calibration_error, error_interval

Floats = NDArray[np.float64]

MODELS: dict[str, Callable[[Floats], Floats]] = {
    "calibrated": lambda claimed: claimed,
    "boastful, 2 points": lambda claimed: claimed * 0.973,
    "boastful, 8 points": lambda claimed: claimed * 0.89,
    "both ways, 4 points": lambda claimed: claimed - np.where(claimed > 0.7, 0.04, -0.04),
    "at the top, 3 points": lambda claimed: claimed - 0.1 * (claimed > 14 / 15),
}
SIZES = (150, 264, 1000, 10_000)


def claims(n: int, random: np.random.Generator) -> Floats:
    """(n,) probabilities of the predicted class, as heads of 27 classes give them: many near 1, few below 0.2."""
    return 0.08 + 0.92 * random.beta(2.2, 0.9, n)


def resampled(claimed: Floats, right: NDArray[np.bool_], random: np.random.Generator) -> Floats:
    """The errors of 200 bootstrap samples of products."""
    rows = random.integers(len(right), size=(200, len(right)))
    return np.array([calibration_error(claimed[each], right[each]) for each in rows])


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--simulations", type=int, default=400)
    count = words.parse_args().simulations
    for name, model in MODELS.items():
        many = claims(2_000_000, np.random.default_rng(0))
        # of as many products as one likes: right in the share that is right
        truth = calibration_error(many, model(many))
        for size in SIZES:
            random, held, plain, debiased, width = np.random.default_rng(size), np.zeros(3), 0.0, 0.0, 0.0
            for _ in range(count):
                claimed = claims(size, random)
                right = random.random(size) < model(claimed)
                error, (low, middle, high) = calibration_error(claimed, right), error_interval(claimed, right)
                bounds = np.quantile(resampled(claimed, right, random), [0.025, 0.975])
                basic = np.maximum(2 * error - bounds[::-1], 0)
                ways = ((low, high), bounds, basic)
                held += [bottom - 1e-4 <= truth <= top + 1e-4 for bottom, top in ways]
                plain, debiased, width = plain + error, debiased + middle, width + high - low
            named = zip(("ours", "percentile", "basic"), 100 * held / count, strict=True)
            shares = "  ".join(f"{way} {share:5.1f} %" for way, share in named)
            told = f"true {100 * truth:4.2f}, plain {100 * plain / count:5.2f}, debiased {100 * debiased / count:5.2f}"
            print(f"{name:22s} n = {size:6,}: {told}; {shares}; width {100 * width / count:4.1f}", flush=True)


if __name__ == "__main__":
    main()
