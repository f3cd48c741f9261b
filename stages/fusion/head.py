"""The head of every fused strategy and of every probe: architecture x merge, not a class per strategy.

Shapes: B products, D the common width, W a feature's own width, K vectors in the final merge, C classes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from fusecat.stages.fusion.feasible import PROJECTED, common_width
from fusecat.stages.fusion.fit_settings import FitSettings, Shortcut
from fusecat.stages.fusion.merges import LinearMerge, MergeModule
from fusecat.stages.fusion.wiring import Wiring, field_of

Views = Mapping[str, Tensor]
"""Feature name -> (B, W) float vectors."""
Masks = Mapping[str, Tensor]
"""Feature name -> (B,) bool: whether the product has the field; (k * B,): k readings of the same vectors, one after another."""


class Head(nn.Module):
    """Project what has not the common width, merge each group, merge the results, classify.

    `wiring` says which features meet where and `widths` how long their vectors are. Images are always projected, as the
    method does. A first merge whose result is not D wide (concatenation) is followed by a linear layer back to D. Without a
    merge there is one linear layer on all features: a probe, or a logistic regression.

    The absent: vectors of absent fields are zeroed and masked in the merge; a group without any present field is absent.
    """

    def __init__(
        self,
        wiring: Wiring,
        widths: Mapping[str, int],
        classes: int,
        *,
        first: type[MergeModule] | None = None,
        final: type[MergeModule] | None = None,
        settings: FitSettings | None = None,
    ) -> None:
        super().__init__()
        settings = settings or FitSettings()
        self.wiring = wiring
        self.features = wiring.features
        self.widths = {name: widths[name] for name in self.features}
        self.classes = classes
        # without a merge the features are laid side by side as they are
        width = common_width(self.widths) if final else sum(self.widths.values())
        self.projections = nn.ModuleDict()
        for name in self.features if final else ():
            if widths[name] != width or field_of(name) in PROJECTED:
                self.projections[_key(name)] = nn.Linear(widths[name], width)
        self.groups = nn.ModuleList()
        self.reductions = nn.ModuleList()
        for group in wiring.groups:
            if first is None:
                raise ValueError("a wiring with groups needs a first merge")
            merge = first(len(group), width)
            self.groups.append(merge)
            self.reductions.append(nn.Identity() if merge.width == width else nn.Linear(merge.width, width))
        self.final = final(len(wiring.groups) + len(wiring.singles), width) if final else None
        merged = self.final.width if self.final else width
        self.missing = nn.ParameterDict()
        for name in self.features if settings.missing_vector and final else ():
            self.missing[_key(name)] = nn.Parameter(0.02 * torch.randn(width))
        self.trunk = _trunk(merged, settings)
        self.classifier = nn.Linear(merged, classes)
        self.indicator: nn.Linear | None = None
        if settings.indicator and final:
            self.indicator = nn.Linear(len(self.features), classes, bias=False)
            nn.init.zeros_(self.indicator.weight)  # absence says nothing until the fit rows say so
        self.depth = sum(merge is not None and merge.deep for merge in (first, final))
        """Deep merges one behind the other: 0 to 2."""
        self.multiplies = any(merge.multiplies for merge in self.merges)
        self.shortcut: nn.Linear | None = None
        if final and (settings.shortcut is Shortcut.EVERY or (settings.shortcut is Shortcut.MULTIPLYING and self.multiplies)):
            self.shortcut = nn.Linear(sum(self.widths.values()), classes, bias=False)
            nn.init.zeros_(self.shortcut.weight)  # a head begins as its merge
        self.apart = len(self.features) > 1 and not self.multiplies
        """Whether there is something to learn from one feature at a time (see `FitSettings.auxiliary`)."""
        if not self.depth:
            with torch.no_grad():
                self.classifier.weight.mul_(settings.initial)
        self.linear = not self.trunk and not self.missing and all(isinstance(merge, LinearMerge) for merge in self.merges)

    @property
    def merges(self) -> list[MergeModule]:
        """First merges, then the final one."""
        found = [*self.groups, *([self.final] if self.final is not None else [])]
        return cast("list[MergeModule]", found)

    def forward(self, views: Views, present: Masks) -> Tensor:
        """Logits (B, C).

        Raises: ValueError if a feature announced at construction is missing.
        """
        missing = [name for name in self.features if name not in views or name not in present]
        if missing:
            raise ValueError(f"no vectors for {', '.join(missing)}; this head needs {', '.join(self.features)}")
        # Pulling the classifier through costs C products of matrix and vector where the plain order costs B of them.
        if self.linear and len(views[self.features[0]]) > self.classes:
            return self.collapsed(views, present)
        return self.literal(views, present)

    def literal(self, views: Views, present: Masks) -> Tensor:
        """Logits (B, C), layer after layer as the formula is written."""
        merged = self.merged(views, present)
        return self._with_shortcuts(cast("Tensor", self.classifier(self.trunk(merged))), views, present)

    def merged(self, views: Views, present: Masks) -> Tensor:
        """What the final merge gives, (B, its width)."""
        if self.missing:
            projected = {name: self._project(name, views, present) for name in self.features}
            views = {name: torch.where(present[name][:, None], projected[name], self.missing[_key(name)]) for name in projected}
            present = {name: torch.ones_like(mask) for name, mask in present.items()}
            return self._merge(lambda name: views[name], present)
        return self._merge(lambda name: self._project(name, views, present), present)

    def _merge(self, vector_of: Callable[[str], Tensor], present: Masks) -> Tensor:
        """First merges and the final one on vectors of the common width."""
        vectors, masks = [], []
        for group, merge, reduction in zip(self.wiring.groups, self.groups, self.reductions, strict=True):
            mask = torch.stack([present[name] for name in group], dim=1)
            whole = mask.any(1)
            result = reduction(merge(torch.stack([vector_of(name) for name in group], dim=1), mask))
            vectors.append(result * whole.unsqueeze(-1))
            masks.append(whole)
        for name in self.wiring.singles:
            vectors.append(vector_of(name))
            masks.append(present[name])
        if self.final is None:
            return torch.cat(vectors, dim=1)
        return cast("Tensor", self.final(torch.stack(vectors, dim=1), torch.stack(masks, dim=1)))

    def collapsed(self, views: Views, present: Masks) -> Tensor:
        """The very same logits with every chain of linear layers multiplied out before it meets the data."""
        nodes: Sequence[tuple[str, ...] | str] = [*self.wiring.groups, *self.wiring.singles]
        masks = [_any(node, present) for node in nodes]
        if self.final is None:
            weights = list(torch.split(self.classifier.weight, list(self.widths.values()), dim=1))
            scales = [mask.float() for mask in masks]
        else:
            assert isinstance(self.final, LinearMerge), "`linear` says so"
            weights = self.final.pull(self.classifier.weight)
            scales = list(self.final.scales(torch.stack(masks, dim=1)).unbind(1))
        # Classes come first: few rows times many columns is what matrix libraries do faster than the same the other way round.
        scores = self.classifier.bias.unsqueeze(1)
        for place, (node, weight, scale) in enumerate(zip(nodes, weights, scales, strict=True)):
            if isinstance(node, str):
                scores = scores + self._pulled(node, weight, scale, views)
                continue
            merge, reduction = cast("LinearMerge", self.groups[place]), self.reductions[place]
            inner = merge.scales(torch.stack([present[name] for name in node], dim=1)) * scale.unsqueeze(1)
            if isinstance(reduction, nn.Linear):
                scores = scores + torch.outer(weight @ reduction.bias, scale)
                weight = weight @ reduction.weight
            for column, (name, part) in enumerate(zip(node, merge.pull(weight), strict=True)):
                scores = scores + self._pulled(name, part, inner[:, column], views)
        return self._with_shortcuts(scores.T, views, present)

    def _with_shortcuts(self, logits: Tensor, views: Views, present: Masks) -> Tensor:
        """The logits (B, C), with what features and absent fields say past the merge (`FitSettings.shortcut`, `indicator`)."""
        if self.shortcut is not None:
            parts = torch.split(self.shortcut.weight, list(self.widths.values()), dim=1)
            for name, part in zip(self.widths, parts, strict=True):
                logits = logits + _scaled(part @ views[name].T, present[name].float()).T
        if self.indicator is None:
            return logits
        absent = torch.stack([~present[name] for name in self.features], dim=1)
        return logits + cast("Tensor", self.indicator(absent.to(logits.dtype)))

    def _pulled(self, name: str, weight: Tensor, scale: Tensor, views: Views) -> Tensor:
        """One feature's share of the logits, classes first: (B, W) by way of (C, D) -> (C, B)."""
        key = _key(name)
        if key not in self.projections:
            return _scaled(weight @ views[name].T, scale)
        projection = cast("nn.Linear", self.projections[key])
        bias = (weight @ projection.bias).unsqueeze(1)
        return _scaled(torch.addmm(bias, weight @ projection.weight, views[name].T), scale)

    def _project(self, name: str, views: Views, present: Masks) -> Tensor:
        """(B, W) -> (B, D), zero where absent."""
        key = _key(name)
        vector = self.projections[key](views[name]) if key in self.projections else views[name]
        vector = vector.repeat(len(present[name]) // len(vector), 1) if len(present[name]) > len(vector) else vector
        return cast("Tensor", vector * present[name].unsqueeze(-1))


def _scaled(shares: Tensor, scale: Tensor) -> Tensor:
    """(C, B) times (k * B,) -> (C, k * B)."""
    classes, batch = shares.shape
    if len(scale) == batch:
        return shares * scale
    return (shares.unsqueeze(1) * scale.view(-1, batch)).reshape(classes, -1)


def _any(node: tuple[str, ...] | str, present: Masks) -> Tensor:
    if isinstance(node, str):
        return present[node]
    return torch.stack([present[name] for name in node], dim=1).any(1)


def _key(name: str) -> str:
    """A feature's name where torch allows no dot."""
    return name.replace(".", ":")


def _trunk(width: int, settings: FitSettings) -> nn.Sequential:
    """What stands between the merge and the last layer; empty by default."""
    layers: list[nn.Module] = []
    if settings.hidden_layer:
        layers += [nn.Dropout(0.3), nn.Linear(width, width), nn.LeakyReLU(0.01)]
    if settings.dropout:
        layers.append(nn.Dropout(settings.dropout))
    return nn.Sequential(*layers)
