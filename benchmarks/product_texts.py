"""Made-up French texts as long as Rakuten's, and base-size text networks with random weights: what stage one is timed on.

Lengths: titles log-normal with a median of 11 words; 35.1 % without description; descriptions log-normal with a median of 47
words and a log deviation of 0.91. These two follow from what is known of the catalogue: a median of 35 words for both together,
and a longest of about 2,000 among 55,116. Words are those of the shipped sample, by frequency.
"""

import csv
import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from fusecat.pipeline.console import default_catalogue
from fusecat.pipeline.presets.preset import load_preset
from fusecat.stages.extraction.build_network import build_text_network, build_tokenizer
from fusecat.stages.extraction.inputs import Texts
from fusecat.stages.extraction.networks import TextNetwork
from fusecat.stages.extraction.settings import Network
from fusecat.stages.extraction.tokenising import tokenise

LENGTH = 256
PRODUCTS = 84_916
MISSING = 29_800 / PRODUCTS
TITLE, TITLE_SPREAD = 11, 0.4
BODY, BODY_SPREAD = 47, 0.91
SHAPES = {
    "camembert": {"num_hidden_layers": 12},  # CamembertConfig and FlaubertConfig are base-size but for the depth
    "flaubert": {"n_layers": 12, "emb_dim": 768, "n_heads": 12},
}


def lengths(count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """(count,) words of titles and of descriptions; 0 where there is none."""
    dice = np.random.default_rng(seed)
    titles = np.exp(dice.normal(np.log(TITLE), TITLE_SPREAD, count)).round().clip(1)
    bodies = np.exp(dice.normal(np.log(BODY), BODY_SPREAD, count)).round().clip(1, 2000)
    return titles.astype(int), np.where(dice.random(count) < MISSING, 0, bodies).astype(int)


def texts(count: int, seed: int = 1) -> list[str]:
    """Titles joined with descriptions."""
    with (default_catalogue() / "X_train.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    found = Counter(word for row in rows for name in ("Title", "Description") for word in row[name].split())
    words, counts = list(found), np.array(list(found.values()), float)
    dice = np.random.default_rng(seed + 1)
    sizes = np.add(*lengths(count, seed))
    return [" ".join(words[place] for place in dice.choice(len(words), size, p=counts / counts.sum())) for size in sizes]


def network(name: str, layers: int = 12) -> Network:
    """The preset `modern`'s entry as a new base-size network."""
    (entry,) = load_preset("modern").select([name]).networks
    depth = {"camembert": "num_hidden_layers", "flaubert": "n_layers"}[name]
    return dataclasses.replace(entry, weights="new", revision=None, vocabulary=2500, shape=SHAPES[name] | {depth: layers})


def prepare(name: str, sentences: list[str], folder: Path, layers: int = 12) -> tuple[TextNetwork, Texts, object]:
    """Network in evaluation mode, its inputs, its tokenizer (saved in `folder`, learnt from the first 2,000 texts)."""
    entry = network(name, layers)
    tokenizer = build_tokenizer(entry, sentences[:2000], folder)
    tokens = tokenise(tokenizer, entry, sentences, 0)
    inputs = Texts(tokens, tokenizer.pad_token_id, tokenizer.unk_token_id, frozenset(tokenizer.all_special_ids), 0.0, 0, 256)
    return build_text_network(entry, tokenizer, 27).eval(), inputs, tokenizer


class Padded(Texts):
    """Every text padded to 256 tokens, as the usual training script does."""

    def collate(self, items):
        batch = super().collate(items)
        room = LENGTH - batch["input_ids"].shape[1]
        pad = torch.nn.functional.pad
        return {
            "input_ids": pad(batch["input_ids"], (0, room), value=self.pad),
            "attention_mask": pad(batch["attention_mask"], (0, room)),
        }


def padded(inputs: Texts) -> Padded:
    return Padded(**{field.name: getattr(inputs, field.name) for field in dataclasses.fields(inputs)})
