"""What keeps a page harmless: a policy that allows exactly the inline text that we wrote, and names that stay names."""

import base64
import hashlib
import re
from importlib.resources import files
from typing import TYPE_CHECKING

from markupsafe import Markup

from fusecat.pipeline.console import safe

if TYPE_CHECKING:
    from jinja2 import Environment


def templates(*names: str) -> tuple["Environment", dict[str, str]]:
    """Our templates of these names: an environment that escapes what they show, and their texts."""
    from jinja2 import DictLoader, Environment, StrictUndefined

    folder = files("fusecat.pipeline.report") / "templates"
    sources = {name: (folder / name).read_text(encoding="utf-8") for name in names}
    environment = Environment(
        loader=DictLoader(sources), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"plain": safe, "breakable": breakable}
    return environment, sources


def content_policy(style: str, script: str | None = None) -> str:
    """A Content-Security-Policy under which nothing is fetched and only this style and this script take effect."""
    scripts = f"script-src {_hash(script)}; " if script else ""
    return f"default-src 'none'; img-src data:; style-src {_hash(style)}; {scripts}base-uri 'none'; form-action 'none'"


def breakable(name: str) -> Markup:
    """A strategy's name that may break after its slashes, points and underscores, and is still itself when copied."""
    return Markup("<wbr>").join(re.findall(r"[^/._]*[/._]|[^/._]+$", safe(name)))


def _hash(text: str) -> str:
    """The source expression that lets the browser use exactly this inline text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
