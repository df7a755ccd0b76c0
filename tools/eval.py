"""`unreel eval`: what a trained run learned, each number beside its control."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from unreel.tools.console import console, output, progress, write_result
from unreel.tools.verdicts import CONTROLS

if TYPE_CHECKING:
    from unreel.models.evaluation import Estimate
    from unreel.tools.evaluation import Evaluation, Knowledge

__all__ = ["eval", "show_evaluation"]


def eval(
    run: Annotated[Path, typer.Argument(help="Run folder of `unreel train`.")],
    data: Annotated[
        Path | None, typer.Option(help="Shards; by default those that the run was trained on.")
    ] = None,
    twin: Annotated[
        Path | None, typer.Option(help="Shards of the same clips without their objects: the control.")
    ] = None,
    passes: Annotated[int, typer.Option(help="How often each held-out clip is drawn for the task.")] = 8,
    by: Annotated[
        str | None, typer.Option(help="A label of the manifest: also score the clips of each of its values.")
    ] = None,
    json: Annotated[
        str | None, typer.Option("--json", help="Write the result to FILE (`-`: stdout).")
    ] = None,
) -> None:
    """What did a run learn? Accuracy on held-out sources beside its controls, and what the frozen features know.

    The task is scored half and half of both answers, so that guessing gives 50 %. Linear probes and nearest neighbours
    read labels and tracks of the manifest from the frozen features, beside the same tower before training (its batch
    norm calibrated) and plain pixels. Intervals are 95 %, by bootstrap over sources. Writes
    RUN/eval.json and, for tasks whose towers can do more than answer the question, RUN/eval.png; of a run of several tasks
    RUN/eval-NAME.json and .png of each.

    Example:

        unreel eval runs/order

        unreel eval runs/order --twin world-empty-shards

        unreel eval runs/arrow --by law
    """
    import msgspec

    from unreel.tools.evaluate import evaluate_tasks
    from unreel.tools.evaluation import evaluation_path, write_evaluation

    if passes < 1:
        raise ValueError(f"--passes {passes}: allowed are 1 and more")
    with progress(None, "evaluating") as ticker:
        found = evaluate_tasks(run, data=data, twin=twin, passes=passes, by=by, say=ticker.say)
    for evaluation in found.values():
        path = evaluation_path(run, evaluation.name)
        write_evaluation(evaluation, path)
        show_evaluation(evaluation)
        console.print(f"{evaluation.seconds:.0f} s; written to {path}", soft_wrap=True)
    records = msgspec.to_builtins(found)
    write_result(records if evaluation.name else records[evaluation.task], json)


def show_evaluation(evaluation: "Evaluation") -> None:
    """Print the tables of an evaluation."""
    output.print(_pretext_table(evaluation))
    for knowledge in evaluation.knowledge:
        if knowledge.findings:
            output.print(_knowledge_table(knowledge))
        else:
            output.print(
                f"{knowledge.tower} tower: the data set names no label or track that a probe could read"
            )
    if evaluation.abilities:
        output.print(_ability_table(evaluation))


def _ability_table(evaluation: "Evaluation") -> Table:
    quantities = evaluation.abilities
    table = Table(title="What the towers can do beyond the question", title_justify="left")
    table.add_column("")
    contestants = list(next(iter(quantities.values())))
    for contestant in contestants:
        table.add_column(contestant, justify="right")
    for quantity, estimates in quantities.items():
        table.add_row(quantity, *(_number(estimates[contestant]) for contestant in contestants))
    table.caption = "on held-out sources; ± one standard error, over sources"
    return table


def _pretext_table(evaluation: "Evaluation") -> Table:
    table = Table(title=f"{evaluation.name or evaluation.task}, step {evaluation.step}", title_justify="left")
    for column in ("data", evaluation.pretext.metric_words, "AUC", "decisions", "clips", "sources", "failed"):
        table.add_column(column, justify="left" if column == "data" else "right")
    rows = [("held-out sources", evaluation.pretext)]
    if evaluation.on_twin is not None:
        rows.append(("the same without objects", evaluation.on_twin))
    rows += [(f"the head alone, on {CONTROLS[name]}", score) for name, score in evaluation.controls.items()]
    for name, score in rows:
        accuracy = score.estimate
        counts = (sum(score.decisions), score.clips, accuracy.sources, score.failures)
        auc = _number(score.auc) if score.auc else "-"
        table.add_row(name, _number(accuracy), auc, *(f"{count:,}" for count in counts))
        for subset, estimate in score.subsets.items():
            chance = score.subset_chances.get(subset)
            words = f"    of these, {subset}" if chance is None else f"    {subset} (chance {chance:.3f})"
            table.add_row(words, _number(estimate), "", f"{estimate.samples:,}", "", "", "")
    table.caption = f"chance {evaluation.pretext.chance:.3f}; ± one standard error, over sources"
    return table


def _knowledge_table(knowledge: "Knowledge") -> Table:
    table = Table(title=f"What the {knowledge.tower} tower knows", title_justify="left")
    encoders = list(knowledge.findings[0].estimates)
    for column in (
        "factor",
        "read by",
        "metric",
        "chance",
        *encoders,
        "trained - untrained",
        "samples",
        "sources",
    ):
        table.add_column(column, justify="left" if column in ("factor", "read by", "metric") else "right")
    for finding in knowledge.findings:
        trained = finding.estimates[encoders[0]]
        table.add_row(
            finding.factor,
            finding.method,
            finding.metric,
            f"{finding.chance:.3f}",
            *(_number(finding.estimates[encoder]) for encoder in encoders),
            _interval(finding.gains["untrained"]),
            f"{trained.samples:,}",
            f"{trained.sources:,}",
        )
    table.caption = (
        f"probes learned from {knowledge.train_clips} clips, tested on {knowledge.test_clips} held-out clips; "
        "± one standard error; the difference with its 95 % interval, both over sources"
    )
    return table


def _number(estimate: "Estimate") -> str:
    error = "" if estimate.standard_error is None else f" ± {estimate.standard_error:.3f}"
    return f"{estimate.value:.3f}{error}"


def _interval(estimate: "Estimate") -> str:
    if estimate.interval is None:
        return f"{estimate.value:+.3f}"
    low, high = estimate.interval
    return f"{estimate.value:+.3f} [{low:+.3f}, {high:+.3f}]"
