"""Keep the libraries of stage one from talking: what a user needs to know, we say ourselves."""

import logging
import os
import warnings


def quieten() -> None:
    """To be called before transformers is imported."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Waiting threads that spin cost a scheduler slice per operation beside any other busy process.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    for name in ("accelerate", "torch", "sacremoses"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(torch|transformers|accelerate|pretrainedmodels|sacremoses|timm)")
