from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusecat.stages.extraction.inputs import Examples, Images, Texts, prepare


def texts(dropout: float = 0.0, room: int = 0) -> Texts:
    tokens = [np.array(row, np.int32) for row in ([5, 10, 11, 6], [5, 12, 6], [])]
    return Texts(tokens, pad=1, unknown=3, special=frozenset({1, 3, 5, 6}), dropout=dropout, room=room, length=5)


@pytest.fixture
def pictures(tmp_path: Path) -> Images:
    paths = []
    for number in range(3):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), np.random.default_rng(number).integers(0, 256, (40, 40, 3), np.uint8))
        paths.append(path)
    return Images([(paths[0],), (paths[1], paths[2])], size=16, resize=18, augment=True, max_pixels=10_000)


def test_texts_are_padded_to_the_longest_of_the_batch_and_masked() -> None:
    batch = texts().collate([texts().example(0, None), texts().example(1, None)])
    assert batch["input_ids"].tolist() == [[5, 10, 11, 6], [5, 12, 6, 1]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]


def test_flatten_pooling_gets_one_pad_more_but_never_beyond_the_limit() -> None:
    inputs = texts(room=1)
    assert inputs.collate([inputs.example(0, None)])["attention_mask"].tolist() == [[1, 1, 1, 1, 0]]
    full = np.array([5, 10, 11, 12, 6], np.int64)
    assert inputs.collate([full])["input_ids"].shape == (1, 5)


def test_token_dropout_hides_words_but_never_special_tokens() -> None:
    hidden = texts(dropout=1.0).example(0, np.random.default_rng(0))
    assert hidden.tolist() == [5, 3, 3, 6]
    assert texts(dropout=1.0).example(0, None).tolist() == [5, 10, 11, 6]


def test_augmentation_depends_on_seed_epoch_and_row_alone(pictures: Images) -> None:
    one, other = (Examples(pictures, [0, 1], [0, 1], seed=7) for _ in range(2))
    _ = other[1]
    assert np.array_equal(one[0]["input"], other[0]["input"])
    one.set_epoch(1)
    assert not np.array_equal(one[0]["input"], other[0]["input"])
    validation = Examples(pictures, [0], [0], seed=None)
    assert np.array_equal(validation[0]["input"], validation[0]["input"])


def test_every_image_of_a_product_is_a_view(pictures: Images) -> None:
    assert [len(pictures.views(row)) for row in (0, 1)] == [1, 2]
    assert np.array_equal(pictures.views(1)[0], pictures.example(1, None))


def test_evaluation_crops_the_centre_of_the_scaled_image() -> None:
    image = np.zeros((300, 200, 3), np.uint8)
    image[100:200, 50:150] = 255
    cropped = prepare(image, 100, 100, None)
    scaled = cv2.resize(image, (100, 150), interpolation=cv2.INTER_LINEAR)[25:125]
    assert np.abs(cropped.astype(int) - scaled).max() <= 1


@given(st.integers(1, 300), st.integers(1, 300), st.booleans())
def test_any_shape_gives_a_square(height: int, width: int, augmented: bool) -> None:
    image = np.full((height, width, 3), 200, np.uint8)
    generator = np.random.default_rng(0) if augmented else None
    square = prepare(image, 24, 28, generator)
    assert square.shape == (24, 24, 3)
    # What the warp lays beside a picture is white, and nothing else is made up.
    assert square.min() >= 200
    assert augmented or square.max() == 200
