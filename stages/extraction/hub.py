"""The only doors to transformers' Auto classes: no code that lies among a model's files is run, and nobody is asked for leave.

Where `trust_remote_code` is not said, transformers asks on stdin, and a yes runs what `auto_map` names. Here it is said always,
and where transformers itself forgets to pass it on, its question is switched off: it refuses instead.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CONFIGURATIONS = ("tokenizer_config.json", "config.json")


def read_config(source: str | Path, **options: Any) -> Any:
    """The configuration of a folder or a hub id. Raises ValueError, OSError."""
    from transformers import AutoConfig

    _ask_nobody()
    config = AutoConfig.from_pretrained(source, trust_remote_code=False, **options)
    # a file may name a kernel of the hub, which is code: what computes attention is for this machine to choose
    config._attn_implementation = None
    if getattr(config, "_experts_implementation", None):
        config._experts_implementation = None
    return config


def read_model(source: str | Path, config: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
    """The network of a folder or a hub id with its weights, and what transformers tells of keys that do not match.

    In 32 bits whatever the file holds: optimisers lose small steps in 16, and autocast computes in them anyway.
    Raises ValueError, OSError, and what a file that is none raises.
    """
    import torch
    from transformers import AutoModel

    _ask_nobody()
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

    _ask_nobody()
    return AutoModel.from_config(config, trust_remote_code=False, **options)  # type: ignore[no-untyped-call]


def read_tokenizer(source: str | Path, **options: Any) -> "PreTrainedTokenizerBase":
    """The tokenizer of a folder or a hub id. Raises ValueError, OSError."""
    from transformers import AutoTokenizer, PreTrainedTokenizerBase

    _ask_nobody()
    for path in (Path(source) / name for name in CONFIGURATIONS):
        if path.is_file():
            _refuse_other_class(path)
    found = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **options)
    if not isinstance(found, PreTrainedTokenizerBase):
        raise ValueError(f"{source} names something else as its tokenizer")
    return found


def read_image_processor(source: str | Path, **options: Any) -> Any:
    """The image processor of a folder or a hub id. Raises ValueError, OSError."""
    from transformers import AutoImageProcessor, BaseImageProcessor

    _ask_nobody()
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


def _ask_nobody() -> None:
    """No seconds to answer: transformers then refuses without asking."""
    from transformers import dynamic_module_utils

    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0


def _refuse_other_class(path: Path) -> None:
    """Raise ValueError where a file says that the tokenizer is some other class, which would load what it likes."""
    import transformers

    record = json.loads(path.read_text(encoding="utf-8"))
    name = record.get("tokenizer_class") if isinstance(record, dict) else None
    there = getattr(transformers, name, None) if isinstance(name, str) else None
    if there is not None and not (isinstance(there, type) and issubclass(there, transformers.PreTrainedTokenizerBase)):
        raise ValueError(f"{path} names '{name}' as its tokenizer, which is none")
