"""All seeds of one strategy in one fit, batched by `torch.func`: what keeps a GPU busy with heads that are small.

Shapes: S seeds, B products of a batch, n rows, C classes.
"""

import copy
import time
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call, stack_module_state

from fusecat.stages.fusion.fit import EVALUATION_BATCH, EpochChoice, Fitted, groups, loss_of, schedule
from fusecat.stages.fusion.fit_settings import FitSettings
from fusecat.stages.fusion.head import Head, Masks
from fusecat.stages.fusion.in_memory import Vectors
from fusecat.stages.fusion.losses import loss_function, order
from fusecat.stages.fusion.optimiser import optimiser_of
from fusecat.stages.metrics import MACRO_F1, Metric
from fusecat.stages.scores import Outcome, scores_of


def fit_seeds(
    build: Callable[[], Head],
    data: Vectors,
    labels: NDArray[np.integer],
    rows: NDArray[np.intp],
    validation_rows: NDArray[np.intp],
    settings: FitSettings,
    *,
    metric: Metric = MACRO_F1,
    seeds: Sequence[int],
    device: torch.device,
) -> list[Fitted]:
    """Fit one head per seed, all at once on `device`; each as `fit.fit` would, up to rounding and the draws of dropout.

    First weights and the order of rows are those of `fit`. Every seed keeps its own best epoch; the fit ends when all have
    stopped getting better.
    """
    start = time.perf_counter()
    heads, states = _begin(build, seeds)
    template = copy.deepcopy(heads[0]).to("meta")
    weights, _ = stack_module_state(list(heads))
    parameters = {name: value.detach().to(device).requires_grad_() for name, value in weights.items()}
    views = data.to(device)
    targets = torch.from_numpy(np.asarray(labels).astype(np.int64)).to(device)
    places = torch.from_numpy(rows.astype(np.int64))
    truth = torch.from_numpy(np.asarray(labels)[rows].astype(np.int64))
    size, epochs = settings.batch(len(rows)), settings.passes(len(rows))
    minimise = loss_function(settings, targets[places.to(device)], template.classes)
    steps = groups(template, parameters, settings)
    optimiser = optimiser_of(steps, settings, stacked=True)
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, schedule(settings, -(-len(rows) // size) * epochs))

    def losses(own: dict[str, Tensor], batch: dict[str, Tensor], present: dict[str, Tensor], classes: Tensor) -> Tensor:
        def say(masks: Masks) -> Tensor:
            return cast("Tensor", functional_call(template, own, (batch, masks)))

        return loss_of(say, minimise, settings, present, classes, apart=template.apart)

    every = torch.func.vmap(losses, randomness="different")
    choices = [EpochChoice(metric, settings.patience) for _ in seeds]
    kept = {name: value.detach().clone() for name, value in parameters.items()}
    averaged: dict[str, Tensor] = {}
    running = set(range(len(seeds)))
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(sum(seeds))
        for epoch in range(1, epochs + 1):
            template.train()
            drawn = torch.stack([_draw(states, place, settings, truth) for place in range(len(seeds))])
            total = torch.zeros(len(seeds), device=device)
            for block in torch.split(places[drawn].to(device), size, dim=1):
                flat, masks = views.batch(block.flatten())
                shape = block.shape
                loss = every(parameters, _fold(flat, shape), _fold(masks, shape), targets[block])
                optimiser.zero_grad()
                loss.sum().backward()  # type: ignore[no-untyped-call]
                if settings.clip_norm:
                    _clip(parameters, settings.clip_norm)
                optimiser.step()
                rate.step()
                if settings.averaging:
                    _follow(averaged, parameters, settings.averaging)
                total += loss.detach() * shape[1]
            known = np.asarray(labels)[validation_rows]
            current = averaged or parameters
            found = _outcomes(template, current, views, validation_rows, known, device) if len(known) else None
            for place in sorted(running):
                seen = {"epoch": float(epoch), "loss": float(total[place]) / len(rows)}
                if found is not None:
                    seen |= scores_of(found[place])
                if choices[place].better(seen):
                    for name, weight in current.items():
                        kept[name][place] = weight.detach()[place]
                elif choices[place].over:
                    running.discard(place)
            if not running:
                break
    seconds = (time.perf_counter() - start) / len(seeds)
    fitted = []
    for place, head in enumerate(heads):
        head.load_state_dict({name: value[place].cpu() for name, value in kept.items()})
        fitted.append(Fitted(head.eval(), tuple(choices[place].curve), choices[place].epoch, seconds))
    return fitted


def _begin(build: Callable[[], Head], seeds: Sequence[int]) -> tuple[list[Head], list[Tensor]]:
    """One head per seed, and the random numbers as they stand after it was built."""
    heads, states = [], []
    with torch.random.fork_rng(devices=[]):
        for seed in seeds:
            torch.manual_seed(seed)
            heads.append(build())
            states.append(torch.get_rng_state())
    return heads, states


def _draw(states: list[Tensor], place: int, settings: FitSettings, truth: Tensor) -> Tensor:
    """One seed's order of rows, from its own random numbers."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(states[place])
        drawn = order(settings, truth)
        states[place] = torch.get_rng_state()
    return drawn


def _fold(tensors: dict[str, Tensor], shape: torch.Size) -> dict[str, Tensor]:
    """(S * B, ...) -> (S, B, ...)."""
    return {name: tensor.view(*shape, *tensor.shape[1:]) for name, tensor in tensors.items()}


def _follow(averaged: dict[str, Tensor], parameters: dict[str, Tensor], decay: float) -> None:
    """Move the averaged weights towards these, from the first step's on, as `AveragedModel` does."""
    for name, weight in parameters.items():
        if name in averaged:
            averaged[name].lerp_(weight.detach(), 1 - decay)
        else:
            averaged[name] = weight.detach().clone()


def _clip(parameters: dict[str, Tensor], norm: float) -> None:
    """Clip the gradient of each seed by itself."""
    gradients = [weight.grad for weight in parameters.values() if weight.grad is not None]
    lengths = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients]).norm(dim=0)
    factor = (norm / (lengths + 1e-6)).clamp(max=1)
    for gradient in gradients:
        gradient.mul_(factor.view(-1, *[1] * (gradient.dim() - 1)))


def _outcomes(
    template: Head,
    parameters: dict[str, Tensor],
    views: Vectors,
    rows: NDArray[np.intp],
    labels: NDArray[np.integer],
    device: torch.device,
) -> list[Outcome]:
    """What each seed says of these rows, in evaluation mode."""
    template.eval()
    several = torch.func.vmap(lambda own, batch, masks: functional_call(template, own, (batch, masks)), in_dims=(0, None, None))
    own = {name: value.detach() for name, value in parameters.items()}
    found, start = [], 0
    with torch.inference_mode():
        for batch, masks in views.blocks(torch.from_numpy(rows.astype(np.int64)).to(device), EVALUATION_BATCH):
            block = several(own, batch, masks).softmax(2).cpu().numpy()
            truth = labels[start : start + block.shape[1]]
            found.append([Outcome.of(each, truth) for each in block])
            start += block.shape[1]
    return [Outcome.joined(pieces) for pieces in zip(*found, strict=True)]
