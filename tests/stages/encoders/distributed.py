"""A small extraction to be started by torchrun: distributed.py CATALOGUE WORKSPACE [RANK_TO_KILL]."""

import dataclasses
import os
import signal
import sys
from pathlib import Path

from stages.encoders.quiet import quieten


def main() -> None:
    quieten()  # before transformers is imported
    from stages.encoders.devices import leave
    from stages.extraction import encoders, extract
    from stages.workspace import Workspace
    from tests.stages.encoders.small import EXTRACTION, FLAUBERT, open_study

    catalogue, workspace, *victim = sys.argv[1:]
    extraction = dataclasses.replace(EXTRACTION, block=32)

    def progress(feature: str, phase: str, done: int, total: int, note: str = "") -> None:
        if victim and phase == "extraction" and os.environ["RANK"] == victim[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    chosen = encoders((FLAUBERT,), extraction, ["title_description"])
    extract(open_study(Path(catalogue)), chosen, Workspace(Path(workspace)), progress=progress)
    leave()


if __name__ == "__main__":
    main()
