"""The only doors to transformers' Auto classes: no code that lies among a model's files is run, and nobody is asked for leave.

Where `trust_remote_code` is not said, transformers asks on stdin, and a yes runs what `auto_map` names. Here it is said always,
and where transformers itself forgets to pass it on, its question is switched off: it refuses instead. What lies in a folder is
read from that folder: nothing that its files name besides is fetched.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusecat.stages.errors import UsageError
from fusecat.stages.extraction.settings import Network
from fusecat.stages.extraction.weights import ADAPTER, adapter

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CONFIGURATIONS = ("tokenizer_config.json", "config.json")

PANIC = "PanicException"
"""Rust's: no `Exception`, and no module offers its class."""


def read_config(source: str | Path, **options: Any) -> Any:
    """The configuration of a folder or a hub id. Raises ValueError, OSError."""
    import transformers
    from transformers import AutoConfig

    with _only_from(source):
        config = AutoConfig.from_pretrained(source, trust_remote_code=False, **options)
    made = getattr(config, "architectures", None) or []
    if getattr(config, "auto_map", None) and made and not any(hasattr(transformers, str(name)) for name in made):
        raise ValueError(f"its {made[0]} is code of its own (trust_remote_code)")  # and no network of its family
    if quantised := getattr(config, "quantization_config", None):
        kind = quantised.get("quant_method") if isinstance(quantised, dict) else quantised
        raise ValueError(f"its weights are quantised ({kind}): name those that they were made of")
    # a file may name a kernel of the hub, which is code: what computes attention is for this machine to choose
    config._attn_implementation = None
    if getattr(config, "_experts_implementation", None):
        config._experts_implementation = None
    return config


def read_model(source: str | Path, config: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
    """The network of a folder or a hub id with its weights, and what transformers tells of keys that do not match.

    In 32 bits whatever the file holds: optimisers lose small steps in 16, and autocast computes in them anyway.
    Raises ModelError where it is an adapter, ValueError, OSError, and what a file that is none raises.
    """
    import torch
    from transformers import AutoModel

    _refuse_timm(config)
    if find_file(source, f"{options.get('subfolder', '')}/{ADAPTER}".lstrip("/"), options.get("revision")):
        raise adapter(str(source))
    with _only_from(source):
        network, told = AutoModel.from_pretrained(
            source,
            config=config,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are told, and refused by name
            **options,
        )
    return network, told


def new_model(config: Any, **options: Any) -> Any:
    """A network of this configuration, its weights drawn at random. Raises ValueError."""
    from transformers import AutoModel

    _refuse_timm(config)
    with _only_from(None):
        return AutoModel.from_config(config, trust_remote_code=False, **options)  # type: ignore[no-untyped-call]


def new_config(network: Network, **options: Any) -> Any:
    """The configuration of a new network of this family and shape; `options` are what the tokenizer says of it.

    Raises: UsageError for a family, or a key of the shape, that transformers does not know, and what wrong values raise.
    """
    from transformers import CONFIG_MAPPING, AutoConfig

    if network.model not in CONFIG_MAPPING:
        near = f"; did you mean '{close[0]}'?" if (close := get_close_matches(network.model, [*CONFIG_MAPPING], 1)) else ""
        raise UsageError(f"networks.{network.name}: transformers knows no model '{network.model}'{near}")
    usual = CONFIG_MAPPING[network.model]()
    for key in network.shape:
        if not hasattr(usual, key):
            near = f"; did you mean '{close[0]}'?" if (close := get_close_matches(key, [*usual.to_dict()], 1)) else ""
            raise UsageError(f"networks.{network.name}: shape.{key}: a {network.model} has no such key{near}")
    return AutoConfig.for_model(network.model, **options, **dict(network.shape))


def read_tokenizer(source: str | Path, **options: Any) -> "PreTrainedTokenizerBase":
    """The tokenizer of a folder or a hub id. Raises ValueError, OSError."""
    from transformers import AutoTokenizer, PreTrainedTokenizerBase

    _refuse_other_classes(source)
    try:
        with _only_from(source):
            found = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **options)
    except BaseException as error:
        if type(error).__name__ != PANIC:
            raise
        raise ValueError(f"its tokenizer cannot be read ({error})") from error
    if not isinstance(found, PreTrainedTokenizerBase):
        raise ValueError(f"{source} names something else as its tokenizer")
    return found


def read_own_tokenizer(source: str | Path, **options: Any) -> "PreTrainedTokenizerBase":
    """The tokenizer of somebody's folder or hub id, as its `tokenizer.json` says where there is one.

    transformers builds a family's own tokenizer around the vocabulary of that file, whatever else the file says: where the two
    make other pieces of a text, or the class knows no such vocabulary, the file is what the network was taught on.

    Raises: ValueError, OSError.
    """
    from transformers import PreTrainedTokenizerFast

    below, revision = f"{options['subfolder']}/" if options.get("subfolder") else "", options.get("revision")
    path = find_file(source, f"{below}tokenizer.json", revision)
    record = read_json(source, f"{below}tokenizer_config.json", revision)
    _refuse_other_classes(source)
    try:
        found = read_tokenizer(source, **options)
        if path is None or not found.is_fast or _is_of_file(found, path):
            return found
        failed: Exception = ValueError(f"its tokenizer.json is not that of a {type(found).__name__}")
    except OSError:
        raise
    except Exception as error:  # what a class makes of a foreign vocabulary can fail anywhere
        own_code = isinstance(record, dict) and "auto_map" in record
        if path is None or own_code or type(error.__cause__).__name__ == PANIC:  # the file itself would do so again
            raise
        failed = error
    try:
        with _only_from(source):
            plain: PreTrainedTokenizerBase = PreTrainedTokenizerFast.from_pretrained(source, trust_remote_code=False, **options)
    except Exception as error:
        raise failed from error
    return plain


def _is_of_file(tokenizer: Any, path: Path) -> bool:
    """Whether a tokenizer makes the pieces that its file makes, of a text without what settings change (capitals, accents)."""
    from tokenizers import Tokenizer

    file, text = Tokenizer.from_file(str(path)), "un deux trois quatre"
    file.no_truncation()
    file.no_padding()
    # a blank before the first word is a matter of settings too: of either kind, one of the two is read alike
    same = any(
        file.encode(each, add_special_tokens=False).ids == tokenizer(each, add_special_tokens=False)["input_ids"]
        for each in (text, f" {text}")
    )
    return same and set(tokenizer(text)["input_ids"]) <= set(file.get_vocab().values())


def read_image_processor(source: str | Path, **options: Any) -> Any:
    """The image processor of a folder or a hub id. Raises ValueError, OSError."""
    from transformers import AutoImageProcessor, BaseImageProcessor

    with _only_from(source):
        found = AutoImageProcessor.from_pretrained(source, trust_remote_code=False, **options)  # type: ignore[no-untyped-call]
    if not isinstance(found, BaseImageProcessor):
        raise ValueError(f"{source} names something else as its image processor")
    return found


def read_json(source: str | Path, name: str, revision: str | None = None) -> Any:
    """A JSON file of a folder or a hub id; None where it has no such file. Raises ValueError, OSError."""
    path = find_file(source, name, revision)
    return None if path is None else json.loads(path.read_text(encoding="utf-8"))


def find_file(source: str | Path, name: str, revision: str | None = None) -> Path | None:
    """Where a file of a folder or a hub id lies; None where there is none of this name. Raises OSError."""
    from transformers.utils.hub import cached_file

    if Path(source).is_dir():
        path = Path(source) / name
        return path if path.is_file() else None
    found = cached_file(
        source,
        name,
        revision=revision or "main",
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,  # offline, what is not in the hub's cache is not there
    )
    return None if found is None else Path(found)


@contextmanager
def _only_from(source: str | Path | None) -> Iterator[None]:
    """Nobody is asked meanwhile, and what is read from a folder, or from nowhere, reaches no hub: a file may name others."""
    from huggingface_hub import constants
    from transformers import dynamic_module_utils

    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0  # no seconds to answer: transformers then refuses without asking
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or source is None or Path(source).is_dir()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _refuse_timm(config: Any) -> None:
    """Raise ValueError where a part is built by timm, to which a configuration may name a hub, or a file that it unpickles."""
    from transformers import PreTrainedConfig

    parts = [config]
    while parts:
        part = parts.pop()
        settings = vars(part) if isinstance(part, PreTrainedConfig) else part
        kind = getattr(part, "model_type", None) or settings.get("model_type")
        if str(kind).startswith("timm"):
            raise ValueError(f"'{kind}' in a config.json is a network of timm; name it with library = \"timm\"")
        parts += [each for each in settings.values() if isinstance(each, PreTrainedConfig | dict)]


def _refuse_other_classes(source: str | Path) -> None:
    """Raise ValueError where a folder says that its tokenizer is some other class, which would load what it likes."""
    import transformers

    for path in (Path(source) / name for name in CONFIGURATIONS):
        record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        name = record.get("tokenizer_class") if isinstance(record, dict) else None
        there = getattr(transformers, name, None) if isinstance(name, str) else None
        if there is not None and not (isinstance(there, type) and issubclass(there, transformers.PreTrainedTokenizerBase)):
            raise ValueError(f"{path} names '{name}' as its tokenizer, which is none")
