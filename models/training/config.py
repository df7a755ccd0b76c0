"""The settings of a run, as plain immutable records: what `RUN/recipe.toml` holds."""

import json
import tomllib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

__all__ = [
    "DataConfig",
    "DivergenceConfig",
    "LoaderConfig",
    "OptimiserConfig",
    "RunConfig",
    "ScheduleConfig",
    "TogetherConfig",
    "TrainConfig",
    "format_toml",
    "parse_config",
]

Count = Annotated[int, Meta(ge=1)]
Whole = Annotated[int, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, lt=1)]

Named = dict[str, Any]
"""A table whose `name` chooses a class or function and whose other entries are its keyword arguments."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the records: immutable, and an unknown key is an error."""


class DataConfig(Section, frozen=True, kw_only=True):
    """Which samples."""

    shards: str | dict[str, Positive] = ""
    """Folder with `catalogue.json`, or several with their weights; `unreel train --data` fills it in."""
    holdout: Share = 0.2
    """Share of the sources, those without a split of their own, that is kept for validation."""
    filters: dict[str, tuple[float, float]] = {}
    """Smallest and largest length, size, motion ... of a sample; the names are those of `pipelines/criteria.py`."""
    balance: str = ""
    """Label whose values come equally often in training; empty takes samples as often as they are there."""


class OptimiserConfig(Section, frozen=True, kw_only=True):
    """How weights move. Norm scales and biases are never decayed."""

    name: Literal["adamw", "sgd"] = "adamw"
    learning_rate: Positive = 1e-3
    """Its peak, when there is a warm-up."""
    weight_decay: NotNegative = 0.01
    momentum: Share = 0.9
    """For `sgd`."""
    betas: tuple[Share, Share] = (0.9, 0.999)
    """For `adamw`."""
    clip_norm: NotNegative = 0.0
    """Largest norm of all gradients together; 0 clips none."""


class ScheduleConfig(Section, frozen=True, kw_only=True):
    """The learning rate over the steps: a function of the step alone, never of the clock."""

    name: Literal["cosine", "constant", "stairs"] = "cosine"
    warmup_steps: Whole = 0
    """Steps of linear rise from 0."""
    floor: Share = 0.0
    """Share of the peak at which `cosine` ends."""
    drops: tuple[Count, ...] = ()
    """Steps, ascending, from each of which on `stairs` multiplies the rate by `drop`."""
    drop: Share = 0.1
    """Factor of each step in `drops`."""

    def __post_init__(self) -> None:
        if self.drops and self.name != "stairs":
            raise ValueError(
                f"drops = {list(self.drops)}: only the schedule 'stairs' has them, not {self.name!r}"
            )
        if list(self.drops) != sorted(set(self.drops)):
            raise ValueError(f"drops = {list(self.drops)}: must ascend")


class DivergenceConfig(Section, frozen=True, kw_only=True):
    """What follows when a loss or a gradient is no number, on any rank, or a loss jumps. Weights never move by such a step."""

    answer: Literal["stop", "skip", "roll_back"] = "skip"
    """`stop` ends the run; `skip` goes on with the next step; `roll_back` takes the weights of the newest checkpoint and
    goes on with the next step, so that the same samples do not come again."""
    most: Count = 3
    """Steps in a row that are skipped, or returns in a whole run; one more ends the run."""
    spike: NotNegative = 0.0
    """A loss above so many times the median of the last ones is answered as well; 0 judges none."""
    window: Count = 64
    """Losses that the median is taken of."""


class TrainConfig(Section, frozen=True, kw_only=True):
    """How long, how much at once, and what is kept."""

    steps: Count
    batch_size: Count
    """Clips in a step, over all ranks and passes."""
    epochs: NotNegative = 0.0
    """More than 0: `steps` is set to so many times all clips, rounded up."""
    accumulate: Count = 1
    """Passes in which a rank takes its clips of a step: less memory, one move of the weights. Batch norm and negatives
    inside a batch see one pass."""
    ema: Share = 0.0
    """What an average of the weights keeps of itself at each step, such as 0.999; 0 keeps no average. Validation, and
    whoever loads the run, take the average."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """On several ranks: `ddp` holds all weights on each; `fsdp` (FSDP2) holds a part of each weight, its gradient and the
    optimiser's state on each, for towers that do not fit on one."""
    sync_batch_norm: bool = False
    """Statistics of batch norm over all ranks; needs CUDA, see `norm` of the towers for what runs everywhere."""
    compile: bool = False
    """`torch.compile` on each stage of the towers; the first steps take minutes, the last bits differ."""
    max_seconds: NotNegative = 0.0
    """Training stops early after so many seconds of steps, resumes included; 0 is no limit. Steps are the budget: the
    schedule does not know the clock, and so a run is the same on a fast and on a slow machine."""
    eval_every: Whole = 0
    """Steps between validations; 0 validates at the end only."""
    eval_batches: Count = 8
    """Batches of the held-out sources in one validation, always the same."""
    checkpoint_every: Whole = 0
    """Steps between checkpoints; 0 saves at the end only (and on SIGTERM and SIGINT)."""
    keep: Count = 3
    """Newest checkpoints that are kept."""
    keep_every: Whole = 0
    """Checkpoints of steps that this divides are kept for good, beside the newest; 0 keeps none."""
    log_every: Count = 10
    """Steps between rows of `metrics.jsonl`."""
    log: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ("tensorboard",)
    """Who hears of each row beside `metrics.jsonl`; `wandb` and `mlflow` are set up by their own environment variables."""
    seed: int = 0
    device: str = "auto"
    """`auto` (CUDA where there is one), `cpu`, `cuda`, `cuda:1`."""
    amp: Literal["auto", "off", "bf16", "fp16"] = "auto"
    """Mixed precision; `auto` is bf16 on a CUDA device that has it, else off."""
    threads: Whole = 0
    """torch's threads on CPU; 0 leaves torch its choice. Other threads give other last bits."""


class LoaderConfig(Section, frozen=True, kw_only=True):
    """How media is decoded."""

    backend: str = "auto"
    threads: Count = 2
    workers: Whole = 0
    """Processes that decode instead of threads: a sample that crashes its decoder then costs its row and not the run."""
    prefetch: Count = 2
    """Batches made ahead of the step."""
    failures: Literal["skip", "stop", "refuse"] = "skip"
    """What failed samples do: cost their own rows up to a ceiling, stop the run, or refuse a damaged data set at once."""


class TogetherConfig(Section, frozen=True, kw_only=True):
    """How several tasks train in one run."""

    mode: Literal["shared", "turns", "drawn"] = "shared"
    """`shared`: each step has every task's batch of the same clips, from one decode. `turns`: each step has one task, in
    their order; `drawn`: it is drawn. Then every task has clips of its own."""
    weights: dict[str, Positive] = {}
    """By task, 1 where none is said: of its loss; of `drawn`, how often it comes beside the others instead."""
    share_moments: bool = False
    """With `shared`: tasks look at the same moment of a clip where they can, so that fewer pictures are decoded."""
    gradients_every: Whole = 50
    """Steps between measurements of each task's gradient at the towers that tasks share; 0 measures none."""


class RunConfig(Section, frozen=True, kw_only=True):
    """A whole run: of one `task`, or of several `tasks`."""

    data: DataConfig = DataConfig()
    task: Named = {}
    """`name` and the fields of that pretext task."""
    tasks: dict[str, Named] = {}
    """The same of several, by names of the recipe's own."""
    towers: dict[str, Named]
    """By kind: `name` and the settings of that tower."""
    objective: dict[str, Any] = {}
    """Settings of the objective, which has the task's name."""
    objectives: dict[str, dict[str, Any]] = {}
    """The same of several tasks, by the recipe's names."""
    together: TogetherConfig = TogetherConfig()
    start: dict[str, str] = {}
    """By kind of tower: the run, or the exported tower, whose weights it starts from; the others draw theirs."""
    optimiser: OptimiserConfig = OptimiserConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    divergence: DivergenceConfig = DivergenceConfig()
    train: TrainConfig
    loader: LoaderConfig = LoaderConfig()

    def __post_init__(self) -> None:
        if bool(self.task) == bool(self.tasks):
            found = "both" if self.task else "neither"
            raise ValueError(f"a run has a section 'task', or sections 'tasks.NAME': there is {found}")
        if self.objective and self.tasks:
            raise ValueError("section 'objective': of several tasks write 'objectives.NAME'")
        if self.tasks and not self.shares_steps and (self.together.share_moments or self.divergence.spike):
            raise ValueError(
                f"together.mode {self.together.mode!r}: steps of one task each share no decode (together.share_moments), "
                "and losses of several tasks have no common median (divergence.spike); leave these out"
            )
        strange = sorted(set(self.start) - set(self.towers))
        if strange:
            raise ValueError(f"start.{strange[0]}: no such tower; there are {', '.join(self.towers)}")
        for section, names in (("objectives", self.objectives), ("together.weights", self.together.weights)):
            unknown = sorted(set(names) - set(self.tasks))
            if unknown:
                known = ", ".join(self.tasks) or "none"
                raise ValueError(f"{section}.{unknown[0]}: no such task in 'tasks'; there are {known}")

    @property
    def named_tasks(self) -> Mapping[str, Named]:
        """The task or tasks, each by its name in this run: for one task that of the task itself."""
        return self.tasks or {str(self.task.get("name", "")): self.task}

    @property
    def named_objectives(self) -> Mapping[str, Mapping[str, Any]]:
        """Settings of each objective, by the same names."""
        if not self.tasks:
            return dict.fromkeys(self.named_tasks, self.objective)
        return {name: self.objectives.get(name, {}) for name in self.tasks}

    @property
    def shares_steps(self) -> bool:
        """Whether each step has every task."""
        return not self.tasks or self.together.mode == "shared"

    def weight_of(self, task: str) -> float:
        """By which its loss is multiplied; `drawn` weighs by how often a task comes."""
        return 1.0 if self.together.mode == "drawn" else self.together.weights.get(task, 1.0)


def parse_config(text: str) -> RunConfig:
    """The settings that a TOML text states. Raises ValueError when it does not state a run."""
    try:
        return msgspec.convert(tomllib.loads(text), RunConfig)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ValueError(f"not a recipe: {error}") from error


def format_toml(config: RunConfig) -> str:
    """The settings as TOML, every default written out; `parse_config` reads the same settings from it."""
    lines: list[str] = []
    # Of the two forms of a run only one is written.
    unused = {"task", "objective"} if config.tasks else {"tasks", "objectives", "together"}
    for section, content in msgspec.to_builtins(config).items():
        if section in unused:
            continue
        tables = content.items() if section in ("tasks", "towers", "objectives") else [("", content)]
        for kind, table in tables:
            lines += ["", f"[{section}.{kind}]" if kind else f"[{section}]"]
            # TOML has no null: a setting that is None has None as its default, or it could not have been set.
            lines += [f"{key} = {_toml_value(value)}" for key, value in table.items() if value is not None]
    return "\n".join(lines[1:]) + "\n"


def _toml_value(value: object) -> str:
    """A JSON string, number, boolean or flat array is written in TOML as in JSON; a table is written on one line."""
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return (
        "{"
        + ", ".join(f"{json.dumps(k, ensure_ascii=False)} = {_toml_value(v)}" for k, v in value.items())
        + "}"
    )
