"""What keeps a page harmless: a policy that allows exactly the inline text that we wrote, and names that stay names."""

import base64
import hashlib
import re

from markupsafe import Markup

from fusecat.pipeline.console import safe


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
