"""A tower as a graph that runs without unreel: `torch.export` and ONNX, each run against the tower when it is written."""

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from unreel.models.towers import Tower

__all__ = ["largest_difference", "write_onnx", "write_program"]

Run = Callable[[Tensor], Tensor]
"""A graph that was read back from its file."""


def write_program(tower: Tower, example: Tensor, path: Path) -> Run:
    """Write the tower for `torch.export.load`, any number of rows at once; returns what the file holds, read back.

    Args:
        example: float `[B, ...]` of the sizes that the graph is for, B at least 2.
    """
    program = _traced(tower, example)
    # They would be saved as a pickle; without them the archive holds raw tensors and JSON.
    program.example_inputs = None
    with _quiet():
        torch.export.save(program, path)
        return torch.export.load(path).module()


def write_onnx(tower: Tower, example: Tensor, path: Path) -> Run:
    """Write the tower as ONNX, input `x`, any number of rows at once; returns what the file holds, by onnxruntime.

    Raises:
        ValueError: the packages that write and run ONNX are not installed.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  # torch.onnx needs it and says so late
    except ImportError as error:
        raise ValueError(
            f"ONNX needs {error.name}: pip install 'unreel[export]', or leave --onnx out"
        ) from error
    with _quiet():
        graph = torch.onnx.export(_traced(tower, example), (), dynamo=True, verbose=False)
    assert graph is not None
    graph.save(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(None, {name: x.numpy()})[0])


def _traced(tower: Tower, example: Tensor) -> ExportedProgram:
    with _quiet():
        return torch.export.export(
            tower.eval(), (example,), dynamic_shapes=({0: Dim("rows", min=1, max=2**20)},)
        )


class _quiet(warnings.catch_warnings):
    """torch's exporters warn of their own internals."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore")


@torch.no_grad()
def largest_difference(tower: Tower, run: Run, example: Tensor) -> float:
    """The largest distance between an embedding of the tower and of `run`, relative to the largest embedding value.

    Asked at the example's number of rows and at another one.
    """
    more = torch.cat([example, example.flip(0), example[:1]])
    pairs = [(tower(x), run(x)) for x in (example, more)]
    scale = max(float(ours.abs().max()) for ours, _ in pairs)
    return max(float((ours - theirs).abs().max()) for ours, theirs in pairs) / max(scale, 1e-12)
