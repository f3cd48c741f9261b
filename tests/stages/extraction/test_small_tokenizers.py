from pathlib import Path

import pytest
from transformers import AutoTokenizer, CamembertTokenizer, FlaubertTokenizer

from fusecat.pipeline.console import default_catalogue
from fusecat.stages.extraction.small_tokenizers import build_camembert_tokenizer, build_flaubert_tokenizer
from tests.conftest import read_table

TEXTS = [row["Title"].lower() for row in read_table(default_catalogue() / "X_train.tsv")]
BUILDERS = {CamembertTokenizer: build_camembert_tokenizer, FlaubertTokenizer: build_flaubert_tokenizer}


@pytest.mark.parametrize("kind", BUILDERS)
def test_a_new_tokenizer_is_of_the_class_of_its_network_and_loads_again(kind: type, tmp_path: Path) -> None:
    BUILDERS[kind](TEXTS, 400, tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert isinstance(loaded, kind)
    assert loaded.decode(loaded("drapeau rouge")["input_ids"], skip_special_tokens=True).strip() == "drapeau rouge"


@pytest.mark.parametrize("kind", BUILDERS)
def test_frequent_words_become_few_pieces_and_unseen_characters_the_unknown_one(kind: type, tmp_path: Path) -> None:
    BUILDERS[kind](TEXTS, 400, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert len(tokenizer.tokenize("drapeau")) <= 3
    assert tokenizer.unk_token_id in tokenizer("水")["input_ids"]


@pytest.mark.parametrize("kind", BUILDERS)
def test_building_twice_gives_the_same_vocabulary(kind: type, tmp_path: Path) -> None:
    vocabularies = []
    for name in ("first", "second"):
        BUILDERS[kind](TEXTS, 400, tmp_path / name)
        vocabularies.append(AutoTokenizer.from_pretrained(tmp_path / name).get_vocab())
    assert vocabularies[0] == vocabularies[1]


def test_special_pieces_stand_where_the_originals_have_them(tmp_path: Path) -> None:
    build_camembert_tokenizer(TEXTS, 400, tmp_path / "camembert")
    camembert = AutoTokenizer.from_pretrained(tmp_path / "camembert")
    assert (camembert.pad_token_id, camembert.cls_token_id, camembert.sep_token_id) == (1, 5, 6)
    assert camembert.mask_token_id == len(camembert) - 1
    build_flaubert_tokenizer(TEXTS, 400, tmp_path / "flaubert")
    flaubert = AutoTokenizer.from_pretrained(tmp_path / "flaubert")
    assert (flaubert.bos_token_id, flaubert.sep_token_id, flaubert.pad_token_id, flaubert.unk_token_id) == (0, 1, 2, 3)
