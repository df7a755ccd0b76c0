"""The model card of an exported tower: what it is, how it is used, what it scored beside its controls."""

from collections.abc import Mapping, Sequence
from typing import Any

from unreel.models.export.saved import SavedTower

__all__ = ["model_card"]


def model_card(saved: SavedTower, *, title: str, scores: Sequence[str], checks: Mapping[str, float]) -> str:
    """`README.md` in the layout of model hubs, YAML head included.

    Args:
        title: the task in words.
        scores: one line each, beside its controls; empty where nothing was evaluated.
        checks: file → largest relative difference from the tower.
    """
    measured = (
        "\n".join(f"- {line}" for line in scores)
        or "Not evaluated: run `unreel eval` before `unreel export`."
    )
    files = "\n".join(f"| `{name}` | {error:.1e} |" for name, error in checks.items())
    takes = "\n".join(f"- {spec['shape']}: {spec['values']}" for spec in saved.inputs)
    return f"""---
library_name: unreel
tags: [self-supervised, {saved.kind}, {saved.task.replace("_", "-")}]
---

# {saved.kind} tower `{saved.name}`, pretrained by {title.lower()}

{saved.step:,} steps. One input gives one embedding of {saved.embed_dim} numbers.

It takes

{takes}
{_scale(saved)}
## Use

```python
from unreel.models.export import load_tower

tower, config = load_tower("this folder")
embeddings = tower(x)
```

The weights alone are in `model.safetensors`; `config.json` says what they belong to.

## What was measured

{measured}

High pretext accuracy alone proves nothing: read a score beside its controls.

## Files, run against the tower when they were written

| file | largest difference, relative |
|---|---|
{files}
"""


def _scale(saved: SavedTower) -> str:
    if saved.kind not in ("frame", "video"):
        return ""
    look: Mapping[str, Any] = saved.look
    return (
        f"\nPictures in [0, 1] minus mean {tuple(saved.mean)}, divided by {tuple(saved.std)}; trained at "
        f"{look['size']}x{look['size']} pixels cut from {look['crop']}x{look['crop']}"
        + (
            f", {look['frames']} frames, one each {look['step_seconds']:g} s.\n"
            if look["frames"] > 1
            else ".\n"
        )
    )
