"""Low-rank adaptation (Hu et al. 2021), by peft: small matrices beside those of a large network learn in their place."""

import torch
from torch import nn

from fusecat.stages.errors import UsageError


def add_adapters(backbone: nn.Module, rank: int, seed: int) -> None:
    """Freeze the backbone and put a pair of matrices of this rank beside each of its linear layers, drawn from the seed.

    Their product counts twice (`alpha` = 2 * rank, as is usual). Raises UsageError where there is nothing to put them beside.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise UsageError("training.lora: peft is not installed; run 'pip install fusecat[lora]', or set lora = 0") from error
    from transformers.pytorch_utils import Conv1D

    # by the very type: attention of torch's own reads the weights of its layers past them
    layers = [(name, module) for name, module in backbone.named_modules() if type(module) in (nn.Linear, Conv1D)]
    names = [name for name, module in layers if module.weight.requires_grad]
    if not names:
        raise UsageError(f"training.lora: {type(backbone).__name__} has no linear layers; set lora = 0")
    # BEiT, EVA-02 and Swin v2 of timm: they read the weights of a layer that they never call
    if passed := [name for name, module in layers if module.weight.requires_grad and getattr(module, "passed_by", False)]:
        raise UsageError(
            f"training.lora: {type(backbone).__name__} reads '{passed[0]}' ({len(passed)} of {len(names)} linear layers) past "
            "its layer, where matrices beside it would learn nothing; set lora = 0"
        )
    torch.manual_seed(seed)
    backbone.requires_grad_(requires_grad=False)
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=names), backbone)


def merge_adapters(backbone: nn.Module) -> None:
    """Add each product to the matrix that it was learnt beside, and leave the network as it was built."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(backbone.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent, _, last = name.rpartition(".")
            setattr(backbone.get_submodule(parent), last, module.get_base_layer())
