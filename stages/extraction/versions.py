"""The libraries on which the values of a feature depend."""

import importlib.metadata

LIBRARIES = (
    "torch",
    "transformers",
    "pretrainedmodels",
    "timm",
    "tokenizers",
    "opencv-python",
    "scikit-learn",
    "numpy",
    "h5py",
    "fusecat",
)


def versions() -> dict[str, str]:
    """Versions of the libraries that a feature's values depend on; those that are not installed are left out."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
