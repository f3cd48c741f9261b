"""`docs/encoders.md`, written from the families of `tests/stages/extraction`: `python -m tests.encoders_page`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fusecat.stages.extraction.settings import Library
from tests.stages.extraction.families import TEXT_FAMILIES
from tests.stages.extraction.image_families import IMAGE_FAMILIES

PAGE = Path(__file__).parents[1] / "docs" / "encoders.md"
HUB = {
    "camembert": "almanach/camembert-base",
    "flaubert": "flaubert/flaubert_base_cased",
    "bert": "google-bert/bert-base-multilingual-cased",
    "roberta": "FacebookAI/roberta-base",
    "xlm-roberta": "intfloat/multilingual-e5-base",
    "distilbert": "distilbert/distilbert-base-multilingual-cased",
    "electra": "google/electra-base-discriminator",
    "albert": "albert/albert-base-v2",
    "mpnet": "sentence-transformers/all-mpnet-base-v2",
    "deberta-v2": "almanach/camembertav2-base",
    "modernbert": "almanach/moderncamembert-base",
    "nomic_bert": "nomic-ai/nomic-embed-text-v1.5",
    "xlnet": "xlnet/xlnet-base-cased",
    "squeezebert": "squeezebert/squeezebert-uncased",
    "roformer": "junnyu/roformer_chinese_base",
    "rembert": "google/rembert",
    "eurobert": "EuroBERT/EuroBERT-210m",
    "gemma3_text": "google/embeddinggemma-300m",
    "qwen3": "Qwen/Qwen3-Embedding-0.6B",
    "llama": "meta-llama/Llama-3.2-1B",
    "mistral": "intfloat/e5-mistral-7b-instruct",
    "gpt2": "openai-community/gpt2",
    "t5": "google-t5/t5-base",
    "mt5": "google/mt5-base",
    "umt5": "google/umt5-base",
    "bart": "moussaKam/barthez",
    "mbart": "facebook/mbart-large-50",
    "clip": "openai/clip-vit-base-patch32",
    "siglip": "google/siglip2-base-patch16-224",
    "siglip2": "google/siglip2-base-patch16-naflex",
    "metaclip_2": "facebook/metaclip-2-worldwide-huge-quickgelu",
    "altclip": "BAAI/AltCLIP-m9",
    "chinese_clip": "OFA-Sys/chinese-clip-vit-base-patch16",
    "blip": "Salesforce/blip-itm-base-coco",
    "ijepa": "facebook/ijepa_vith14_1k",
    "sentence-transformers": "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
    "sentence-transformers, first token": "BAAI/bge-m3",
    "vit": "google/vit-base-patch16-224-in21k",
    "deit": "facebook/deit-base-distilled-patch16-224",
    "beit": "microsoft/beit-base-patch16-224",
    "dinov2": "facebook/dinov2-base",
    "dinov2_with_registers": "facebook/dinov2-with-registers-base",
    "dinov3_vit": "facebook/dinov3-vitb16-pretrain-lvd1689m",
    "siglip_vision_model": "FOLDER",
    "clip_vision_model": "FOLDER",
    "convnext": "facebook/convnext-tiny-224",
    "convnextv2": "facebook/convnextv2-tiny-22k-224",
    "swin": "microsoft/swin-tiny-patch4-window7-224",
    "swinv2": "microsoft/swinv2-tiny-patch4-window8-256",
    "resnet": "microsoft/resnet-50",
    "timm/vit": "timm/vit_small_patch16_224.augreg_in21k",
    "timm/deit3": "timm/deit3_small_patch16_224.fb_in22k_ft_in1k",
    "timm/beit": "timm/beit_base_patch16_224.in22k_ft_in22k",
    "timm/dinov2": "timm/vit_small_patch14_reg4_dinov2.lvd142m",
    "timm/dinov3": "timm/vit_small_patch16_dinov3.lvd1689m",
    "timm/siglip": "timm/vit_base_patch16_siglip_224.v2_webli",
    "timm/clip": "timm/vit_base_patch16_clip_224.openai",
    "timm/eva02": "timm/eva02_tiny_patch14_224.mim_in22k",
    "timm/volo": "timm/volo_d1_224.sail_in1k",
    "timm/swin": "timm/swin_tiny_patch4_window7_224.ms_in22k",
    "timm/swinv2": "timm/swinv2_tiny_window8_256.ms_in1k",
    "timm/convnext": "timm/convnext_atto.d2_in1k",
    "timm/convnextv2": "timm/convnextv2_atto.fcmae_ft_in1k",
    "timm/efficientnet": "timm/tf_efficientnet_lite0.in1k",
    "timm/mobilenetv3": "timm/mobilenetv3_small_050.lamb_in1k",
    "timm/mobilenetv4": "timm/mobilenetv4_conv_small_050.e3000_r224_in1k",
    "timm/resnet": "timm/resnet10t.c3_in1k",
    "timm/regnet": "timm/regnetx_002.pycls_in1k",
    "timm/edgenext": "timm/edgenext_xx_small.in1k",
}
"""Where weights of a family lie; the others come as a file."""

INTRODUCTION = """\
# Networks that stage one takes

Every family below is held against its own library by `tests/stages/extraction/test_families.py`, on small random
checkpoints in the layout of the hub's folders: its vector is the library's own to 1e-5, alone and beside other
products, with frozen and with taught weights, and again after the network was kept, exported and read back. This page
is written from the same list (`python -m tests.encoders_page`). The ids name checkpoints of the family; none of them
was downloaded for these tests.

An entry of a preset starts from one of the snippets and adds its fields and, where wanted, `[networks.NAME.training]`:

```toml
base = "modern"

[networks.e5]
library = "transformers"
model = "xlm-roberta"
weights = "intfloat/multilingual-e5-base"
prefix = "query: "
fields = ["title", "title_description"]
[networks.e5.training]
freeze = true
```

`--weights e5=FOLDER` names a folder where there is no network. Weights are loaded whole, in 32 bits (`precision` says
in what is computed), or refused in one line: a missing tensor, another shape, more layers or biases than the
configuration says, quantised weights, an adapter, another network's tokenizer, a `length` or `size` that the network
cannot take. Code that lies among a model's files is never run: compute such vectors with the model's own library and
bring them with `fusecat import`. A `tokenizer.json` is read as it stands where the class that a folder names makes
other pieces of a text than this file does.

## Texts

`pooling`: `mean` (also where nothing is said), `first`, `last`, `flatten`, or `model`, which does what a folder of
sentence-transformers lists in its `modules.json` (pooling, dense layers, layer norm, length 1) and puts its default
prompt before every text. What its `sentence_bert_config.json` asks for besides (another task, a chat template, settings
for the tokenizer) is refused, small letters are a key of the preset (`lowercase = true`); `length` is the preset's,
whatever `max_seq_length` says. A network that reads left to right is refused until its pooling is said, and so is a
folder whose makers did not take the mean. Of T5, BART and their kin the encoder is taken. Of CLIP, SigLIP, SigLIP2 and
other joint networks, `tower = "text"` takes the text half and `tower = "image"` the image half, each with its own
projection: two entries with the same `weights`.

**Zero-shot.** Where the classes have names, a joint network can be asked without being taught: `prompts` are texts with
`{}` where a name goes; each class is the mean of their vectors, each image's logits are its scaled cosines to these. It
learns nothing, so it stands in the report as a uni-modal reference beside the networks that were taught, and enters no
merge. Prompts and names are in `encoders/FEATURE/learning.json`. A catalogue whose classes are numbers without names,
or share one, leaves it out and says so. Write prompts in a language that the network was taught on.

```toml
[networks.zero_shot]
library = "transformers"
model = "siglip"
weights = "google/siglip2-base-patch16-224"
tower = "image"
prompts = ["a photo of {}", "{}, for sale in a shop"]
reference = true
fields = ["image"]
```

"""
IMAGES = """
## Images

The vector is the library's own pooled vector. Size, crop, interpolation, colour order, mean and deviation come from
pretrainedmodels' `pretrained_settings`, timm's data configuration (of the tag in a hub id `timm/NAME.TAG`, or of the
`config.json` beside the weights), or the image processor of a transformers folder (held against what that processor
computes); the keys `size`, `resize`, `crop`, `interpolation`, `channels`, `mean` and `std` of a preset go before them.
Most ViTs take their own size alone; those of timm any other (224 instead of DINOv2's 518, at a fifth of the time) with
`shape = { dynamic_img_size = true }`.

"""


def table(rows: list[tuple[str, str, Mapping[str, Any]]]) -> str:
    lines = ["| family | networks | preset |", "|---|---|---|"]
    for name, known, settings in rows:
        snippet = "<br>".join(f"`{key} = {json.dumps(value)}`" for key, value in settings.items())
        lines.append(f"| {name} | {known} | {snippet} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """The page as it ought to be."""
    texts = [
        (
            family.name,
            family.known,
            {"library": "transformers", "model": family.name.partition(",")[0], "weights": HUB[family.name]}
            | dict(family.settings),
        )
        for family in TEXT_FAMILIES
    ]
    images = []
    for family in IMAGE_FAMILIES:
        weights = "imagenet" if family.name == "se_resnext50_32x4d" else HUB.get(family.name, "FILE.pth")
        model = weights.removeprefix("timm/") if family.library is Library.TIMM else family.model
        settings = {"library": family.library.value, "model": model.partition(".")[0], "weights": weights} | dict(
            family.settings
        )
        images.append((family.name, family.known, settings))
    return INTRODUCTION + table(texts) + IMAGES + table(images)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
