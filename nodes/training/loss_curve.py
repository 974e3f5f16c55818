"""Writes the history of a training: as a picture of the losses, and as CSV and JSONL tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from nodes.training.run import Row

WIDTH, HEIGHT = 768, 384
_MARGIN = 48
INK, PAPER, FAINT = (32, 32, 32), (255, 255, 255), (222, 222, 222)
TRAINED, SMOOTH, HELD_OUT = (176, 196, 222), (38, 84, 160), (200, 80, 30)


def smoothed(losses: Sequence[float], decay: float = 0.98) -> list[float]:
    """Compute the exponential moving average of losses; its first values are not drawn towards zero."""
    result, mean, weight = [], 0.0, 0.0
    for loss in losses:
        mean = decay * mean + (1 - decay) * loss
        weight = decay * weight + (1 - decay)
        result.append(mean / weight)
    return result


def as_csv(history: Sequence[Row], steps_per_epoch: int) -> str:
    """Write the history as CSV with A1111's columns: step, epoch, epoch_step, loss, learn_rate."""
    lines = ["step,epoch,epoch_step,loss,learn_rate"]
    for row in history:
        epoch, step = divmod(row.step - 1, steps_per_epoch)
        lines.append(f"{row.step},{epoch},{step + 1},{row.loss:.7f},{row.rate:g}")
    return "\n".join(lines) + "\n"


def as_jsonl(history: Sequence[Row], validations: Sequence[tuple[int, float]]) -> str:
    """Write one JSON object per line: first the rows of the history, then the validation losses."""
    rows = [dict(row._asdict()) for row in history]
    rows += [{"step": step, "validation_loss": loss} for step, loss in validations]
    return "".join(json.dumps(row) + "\n" for row in rows)


def draw_curve(history: Sequence[Row], validations: Sequence[tuple[int, float]]) -> Picture:
    """Draw the losses by step: each loss pale, their average dark, the validation losses orange."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(14)
    losses = [row.loss for row in history]
    values = [*losses, *(loss for _, loss in validations)]
    if not values:
        pen.text((WIDTH / 2, HEIGHT / 2), "no steps yet", INK, font, anchor="mm")
        return picture
    last = max([row.step for row in history] + [step for step, _ in validations] + [1])
    top = (
        sorted(values)[int(0.995 * (len(values) - 1))] * 1.1 or 1.0
    )  # a few outliers do not flatten the rest

    def place(step: float, loss: float) -> tuple[float, float]:
        x = _MARGIN + (WIDTH - 2 * _MARGIN) * step / last
        return x, HEIGHT - _MARGIN - (HEIGHT - 2 * _MARGIN) * min(loss / top, 1)

    for share in (0, 0.25, 0.5, 0.75, 1):
        height = place(0, share * top)[1]
        pen.line([_MARGIN, height, WIDTH - _MARGIN, height], FAINT)
        pen.text((_MARGIN - 6, height), f"{share * top:.2g}", INK, font, anchor="rm")
        pen.text(
            (place(share * last, 0)[0], HEIGHT - _MARGIN + 6), f"{share * last:.0f}", INK, font, anchor="mt"
        )
    stride = max(1, len(losses) // (2 * WIDTH))
    _line(pen, [place(row.step, row.loss) for row in history[::stride]], TRAINED, 1)
    mean = smoothed(losses)
    _line(pen, [place(row.step, loss) for row, loss in zip(history, mean, strict=True)][::stride], SMOOTH, 2)
    held_out = [place(step, loss) for step, loss in validations]
    _line(pen, held_out, HELD_OUT, 2)
    for x, y in held_out:
        pen.ellipse([x - 3, y - 3, x + 3, y + 3], HELD_OUT)
    pen.text((WIDTH - _MARGIN, _MARGIN / 2), "loss by step", INK, font, anchor="rm")
    if validations:
        pen.text((WIDTH - _MARGIN - 110, _MARGIN / 2), "validation", HELD_OUT, font, anchor="rm")
    return picture


def _line(pen: object, places: list[tuple[float, float]], colour: tuple[int, int, int], width: int) -> None:
    from PIL.ImageDraw import ImageDraw

    assert isinstance(pen, ImageDraw)
    if len(places) > 1:
        pen.line(places, colour, width, joint="curve")
