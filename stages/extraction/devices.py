"""Which process this is, and on what device it computes: one process is one device."""

import torch
from accelerate import PartialState


def processes() -> PartialState:
    """All processes of this launch. Without a GPU accelerate has to be told, or ranks under torchrun do not see each other."""
    return PartialState(cpu=not torch.cuda.is_available())


def leave() -> None:
    """Part from the other processes; to be called once, when all work is done."""
    processes().destroy_process_group()
