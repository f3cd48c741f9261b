"""A small extraction to be started by torchrun: distributed.py CATALOGUE WORKSPACE [--kill RANK] [--folds K] [--freeze]."""

import argparse
import dataclasses
import os
import signal
from pathlib import Path

from fusecat.stages.extraction.quiet import quieten


def main() -> None:
    quieten()  # before transformers is imported
    from fusecat.stages.extraction.devices import leave
    from fusecat.stages.extraction.extract import encoders, extract
    from fusecat.stages.workspace import Workspace
    from tests.stages.extraction.small import EXTRACTION, FLAUBERT, open_study

    parser = argparse.ArgumentParser()
    parser.add_argument("catalogue", type=Path)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--kill")
    parser.add_argument("--folds", type=int, default=0)
    parser.add_argument("--freeze", action="store_true")
    options = parser.parse_args()
    extraction = dataclasses.replace(EXTRACTION, block=32, folds=options.folds)

    def progress(feature: str, phase: str, done: int, total: int, note: str = "") -> None:
        if phase == "extraction" and os.environ["RANK"] == options.kill:
            os.kill(os.getpid(), signal.SIGKILL)

    network = dataclasses.replace(FLAUBERT, training=dataclasses.replace(FLAUBERT.training, freeze=options.freeze))
    chosen = encoders((network,), extraction, ["title_description"])
    extract(open_study(options.catalogue), chosen, Workspace(options.workspace), progress=progress)
    leave()


if __name__ == "__main__":
    main()
