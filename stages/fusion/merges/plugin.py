"""A user's merge: found by `package.module:Class`, held to the same laws as ours before anything is fitted with it.

Shapes: B products, M vectors, D width.
"""

import importlib
import sys
import traceback
from functools import lru_cache
from pathlib import Path

import torch

from fusecat.stages.errors import UsageError
from fusecat.stages.fusion.merges.base import MergeModule

PRODUCTS, WIDTH = 7, 6


@lru_cache(maxsize=64)
def load_merge(name: str) -> type[MergeModule]:
    """Import `package.module:Class` (the working directory counts as a place to look) and check its laws.

    Raises: UsageError that says what is missing, or which law is broken.
    """
    module_name, _, class_name = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (Exception, SystemExit) as error:  # whatever a user's module may raise
        reason = f"{type(error).__name__}: {getattr(error, 'msg', error)}"
        if place := _place(error, module_name):
            message = f"'{name}' cannot be imported: {place}: {reason}"
        else:
            message = f"no merge at '{name}' ({reason}); write package.module:Class, importable from {here}"
        raise UsageError(message) from error
    if not (isinstance(found, type) and issubclass(found, MergeModule)):
        raise UsageError(f"'{name}' is no merge: it must be a class that inherits from fusecat.MergeModule")
    for count in (2, 3, 5):
        try:
            broken = broken_law(found, count)
        except Exception as error:  # the same
            broken = f"it must work on {count} vectors, but raises {type(error).__name__}: {error}"
        if broken:
            raise UsageError(f"'{name}' breaks a law of merges: {broken}")
    return found


def _place(error: BaseException, module: str) -> str | None:
    """File and line of the user's code that failed while it was imported, or None where no such line is known."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}" if error.lineno else error.filename
    package = module.partition(".")[0]
    places = [
        f"{frame.f_code.co_filename}, line {line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] == package
    ]
    return places[-1] if places else None


def broken_law(merge: type[MergeModule], count: int) -> str | None:
    """The first law that a merge of `count` vectors breaks, or None."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = merge(count, WIDTH).eval()
        vectors = torch.randn(PRODUCTS, count, WIDTH)
        present = torch.rand(PRODUCTS, count) > 0.4
        present[0], present[1], present[2, 0] = True, False, True
        garbage = torch.where(present.unsqueeze(-1), vectors, 1e3)
        vectors = vectors * present.unsqueeze(-1)
        before = module(vectors, present)
        order = torch.randperm(PRODUCTS)
        moved = module(vectors[order], present[order])
        module.train()
        module(torch.randn(64, count, WIDTH, requires_grad=True), torch.rand(64, count) > 0.2).square().sum().backward()
    if tuple(before.shape) != (PRODUCTS, module.width):
        return f"the result must be (B, self.width) = ({PRODUCTS}, {module.width}), not {tuple(before.shape)}"
    if not before.isfinite().all():
        return "the result must be finite, also where every field of a product is absent"
    if not torch.allclose(module.eval()(garbage, present), before, atol=1e-5):
        return "what stands in an absent vector must have no influence, also where all of a product are absent"
    if not torch.allclose(moved, before[order], atol=1e-5):
        return "rows must not mix: permuting products must permute the result"
    gradients = {name: weight.grad for name, weight in module.named_parameters()}
    if wild := [name for name, gradient in gradients.items() if gradient is not None and not gradient.isfinite().all()]:
        return f"every gradient must be finite, also where every field of a product is absent; that of {wild[0]} is not"
    dead = [name for name, gradient in gradients.items() if gradient is None or not gradient.any()]
    return f"every parameter must get a gradient; {dead[0]} gets none" if dead else None
