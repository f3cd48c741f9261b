"""Where a table or a picture lies: a path, or an address of an object store, through pyarrow's file systems.

An address (s3://bucket/key, gs://, abfs://) holds its key as it is written, as `aws s3` has it: blanks, accents and % are the
key's own. Endpoint, region and keys come from the environment (AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, ...), from
~/.aws or from the machine's role; none of them belongs in an address, which is shown and written down.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from urllib.parse import quote, unquote

import pyarrow as pa
from pyarrow.fs import FileSystem, FileType

from fusecat.stages.errors import DataError, UsageError

FILE = "file://"
_HINTS = {
    "AWS Error NETWORK_CONNECTION": "is AWS_ENDPOINT_URL right?",
    "AWS Error ACCESS_DENIED": "are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY those of someone who may?",
    "AWS Error INVALID_ACCESS_KEY_ID": "is AWS_ACCESS_KEY_ID right?",
    "AWS Error SIGNATURE_DOES_NOT_MATCH": "is AWS_SECRET_ACCESS_KEY right?",
    "AWS Error NO_SUCH_BUCKET": "there is no such bucket, or another AWS_REGION or AWS_ENDPOINT_URL has it",
}
"""What pyarrow says of S3 -> what to look at."""


def is_address(name: str) -> bool:
    """Whether it leads to an object store, not to a file of this machine."""
    return "://" in name and not name.startswith(FILE)


def place(name: str) -> tuple[FileSystem, str]:
    """The file system of a path or an address, and the path in it. Raises UsageError."""
    if not is_address(name):
        path = unquote(name.removeprefix(FILE)) if name.startswith(FILE) else name
        name = FILE + quote(os.path.abspath(path))  # noqa: PTH100 - a link stays one
        files, path = FileSystem.from_uri(name)
        return files, path.rstrip("/") or "/"
    scheme, _, rest = name.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme == "s3" and "@" in bucket:
        raise UsageError("keys in an address are shown and written down: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if not bucket:
        raise UsageError(f"{name}: an address is {scheme}://BUCKET/KEY")
    files, root = _store(scheme, bucket)
    return files, f"{root}/{key}".rstrip("/")


@cache
def _store(scheme: str, bucket: str) -> tuple[FileSystem, str]:
    """A file system, whose connections all pictures of a bucket share, and the bucket's path in it."""
    with reaching(f"{scheme}://{bucket}"):
        files, root = FileSystem.from_uri(f"{scheme}://{bucket}/")
    return files, root.rstrip("/")


def missing(name: str) -> str:
    """Why nothing lies at an address, if the bucket is to blame: its files are then not absent, but looked for elsewhere."""
    files, path = place(name)
    bucket = path.partition("/")[0]
    with reaching(name):
        there = not bucket or files.get_file_info(bucket).type is not FileType.NotFound
    return "" if there else f"there is no bucket {bucket}, or another AWS_REGION or AWS_ENDPOINT_URL has it"


def for_ray(name: str) -> dict[str, Any]:
    """`path` and `filesystem` as Ray Data takes them: it tells by the scheme which file systems a path may be of."""
    files, path = place(name)
    return {"path": f"{name.partition('://')[0]}://{path}" if is_address(name) else path, "filesystem": files}


@contextmanager
def reaching(name: str) -> Iterator[None]:
    """Tell in one line what an object store refuses, or Arrow of a file. A disk raises what it raises. Raises DataError."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        if isinstance(error, OSError) and not is_address(name):
            raise
        raise DataError(f"{name}: {explained(str(error))}") from None


def explained(said: str) -> str:
    """What a store says, in one line, with what to look at."""
    line = " ".join(said.split())
    hint = next((hint for sign, hint in _HINTS.items() if sign in line), "")
    return f"{line:.300}{f' ({hint})' if hint else ''}"
