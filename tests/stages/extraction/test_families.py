"""Every family's vector is its library's own, alone and beside others, frozen and taught, and again after it was kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fusecat.stages.extraction.build_network import (
    build_image_network,
    build_text_network,
    build_tokenizer,
    save_network,
    settled,
)
from fusecat.stages.extraction.dry_run import pad_of
from fusecat.stages.extraction.encoder import Encoder
from fusecat.stages.extraction.hub import read_image_processor
from fusecat.stages.extraction.inputs import collate_tokens, prepare
from fusecat.stages.extraction.settings import Extraction, Library
from fusecat.stages.extraction.tokenising import tokenise
from fusecat.stages.fields import Field
from tests.encoders_page import PAGE, page
from tests.stages.extraction.families import TEXT_FAMILIES, TEXTS, TextFamily, text_network, write_text
from tests.stages.extraction.image_families import IMAGE_FAMILIES, ImageFamily, image_network, library_vector, write_image

CLOSE = 1e-5


def taught(network: Any, batch: dict[str, Tensor]) -> None:
    """A step on these products: every parameter is reached, none is left that a distributed run would wait for."""
    network.train()
    F.cross_entropy(network(**batch)["logits"], torch.arange(len(next(iter(batch.values()))))).backward()
    assert [name for name, parameter in network.named_parameters() if parameter.requires_grad and parameter.grad is None] == []
    torch.nn.utils.clip_grad_value_(network.parameters(), 0.1)  # those of deep networks of random numbers know no bounds
    torch.optim.SGD(network.parameters(), lr=0.01).step()
    network.eval()


def again(network: Any, settings: Any, field: Field, folder: Path) -> Any:
    """The network as it was kept, without its source."""
    save_network(network, folder)
    return Encoder(settings, field, Extraction()).rebuild(len(TEXTS), folder)


def vectors(network: Any, batch: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        found: Tensor = network.eval().encode(**batch)[0]
    return found


def close(mine: Tensor, theirs: Tensor) -> bool:
    return bool((mine - theirs).abs().max() <= CLOSE * theirs.abs().max())


def differ(found: Tensor) -> bool:
    """Whether the first two vectors differ by far more than the tolerance."""
    return bool((found[0] - found[1]).abs().max() > 100 * CLOSE * found.abs().max())


@pytest.mark.parametrize("family", TEXT_FAMILIES, ids=lambda family: family.name)
def test_texts(family: TextFamily, tmp_path: Path) -> None:
    library = write_text(family, tmp_path / "w")
    settings = settled(text_network(family, tmp_path / "w"))
    tokenizer = build_tokenizer(settings, [], tmp_path / "kept")
    network = build_text_network(settings, tokenizer, len(TEXTS))
    rows = [row.astype(np.int64) for row in tokenise(tokenizer, settings, TEXTS, 0)]
    batch = collate_tokens(rows, pad_of(tokenizer) or 0, 0, settings.length)
    found = vectors(network, batch)
    for row, vector in zip(rows, found, strict=True):
        ids = torch.from_numpy(row)[None]
        with torch.no_grad():
            expected = family.reference(library, ids, torch.ones_like(ids))
            for _, _, weights in family.modules[1:]:
                expected = F.normalize(expected) if weights is None else weights(expected).tanh()
        assert close(vector, expected[0])
    assert differ(found)
    taught(network, batch)
    assert close(vectors(again(network, settings, Field.TITLE, tmp_path / "kept"), batch), vectors(network, batch))


def params() -> list[Any]:
    return [pytest.param(each, id=each.name, marks=[pytest.mark.slow] if each.slow else []) for each in IMAGE_FAMILIES]


@pytest.mark.filterwarnings(
    "ignore:The parameter 'pretrained'", "ignore:Arguments other than a weight enum", "ignore:The default weight initialization"
)
@pytest.mark.parametrize("family", params())
def test_images(family: ImageFamily, tmp_path: Path) -> None:
    library, weights = write_image(family, tmp_path / "w")
    settings = settled(image_network(family, weights))
    network = build_image_network(settings, len(TEXTS))
    side = settings.size or 0
    pixels = torch.randint(0, 256, (2, side, side, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    pixels[1] //= 4
    found = vectors(network, {"pixels": pixels})
    with torch.no_grad():
        expected = library_vector(family, library, network.normalise(pixels).contiguous())
    assert close(found, expected)
    assert close(vectors(network, {"pixels": pixels[:1]}), expected[:1])
    assert differ(found)
    taught(network, {"pixels": pixels})
    assert close(
        vectors(again(network, settings, Field.IMAGE, tmp_path), {"pixels": pixels}), vectors(network, {"pixels": pixels})
    )


PROCESSED = [family for family in IMAGE_FAMILIES if family.library is Library.TRANSFORMERS]


@pytest.mark.parametrize("family", PROCESSED, ids=lambda family: family.name)
@pytest.mark.parametrize("shape", [(50, 90), (120, 40)], ids=["wide", "high"])
def test_pixels_are_those_of_the_image_processor(family: ImageFamily, shape: tuple[int, int], tmp_path: Path) -> None:
    _, weights = write_image(family, tmp_path)
    settings = settled(image_network(family, weights))
    down, right = np.mgrid[0 : shape[0], 0 : shape[1]]
    image = np.stack([down * 2, right * 2, (down + right) % 200], 2).astype(np.uint8)
    square = prepare(image, settings.size, settings.resize, None, settings.crop, settings.interpolation)
    mine = build_image_network(settings, 3).normalise(torch.from_numpy(square)[None])[0]
    theirs = torch.as_tensor(read_image_processor(tmp_path)(image, return_tensors="np")["pixel_values"][0])
    assert (mine - theirs).abs().mean() < 0.05


def test_pixels_of_pretrainedmodels_are_those_of_its_own_settings(tmp_path: Path) -> None:
    """Caffe's networks want blue first, white at 255 and no deviation."""
    (family,) = (each for each in IMAGE_FAMILIES if each.name == "bninception")
    _, weights = write_image(family, tmp_path)
    network = build_image_network(settled(image_network(family, weights)), 3)
    pixels = torch.randint(0, 256, (1, 4, 4, 3), dtype=torch.uint8)
    expected = pixels.flip(-1).float() - torch.tensor([104.0, 117.0, 128.0])
    assert torch.allclose(network.normalise(pixels).permute(0, 2, 3, 1), expected, atol=1e-3)


def test_the_page_of_encoders_is_written_from_these_families() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.encoders_page"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", [each for each in TEXT_FAMILIES if each.modules], ids=lambda family: family.name)
def test_folders_of_sentence_transformers_give_its_own_vectors(family: TextFamily, tmp_path: Path) -> None:
    theirs = pytest.importorskip("sentence_transformers")
    write_text(family, tmp_path / "w")
    settings = settled(text_network(family, tmp_path / "w"))
    tokenizer = build_tokenizer(settings, [], tmp_path / "kept")
    network = build_text_network(settings, tokenizer, len(TEXTS))
    rows = [row.astype(np.int64) for row in tokenise(tokenizer, settings, TEXTS, 0)]
    found = vectors(network, collate_tokens(rows, pad_of(tokenizer) or 0, 0, settings.length))
    expected = theirs.SentenceTransformer(str(tmp_path / "w"), device="cpu").encode(list(TEXTS), convert_to_tensor=True)
    assert close(found, expected)
