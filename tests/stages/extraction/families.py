"""Families of networks, each with what a preset says of it and a small random checkpoint in the layout of its hub folder.

The tests hold every family against its library's own vectors; `docs/encoders.md` is written from the same list
(`python -m tests.stages.extraction.families`).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn

from fusecat.stages.extraction.settings import Library, Network
from fusecat.stages.fields import Field

WORDS = ["lampe", "table", "rouge", "bleu", "chat", "livre", "petit", "grand", "query", ":", "jeu", "de", "la", "le"]
VOCABULARY = 40
TEXTS = ("lampe rouge", "le petit chat bleu de la grand table", "jeu", "livre de chat rouge et table de la lampe bleu")

Reference = Callable[[Any, Tensor, Tensor], Tensor]
"""The library's own network, `input_ids` and `attention_mask` (1, T) of one text -> its vector (1, D)."""


def mean(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    return model(input_ids=ids, attention_mask=mask).last_hidden_state.mean(1)


def first(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    return model(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]


def last(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    return model(input_ids=ids, attention_mask=mask).last_hidden_state[:, -1]


def encoder_mean(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    return model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state.mean(1)


def text_features(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    return model.get_text_features(input_ids=ids, attention_mask=mask).pooler_output


def padded_text_features(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """As SigLIP's processor feeds it: padded to all positions, without a mask."""
    settings = model.config.text_config
    blank = (0, settings.max_position_embeddings - ids.shape[1])
    return model.get_text_features(input_ids=nn.functional.pad(ids, blank, value=settings.pad_token_id)).pooler_output


@dataclass(frozen=True)
class TextFamily:
    """`known`: who is of it; `settings`: what a preset has to say besides library and weights."""

    name: str
    known: str
    config: Callable[[], Any]
    reference: Reference = mean
    settings: Mapping[str, Any] = field(default_factory=dict)
    model: Any = hf.AutoModel
    special: str = "[CLS]/[SEP]"
    """Tokens around a text; empty: none, as decoders have it."""
    pad: bool = True
    unknown: bool = True
    tokenizer: Callable[[Path], Any] | None = None
    """Saves one of the family's own class, where others are read as that."""
    modules: Sequence[tuple[str, Mapping[str, Any], nn.Module | None]] = ()
    """Modules of sentence-transformers behind the encoder: kind, settings, weights."""


SMALL = {"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
LONG = SMALL | {"max_position_embeddings": 64}
PADS = {"pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3}
GROUPED = LONG | PADS | {"num_key_value_heads": 1, "head_dim": 8}
SEQ2SEQ = {"vocab_size": VOCABULARY, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2} | PADS
BART = PADS | {
    "vocab_size": VOCABULARY, "d_model": 16, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "max_position_embeddings": 64,
}  # fmt: skip
VISION = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip
DECODER: Mapping[str, Any] = {"reference": last, "settings": {"pooling": "last"}, "special": "", "unknown": False}


def joint(kind: str, **more: Any) -> Callable[[], Any]:
    def config() -> Any:
        vision = VISION if kind != "Siglip2" else {**VISION, "num_patches": 16}
        vision = {**vision, "initializer_range": 0.2} if kind == "Blip" else vision  # 1e-10 is its own
        pads = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2} if kind == "Siglip2" else PADS
        return getattr(hf, f"{kind}Config")(text_config=LONG | pads, vision_config=vision, **more)

    return config


def siglip2_tokenizer(folder: Path) -> None:
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "\u2581", *"abcdefghijklmnopqrstuvwxyz"]
    hf.Siglip2Tokenizer(vocab={piece: number for number, piece in enumerate(pieces)}, merges=[]).save_pretrained(folder)


def dense() -> nn.Module:
    torch.manual_seed(5)
    return nn.Linear(16, 12)


TEXT_FAMILIES = (
    TextFamily(
        "camembert", "CamemBERT, CamemBERT v2", lambda: hf.CamembertConfig(**LONG | PADS | {"max_position_embeddings": 66})
    ),
    TextFamily(
        "flaubert",
        "FlauBERT",
        lambda: hf.FlaubertConfig(
            vocab_size=VOCABULARY, emb_dim=16, n_layers=2, n_heads=2, max_position_embeddings=64, pad_index=1
        ),
        first,
        {"pooling": "first"},
    ),
    TextFamily("bert", "BERT, LaBSE, MiniLM", lambda: hf.BertConfig(**LONG)),
    TextFamily("roberta", "RoBERTa", lambda: hf.RobertaConfig(**LONG | PADS | {"max_position_embeddings": 66})),
    TextFamily(
        "xlm-roberta",
        'XLM-R, multilingual-e5 (prefix), BGE-M3 (`pooling = "model"`)',
        lambda: hf.XLMRobertaConfig(**LONG | PADS | {"max_position_embeddings": 66}),
        settings={"prefix": "query: "},
    ),
    TextFamily(
        "distilbert",
        "DistilBERT",
        lambda: hf.DistilBertConfig(vocab_size=VOCABULARY, dim=16, n_layers=2, n_heads=2, hidden_dim=24),
    ),
    TextFamily("electra", "ELECTRA", lambda: hf.ElectraConfig(**LONG, embedding_size=16)),
    TextFamily("albert", "ALBERT", lambda: hf.AlbertConfig(**LONG, embedding_size=8)),
    TextFamily("mpnet", "MPNet, all-mpnet-base", lambda: hf.MPNetConfig(**LONG | PADS | {"max_position_embeddings": 66})),
    TextFamily(
        "deberta-v2",
        "CamemBERTaV2, mDeBERTa, DeBERTaV3",
        lambda: hf.DebertaV2Config(**LONG, relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8),
        first,
        {"pooling": "first"},
    ),
    TextFamily(
        "modernbert",
        "ModernCamemBERT, mmBERT, ModernBERT",
        lambda: hf.ModernBertConfig(**LONG | PADS, cls_token_id=2, sep_token_id=3),
    ),
    TextFamily(
        "nomic_bert",
        "nomic-embed",
        lambda: hf.NomicBertConfig(**LONG),
        settings={"prefix": "classification: "},
    ),
    TextFamily("xlnet", "XLNet", lambda: hf.XLNetConfig(vocab_size=VOCABULARY, d_model=16, n_layer=2, n_head=2, d_inner=24)),
    TextFamily(
        "squeezebert",
        "SqueezeBERT",
        lambda: hf.SqueezeBertConfig(
            **LONG,
            embedding_size=16,
            q_groups=1,
            k_groups=1,
            v_groups=1,
            post_attention_groups=1,
            intermediate_groups=1,
            output_groups=1,
        ),
    ),
    TextFamily("roformer", "RoFormer", lambda: hf.RoFormerConfig(**LONG)),
    TextFamily("rembert", "RemBERT", lambda: hf.RemBertConfig(**LONG, input_embedding_size=16)),
    TextFamily("eurobert", "EuroBERT", lambda: hf.EuroBertConfig(**LONG | PADS, num_key_value_heads=2), unknown=False),
    TextFamily(
        "gemma3_text",
        'EmbeddingGemma (`pooling = "model"`)',
        lambda: hf.Gemma3TextConfig(**GROUPED, use_bidirectional_attention=True, query_pre_attn_scalar=8),
        settings={"prefix": "task: classification | query: "},
    ),
    TextFamily("qwen3", "Qwen3-Embedding", lambda: hf.Qwen3Config(**GROUPED), **DECODER),
    TextFamily("llama", "Llama", lambda: hf.LlamaConfig(**GROUPED), **DECODER),
    TextFamily("mistral", "e5-mistral", lambda: hf.MistralConfig(**GROUPED), **DECODER),
    TextFamily(
        "gpt2",
        "GPT-2, without a pad token",
        lambda: hf.GPT2Config(
            vocab_size=VOCABULARY, n_embd=16, n_layer=2, n_head=2, n_positions=64, bos_token_id=3, eos_token_id=3
        ),
        pad=False,
        **DECODER,
    ),
    TextFamily("t5", "T5, sentence-T5: the encoder", lambda: hf.T5Config(**SEQ2SEQ), encoder_mean),
    TextFamily("mt5", "mT5: the encoder", lambda: hf.MT5Config(**SEQ2SEQ), encoder_mean),
    TextFamily("umt5", "UMT5: the encoder", lambda: hf.UMT5Config(**SEQ2SEQ), encoder_mean),
    TextFamily("bart", "BART, BARThez: the encoder", lambda: hf.BartConfig(**BART), encoder_mean),
    TextFamily("mbart", "mBART: the encoder", lambda: hf.MBartConfig(**BART), encoder_mean),
    TextFamily("clip", "CLIP, the text half", joint("CLIP", projection_dim=8), text_features, {"tower": "text", "length": 64}),
    TextFamily("siglip", "SigLIP, the text half", joint("Siglip"), padded_text_features, {"tower": "text", "length": 64}),
    TextFamily(
        "siglip2",
        "SigLIP2, the text half",
        joint("Siglip2"),
        padded_text_features,
        {"tower": "text", "length": 64},
        tokenizer=siglip2_tokenizer,
    ),
    TextFamily(
        "metaclip_2",
        "MetaCLIP 2, of many languages, the text half",
        joint("MetaClip2", projection_dim=8),
        text_features,
        {"tower": "text", "length": 64},
    ),
    TextFamily(
        "altclip",
        "AltCLIP, of nine languages, the text half",
        joint("AltCLIP", projection_dim=8),
        text_features,
        {"tower": "text", "length": 60},
    ),
    TextFamily(
        "chinese_clip",
        "ChineseCLIP, the text half",
        joint("ChineseCLIP", projection_dim=8),
        text_features,
        {"tower": "text", "length": 64},
    ),
    TextFamily(
        "blip",
        "BLIP, the text half",
        joint("Blip", projection_dim=8, image_text_hidden_size=8),
        text_features,
        {"tower": "text", "length": 64},
    ),
    TextFamily(
        "sentence-transformers",
        "any folder with `modules.json`",
        lambda: hf.BertConfig(**LONG),
        settings={"pooling": "model"},
        modules=(
            ("Pooling", {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True}, None),
            (
                "Dense",
                {
                    "in_features": 16,
                    "out_features": 12,
                    "bias": True,
                    "activation_function": "torch.nn.modules.activation.Tanh",
                },
                dense(),
            ),
            ("Normalize", {}, None),
        ),
    ),
    TextFamily(
        "sentence-transformers, first token",
        "BGE-M3",
        lambda: hf.XLMRobertaConfig(**LONG | PADS | {"max_position_embeddings": 66}),
        first,
        {"pooling": "model"},
        modules=(("Pooling", {"word_embedding_dimension": 16, "pooling_mode_cls_token": True}, None), ("Normalize", {}, None)),
    ),
)


def write_text(family: TextFamily, folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """Save a random network of the family, its tokenizer and its modules as their hub folder has them; returns the network."""
    torch.manual_seed(0)
    model = hf.AutoModel.from_config(family.config())
    with torch.no_grad():  # as far from a fresh one as training brings it: no bias is 0, no norm 1
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.1)
    model = model.to(dtype).eval()
    model.save_pretrained(folder)
    if family.tokenizer:
        family.tokenizer(folder)
    else:
        write_tokenizer(folder, special=family.special, pad=family.pad, unknown=family.unknown)
    if family.modules:
        write_modules(family, folder)
    return model.float()


def write_tokenizer(
    folder: Path, *, special: str = "[CLS]/[SEP]", pad: bool = True, unknown: bool = True, extra: int = 0
) -> None:
    """A tokenizer of whole words; without unknown token it knows all letters."""
    pieces = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", *WORDS, *(f"[{number}]" for number in range(extra))]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    if special:
        made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    names = {"eos_token": "[SEP]"} | ({"pad_token": "[PAD]"} if pad else {}) | ({"unk_token": "[UNK]"} if unknown else {})
    hf.PreTrainedTokenizerFast(tokenizer_object=made, **names).save_pretrained(folder)


def write_modules(family: TextFamily, folder: Path) -> None:
    listed = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    for number, (kind, settings, weights) in enumerate(family.modules, 1):
        place = folder / f"{number}_{kind}"
        place.mkdir()
        (place / "config.json").write_text(json.dumps(settings))
        if weights is not None:
            torch.save({f"linear.{name}": tensor for name, tensor in weights.state_dict().items()}, place / "pytorch_model.bin")
        listed.append({"idx": number, "name": str(number), "path": place.name, "type": f"sentence_transformers.models.{kind}"})
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": "query: "}, "default_prompt_name": None})
    )
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64, "do_lower_case": False}))


def text_network(family: TextFamily, folder: Path, **more: Any) -> Network:
    """The preset's entry."""
    from pydantic import TypeAdapter

    settings = {"length": 24} | dict(family.settings) | more
    return TypeAdapter(Network).validate_python(
        {
            "name": "mine",
            "library": Library.TRANSFORMERS,
            "model": family.name,
            "weights": str(folder),
            "fields": [Field.TITLE],
            **settings,
        }
    )
