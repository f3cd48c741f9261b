"""Small tokenizers of the very classes of CamemBERT and FlauBERT, built offline from a catalogue's training texts.

Preset `tiny` needs them: its networks are new, so their vocabularies are too. They are of the kinds of the originals -
SentencePiece's Unigram (CamemBERT), BPE on Moses words (FlauBERT) - and give the same pieces for the same texts every time:
vectors must not depend on the day. (The Unigram trainer of `tokenizers` sums in random order.)
"""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import FlaubertTokenizer

CAMEMBERT_SPECIAL = ("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>")
FLAUBERT_SPECIAL = ("<s>", "</s>", "<pad>", "<unk>", *(f"<special{number}>" for number in range(10)))
END = "</w>"
"""Marks the last piece of a word in FlauBERT's vocabulary."""
PRIVATE = 0xF0000
"""First code point of a plane that no text uses."""


def build_camembert_tokenizer(texts: Sequence[str], vocabulary: int, folder: Path) -> None:
    """Learn a Unigram vocabulary of at most `vocabulary` pieces from `texts` and save a `CamembertTokenizer` into `folder`.

    Laid out as CamemBERT's: its seven special pieces first, `<mask>` last.
    """
    from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
    from transformers import CamembertTokenizer

    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        model_type="unigram",
        vocab_size=vocabulary,
        hard_vocab_limit=False,
        character_coverage=1.0,
        normalization_rule_name="identity",
        num_threads=1,
        minloglevel=2,
    )
    learnt = SentencePieceProcessor(model_proto=model.getvalue())
    numbers = [number for number in range(learnt.vocab_size()) if not (learnt.is_control(number) or learnt.is_unknown(number))]
    pieces = [(learnt.id_to_piece(number), learnt.get_score(number)) for number in numbers]
    special = [(piece, 0.0) for piece in CAMEMBERT_SPECIAL]
    CamembertTokenizer(vocab=[*special, *pieces, ("<mask>", 0.0)]).save_pretrained(folder)


def build_flaubert_tokenizer(texts: Sequence[str], vocabulary: int, folder: Path) -> None:
    """Learn a BPE of about `vocabulary` pieces from the Moses words of `texts`; save a `FlaubertTokenizer` into `folder`."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from tokenizers.trainers import BpeTrainer

    special = {piece: number for number, piece in enumerate(FLAUBERT_SPECIAL)}
    moses = _flaubert(folder, special, [])
    words = [word for text in texts for word in _words(moses.tokenize(text))]
    # One private character stands for "last letter + </w>": with its own suffix the trainer numbers symbols in random order.
    last = {letter: chr(PRIVATE + number) for number, letter in enumerate(sorted({word[-1] for word in words}))}
    letter_of = {private: letter + END for letter, private in last.items()}
    trainee = Tokenizer(BPE())
    trainee.pre_tokenizer = WhitespaceSplit()
    size = max(1, vocabulary - len(special))
    trainee.train_from_iterator(
        (word[:-1] + last[word[-1]] for word in words), BpeTrainer(vocab_size=size, show_progress=False)
    )
    model = json.loads(trainee.to_str())["model"]

    def told(piece: str) -> str:
        return "".join(letter_of.get(symbol, symbol) for symbol in piece)

    numbered = sorted(model["vocab"], key=model["vocab"].get)
    pieces = special | {told(piece): len(special) + number for number, piece in enumerate(numbered)}
    merges = [(told(left), told(right)) for left, right in model["merges"]]
    _flaubert(folder, pieces, merges).save_pretrained(folder)


def _words(pieces: Sequence[str]) -> list[str]:
    """The words of what a tokenizer without merges returns: characters, the last of a word marked."""
    return [word for word in "".join(pieces).split(END) if word]


def _flaubert(folder: Path, pieces: Mapping[str, int], merges: Sequence[Sequence[str]]) -> "FlaubertTokenizer":
    """A tokenizer over these pieces and merges; its two files are left in `folder`."""
    from transformers import FlaubertTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, rules = folder / "vocab.json", folder / "merges.txt"
    vocabulary.write_text(json.dumps(pieces, ensure_ascii=False), encoding="utf-8")
    rules.write_text("".join(f"{left} {right} 1\n" for left, right in merges), encoding="utf-8")
    return FlaubertTokenizer(str(vocabulary), str(rules))  # type: ignore[no-untyped-call]
