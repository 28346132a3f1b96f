"""Make `losses.json`: values and gradients of nnU-Net v2's losses (nnunetv2 2.8.1) on logits made by a formula.

Run it where that package is installed: `python tests/golden/make_losses.py`.
"""

import json
from pathlib import Path

import torch
from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

SHAPE = (4, 6, 8)
IGNORE = 3


def logits(shape) -> torch.Tensor:
    index = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return (2 * torch.sin(1.7 * index + 0.3)).float().reshape(shape)


def labels(shape, *, ignore: bool) -> torch.Tensor:
    index = torch.arange(torch.Size(shape).numel())
    return ((index * index) // 7 % (4 if ignore else 3)).reshape(shape)


def make(kind: str, *, batch_dice: bool, ignore: bool):
    dice = {"batch_dice": batch_dice, "smooth": 1e-5, "do_bg": kind == "dice_bce", "ddp": False}
    if kind == "dice_ce":
        return DC_and_CE_loss(dice, {}, ignore_label=IGNORE if ignore else None, dice_class=MemoryEfficientSoftDiceLoss)
    return DC_and_BCE_loss({}, dice, use_ignore_label=ignore, dice_class=MemoryEfficientSoftDiceLoss)


def target(kind: str, values: torch.Tensor, *, ignore: bool) -> torch.Tensor:
    if kind == "dice_ce":
        return values
    regions = [(values == 1) | (values == 2), values == 2, values == 9]
    return torch.cat([*regions, *([values == IGNORE] if ignore else [])], 1)


def rows() -> list[dict]:
    found = []
    for kind in ("dice_ce", "dice_bce"):
        for batch_dice in (False, True):
            for ignore in (False, True):
                loss = make(kind, batch_dice=batch_dice, ignore=ignore)
                x = logits((2, 3, *SHAPE)).requires_grad_()
                y = labels((2, 1, *SHAPE), ignore=ignore)
                value = loss(x, target(kind, y, ignore=ignore))
                value.backward()
                small = [y[:, :, ::1, ::1, ::1], y[:, :, 1::2, 1::2, 1::2], y[:, :, 1::2, 2::4, 2::4]]
                levels = [logits((2, 3, *part.shape[2:])) for part in small]
                deep = DeepSupervisionWrapper(loss, [2 / 3, 1 / 3, 0.0])
                supervised = deep(levels, [target(kind, part, ignore=ignore) for part in small])
                found.append(
                    {
                        "loss": kind,
                        "batch_dice": batch_dice,
                        "ignore": ignore,
                        "value": value.item(),
                        "gradient_norm": x.grad.double().norm().item(),
                        "gradient": x.grad.flatten()[::97].tolist(),
                        "deep_supervision": supervised.item(),
                    }
                )
    return found


if __name__ == "__main__":
    text = "[\n" + ",\n".join(json.dumps(row) for row in rows()) + "\n]\n"
    Path(__file__).with_name("losses.json").write_text(text)
