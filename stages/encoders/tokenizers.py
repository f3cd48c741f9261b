"""Small tokenizers of the very classes of CamemBERT and FlauBERT, built offline from a catalogue's training texts.

Preset `tiny` needs them: its networks are new, so their vocabularies are too. The kinds of piece are those of the
originals (SentencePiece Unigram, Moses words + BPE); only their number differs.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import FlaubertTokenizer

CAMEMBERT_SPECIAL = ("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>")
FLAUBERT_SPECIAL = ("<s>", "</s>", "<pad>", "<unk>", *(f"<special{number}>" for number in range(10)))


def build_camembert_tokenizer(texts: Sequence[str], vocabulary: int, folder: Path) -> None:
    """Train a Unigram vocabulary of about `vocabulary` pieces on `texts` and save a `CamembertTokenizer` into `folder`.

    Pieces of CamemBERT's layout: its seven special pieces first, `<mask>` last.
    """
    from tokenizers import Tokenizer
    from tokenizers.models import Unigram
    from tokenizers.normalizers import Lowercase
    from tokenizers.pre_tokenizers import Metaspace, WhitespaceSplit
    from tokenizers.pre_tokenizers import Sequence as Steps
    from tokenizers.trainers import UnigramTrainer
    from transformers import CamembertTokenizer

    trainee = Tokenizer(Unigram())
    trainee.normalizer = Lowercase()
    trainee.pre_tokenizer = Steps([WhitespaceSplit(), Metaspace()])
    unknown = CAMEMBERT_SPECIAL[3]
    trainer = UnigramTrainer(vocab_size=vocabulary, unk_token=unknown, special_tokens=[unknown], show_progress=False)
    trainee.train_from_iterator(texts, trainer)
    learnt = [
        (piece, score) for piece, score in json.loads(trainee.to_str())["model"]["vocab"] if piece not in CAMEMBERT_SPECIAL
    ]
    pieces = [(piece, 0.0) for piece in CAMEMBERT_SPECIAL] + learnt + [("<mask>", 0.0)]
    tokenizer = CamembertTokenizer(vocab=pieces)
    # A vocabulary learnt from a thousand texts cannot afford every word twice.
    tokenizer.backend_tokenizer.normalizer = Lowercase()
    tokenizer.save_pretrained(folder)


def build_flaubert_tokenizer(texts: Sequence[str], vocabulary: int, folder: Path) -> None:
    """Train a BPE of about `vocabulary` pieces on the Moses words of `texts` and save a `FlaubertTokenizer` into `folder`."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from tokenizers.trainers import BpeTrainer

    pieces = {piece: number for number, piece in enumerate(FLAUBERT_SPECIAL)}
    moses = _flaubert(folder, pieces, [])
    trainee = Tokenizer(BPE(end_of_word_suffix="</w>"))
    trainee.pre_tokenizer = WhitespaceSplit()
    trainee.train_from_iterator(
        (_words(moses.tokenize(text)) for text in texts),
        BpeTrainer(vocab_size=vocabulary, end_of_word_suffix="</w>", show_progress=False),
    )
    model = json.loads(trainee.to_str())["model"]
    for piece in model["vocab"]:
        pieces.setdefault(piece, len(pieces))
    _flaubert(folder, pieces, model["merges"]).save_pretrained(folder)


def _words(pieces: Sequence[str]) -> str:
    """The blank-separated words of what a tokenizer without merges returns: characters, the last of a word marked."""
    return "".join(pieces).replace("</w>", " ")


def _flaubert(folder: Path, pieces: Mapping[str, int], merges: Sequence[Sequence[str]]) -> "FlaubertTokenizer":
    """A tokenizer over these pieces and merges; its two files are left in `folder`."""
    from transformers import FlaubertTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, rules = folder / "vocab.json", folder / "merges.txt"
    vocabulary.write_text(json.dumps(pieces, ensure_ascii=False), encoding="utf-8")
    rules.write_text("".join(f"{left} {right} 1\n" for left, right in merges), encoding="utf-8")
    return FlaubertTokenizer(str(vocabulary), str(rules), do_lowercase=True)  # type: ignore[no-untyped-call]
