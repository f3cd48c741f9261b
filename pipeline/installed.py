"""The last step of an installation: import what was installed, and say in one line what a machine lacks."""

import importlib
import sys

REMEDIES = {
    "libGL": "OpenCV needs the system's libGL: run 'apt-get install libgl1'",
    "libgthread": "OpenCV needs the system's glib: run 'apt-get install libglib2.0-0'",
    "libgomp": "LightGBM and scikit-learn need OpenMP: run 'apt-get install libgomp1'",
    "torchvision::nms": "torch and torchvision are of different builds: remove .venv and install both from one index",
    "libcuda": "this build of torch needs a GPU driver: remove .venv and install the CPU builds of torch and torchvision",
}
MODULES = (
    *("torch", "torchvision", "transformers", "accelerate", "pretrainedmodels", "cv2", "h5py", "numpy", "sklearn"),
    *("scipy", "lightgbm", "optuna", "PIL", "imagehash", "selectolax", "sacremoses"),
    *("safetensors", "tokenizers", "click", "rich", "pydantic", "jinja2", "filelock"),
)


def main() -> int:
    """Import everything; 0 where all of it works."""
    for name in MODULES:
        try:
            importlib.import_module(name)
        except (ImportError, OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            remedy = next((text for sign, text in REMEDIES.items() if sign in reason), "run 'make install' again")
            print(f"error: {name} was installed but cannot be imported ({reason}). {remedy}.", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
