"""A network tried on two products right after building: what cannot work is said before anything is paid for."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fusecat.stages.errors import ModelError, UsageError
from fusecat.stages.extraction.inputs import collate_tokens
from fusecat.stages.extraction.networks import ImageNetwork, TextNetwork, pooled
from fusecat.stages.extraction.settings import NEW, Library, Network, Pooling

CLOSE = 1e-3
"""Largest difference, as a share of a vector's largest number, that arithmetic in another order explains."""
BOTH_WAYS = {"is_causal": False, "use_bidirectional_attention": True}
"""How a configuration says that a decoder has been taught to read both ways; families that know no such key ignore it."""
SHORT, LONG = "a", "un deux trois quatre cinq six sept huit neuf dix"


def check_tokenizer(network: Network, tokenizer: Any, rows: int | None, most: int | None) -> None:
    """Raise where the tokenizer is not the network's, or texts of `length` do not fit into it.

    `rows`: of the network's embedding; `most`: tokens that it has positions for.
    """
    pieces = tokenizer.get_vocab()
    if len(pieces) - len(set(tokenizer.all_special_ids)) < 2:  # what transformers makes up for a family where it finds no file
        raise ModelError(
            f"networks.{network.name}: {network.weights} has no tokenizer, so every word would be unknown; save its files "
            "(tokenizer.json, or vocab.txt, ...) beside the weights"
        )
    largest = max(pieces.values(), default=0)
    if rows is not None and largest >= rows:
        raise ModelError(
            f"networks.{network.name}: its tokenizer numbers pieces up to {largest}, its embedding has {rows} rows; "
            "the tokenizer is that of another network"
        )
    if pad_of(tokenizer) is None:
        raise ModelError(
            f"networks.{network.name}: its tokenizer has neither a padding nor an end token; batches cannot be made"
        )
    if most is not None and network.length > most:
        raise UsageError(
            f"networks.{network.name}: length = {network.length}, the network has {most} positions; set length = {most}"
        )
    if network.training.token_dropout and tokenizer.unk_token_id is None:
        raise UsageError(f"networks.{network.name}: its tokenizer has no unknown token; set training.token_dropout = 0")


def pad_of(tokenizer: Any) -> int | None:
    """The padding token, else that of the end: behind the mask it is read by nobody."""
    found: int | None = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return found


def try_texts(network: TextNetwork, settings: Network, tokenizer: Any) -> None:
    """Two texts through the network. Raises ModelError or UsageError, in one sentence, where a vector cannot be right."""
    room = 1 if settings.pooling is Pooling.FLATTEN else 0
    rows = [
        np.asarray(row, np.int64) for row in tokenizer([SHORT, LONG], truncation=True, max_length=settings.length)["input_ids"]
    ]
    if not all(len(row) for row in rows):
        raise ModelError(
            f"networks.{settings.name}: its tokenizer ({type(tokenizer).__name__}) makes no token of the text '{LONG}'"
        )

    def collate(chosen: Sequence[Any]) -> dict[str, Tensor]:
        return collate_tokens(chosen, pad_of(tokenizer) or 0, room, settings.length)

    _try(network, settings, collate(rows), collate(rows[:1]), "the same text alone and beside a longer one")
    last = rows[1].copy()
    last[-1] += -1 if last[-1] else 1
    with _trying(network, settings):
        pair = [collate([row]) for row in (rows[1], last)]
        vectors = [network.encode(**batch)[0] for batch in pair]
        before, after = (network.backbone(**batch).last_hidden_state[:, : len(last) - 1] for batch in pair)
    silent = network.pooling is not None and settings.pooling is None and settings.weights != NEW
    causal = len(last) > 1 and torch.allclose(before, after, atol=1e-6)
    both_ways = any(getattr(network.config, key, None) is said for key, said in BOTH_WAYS.items())
    if causal and both_ways and settings.weights != NEW:
        raise ModelError(
            f"networks.{settings.name}: config.json of {settings.weights} asks for attention to both sides, transformers' "
            f"{type(network.backbone).__name__} reads left to right; compute its vectors with its makers' code and bring them "
            "with 'fusecat import'"
        )
    if silent and causal:
        raise UsageError(
            f"networks.{settings.name}: {type(network.backbone).__name__} reads left to right, so only its last token has seen "
            'the whole text; set pooling = "last" (or "mean", if that is meant)'
        )
    if torch.equal(*vectors):
        raise UsageError(
            f"networks.{settings.name}: two different texts give the same vector; pooling = '{settings.pooling}' is not its own"
        )


def try_images(network: ImageNetwork, settings: Network) -> None:
    """Two images through the network. Raises as `try_texts`."""
    side = settings.size or 0
    pixels = torch.randint(0, 256, (2, side, side, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    _try(network, settings, {"pixels": pixels}, {"pixels": pixels[:1]}, "the same image alone and beside another")


def text_width(backbone: nn.Module, settings: Network, pooling: nn.Module | None) -> int:
    """Numbers in the vector of a text. Raises ModelError where the network does not read one."""
    ids, mask = torch.tensor([[0, 1, 2]]), torch.ones(1, 3, dtype=torch.int64)

    def vector() -> Tensor:
        output = backbone(input_ids=ids, attention_mask=mask)
        found: Tensor = output.pooler_output if pooling is None else pooling(output.last_hidden_state, mask)
        return found

    return _width(vector, backbone, settings)


def image_width(backbone: nn.Module, settings: Network) -> int:
    """Numbers in the vector of an image. Raises UsageError where the network cannot take images of `size`."""
    side = settings.size or 0
    return _width(lambda: pooled(backbone(torch.zeros(1, 3, side, side))), backbone, settings)


def _width(compute: Callable[[], Tensor], module: nn.Module, settings: Network) -> int:
    with _trying(module, settings):
        vector = compute()
    if not isinstance(vector, Tensor) or vector.ndim != 2:
        what = f"numbers of shape {tuple(vector.shape)}" if isinstance(vector, Tensor) else "nothing of its own"
        raise ModelError(f"networks.{settings.name}: {type(module).__name__} gives {what}, and no vector")
    return vector.shape[1]


@contextmanager
def _trying(module: nn.Module, settings: Network) -> Iterator[None]:
    """No gradient, no dropout, no learning from a batch, and no random number that training would miss.

    Raises: UsageError or ModelError, in one sentence, for whatever the network raises.
    """
    training = [each for each in module.modules() if each.training]
    module.eval()
    try:
        # not inference_mode: what a network keeps for its next call (positions) would be of no use in training
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            yield
    except Exception as error:  # every family has its own way to fail
        reason = f"{type(error).__name__}: {' '.join(str(error).split()):.160}"
        if settings.is_image:
            dynamic = settings.library is Library.TIMM and "dynamic_img_size" not in settings.shape
            way_out = "; leave 'size' out, or for a ViT set shape = { dynamic_img_size = true }" if dynamic else ""
            raise UsageError(
                f"networks.{settings.name}: {settings.model} cannot take images of size = {settings.size} ({reason}){way_out}"
            ) from error
        how = f" with pooling '{settings.pooling}'" if settings.pooling else ""
        raise ModelError(f"networks.{settings.name}: {settings.weights} cannot read a text{how} ({reason})") from error
    finally:
        for each in training:
            each.training = True


def _try(network: Any, settings: Network, together: dict[str, Tensor], alone: dict[str, Tensor], what: str) -> None:
    """Two products together and the first alone; parameters that no vector comes from are told to learn nothing."""
    with _trying(network, settings):
        vectors: Tensor = network.encode(**together)[0]
        first = network.encode(**alone)[0]
    if not torch.isfinite(vectors).all():
        raise ModelError(
            f"networks.{settings.name}: its vectors are not all finite; are these weights those of {settings.weights}?"
        )
    difference = float((vectors[:1] - first).abs().max() / vectors.abs().max().clamp(min=1e-12))
    if difference > CLOSE:
        raise ModelError(
            f"networks.{settings.name}: {what} give different vectors (by {difference:.2g}); it cannot be read in batches: "
            "compute its vectors with its own library and bring them with 'fusecat import'"
        )
    parameters = [parameter for parameter in network.backbone.parameters() if parameter.requires_grad]
    called: set[nn.Module] = set()
    hooks = [module.register_forward_pre_hook(lambda module, _: called.add(module)) for module in network.backbone.modules()]
    with _trying(network, settings), torch.enable_grad():
        reached = torch.autograd.grad(network.encode(**alone)[0].sum(), parameters, allow_unused=True)
    for hook in hooks:
        hook.remove()
    for parameter, gradient in zip(parameters, reached, strict=True):
        if gradient is None:  # a pooler, a mask's embedding: a distributed run would wait for its gradient
            parameter.requires_grad_(requires_grad=False)
    for module in network.backbone.modules():
        vars(module)["passed_by"] = module not in called  # see `low_rank`
