"""A recipe: everything that decides a run, checked before anything is started."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from scratchgrad.errors import UserError
from scratchgrad.models import Model, ModelConfig, config_from_dict, family_of
from scratchgrad.tools.recipes import Count, Fraction, NotNegative, Place, Section
from scratchgrad.train.adapter import AdapterRecipe
from scratchgrad.train.chat_recipe import ChatRecipe
from scratchgrad.train.data_recipe import DataRecipe
from scratchgrad.train.objectives import Objective, objective_for, objectives
from scratchgrad.train.trainable import Trainable


class TokenizerRecipe(Section):
    vocab_size: Annotated[int, Field(ge=257)] = Field(2048, description="how many tokens to learn")
    pattern: str = Field("gpt4", description="gpt2, gpt4, or a regular expression that cuts text into pieces")
    path: Place | None = Field(None, description="a tokenizer's file to use instead of learning one")
    begin: str | None = Field(
        None,
        description="the special token that a decoder's texts begin with; by default the one for the end of a text",
    )
    add_tokens: list[str] = Field([], description="special tokens that it gets beside its own")


class TrainRecipe(Section):
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="of weights, dropout and the order of the text")
    device: Literal["cpu", "cuda"] = Field("cpu", description="where each rank computes")
    precision: Literal["float32", "bf16"] = Field(
        "float32", description="of the operands of matrix products; weights and sums are float32. bf16 is for the CPU"
    )
    threads: Count | None = Field(None, description="of each rank; by default its share of the cores")
    objective: str | None = Field(
        None,
        description="what the model is trained for: a file in train/objectives; by default its architecture's own",
    )
    init_from: Place | None = Field(
        None,
        description="a model to begin from, with its tokenizer: a run, a checkpoint, a model directory, or a .bin file "
        "of llama2.c; by default from fresh weights",
    )
    init_sha256: str | None = Field(
        None, description="of that model's files; the run writes it down, and finds out where they changed"
    )
    trainable: Trainable = Field(
        "all",
        description="which parameters: all, head, last:k (the last k blocks and the head), or a list of patterns of "
        "names, '!' before those that stay frozen",
    )
    label_smoothing: Fraction = Field(0.0, description="the share of a target that is spread over all classes")
    steps: Count = Field(1000, description="of the optimizer")
    batch_size: Count = Field(16, description="sequences in a global batch")
    context: Annotated[int, Field(gt=1)] = Field(256, description="tokens in a sequence")
    microbatches: Count = Field(
        4, description="parts of a global batch that are computed one by one: a power of two, one for each rank or more"
    )
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="how weights follow their gradients")
    learning_rate: Annotated[float, Field(gt=0)] = Field(
        1e-3, description="at its peak, after the warm-up; with init_from a tenth, 1e-4"
    )
    weight_decay: NotNegative = Field(0.1, description="not on norms and biases")
    beta1: Fraction = Field(0.9, description="of adamw: how much of its mean gradient is kept in a step")
    beta2: Fraction = Field(0.95, description="of adamw: how much of its mean squared gradient is kept in a step")
    eps: Annotated[float, Field(gt=0)] = Field(1e-8, description="of adamw: added to what it divides by")
    momentum: Fraction = Field(0.9, description="of sgd")
    schedule: Literal["cosine", "linear", "inverse_sqrt", "constant"] = Field(
        "cosine", description="of the learning rate, after the warm-up"
    )
    warmup_steps: Annotated[int, Field(ge=0)] = Field(
        0, description="in which the learning rate rises; a shorter run ends before its peak"
    )
    final_learning_rate_ratio: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1, description="of the peak, at the last step"
    )
    max_grad_norm: Annotated[float, Field(gt=0)] = Field(1.0, description="longer gradients are shortened to it")
    dropout: Fraction = Field(0.0, description="the share of activations that is zeroed in training")
    recompute: Literal["none", "full", "every", "attention"] = Field(
        "none", description="what to run again rather than remember: blocks, or their attention alone"
    )
    recompute_every: Count | None = Field(None, description="blocks that are run again as one, for recompute: every")
    eval_every: Count = Field(100, description="steps between evaluations on validation text")
    eval_tokens: Count = Field(100_000, description="validation tokens that an evaluation reads, at most")
    patience: Count | None = Field(None, description="evaluations without a better validation loss until the run ends")
    watchdog_seconds: Annotated[float, Field(gt=0)] = Field(20.0, description="of silence until a rank counts as lost")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.microbatches & (self.microbatches - 1):
            raise ValueError(f"train.microbatches = {self.microbatches} is not a power of two")
        if self.batch_size % self.microbatches:
            raise ValueError(
                f"train.batch_size = {self.batch_size} is not divisible by train.microbatches = {self.microbatches}"
            )
        if self.precision == "bf16" and self.device != "cpu":
            raise ValueError(f"train.precision = bf16 is for train.device = cpu, not {self.device}")
        if (self.recompute == "every") != (self.recompute_every is not None):
            raise ValueError("train.recompute_every = k belongs to train.recompute = every, and only there")
        if self.init_sha256 is not None and self.init_from is None:
            raise ValueError("train.init_sha256 belongs to train.init_from: leave it out")
        return self


class CheckpointRecipe(Section):
    every_steps: Count | None = Field(100, description="steps between checkpoints; null: none by steps")
    every_minutes: Annotated[float, Field(gt=0)] | None = Field(None, description="time between checkpoints")
    keep_last: Count = Field(2, description="how many checkpoints stay")
    keep_best: bool = Field(True, description="keep the one with the lowest validation loss, too")


class LogRecipe(Section):
    run_dir: Place | None = Field(None, description="the run's folder; by default the next free runs/<recipe>-NNN")
    every_steps: Count = Field(1, description="steps between lines of metrics.jsonl")


class Recipe(Section):
    """The sections of a recipe file. `model` has the keys of a Hugging Face config.json."""

    model: dict[str, Any] = Field(
        description="keys of a Hugging Face config.json; with train.init_from that model's own"
    )
    tokenizer: TokenizerRecipe = Field(TokenizerRecipe(), description="how text becomes tokens")
    data: DataRecipe = Field(DataRecipe(), description="the text, and which of it is validation")
    train: TrainRecipe = Field(TrainRecipe(), description="how the model is trained")
    adapter: AdapterRecipe = Field(AdapterRecipe(), description="what is trained in place of the model's own weights")
    chat: ChatRecipe = Field(ChatRecipe(), description="how chats are laid out, for train.objective = sft")
    checkpoint: CheckpointRecipe = Field(CheckpointRecipe(), description="when the run is saved, and what is kept")
    log: LogRecipe = Field(LogRecipe(), description="where the run's files go")

    @model_validator(mode="after")
    def _the_model_can_be(self) -> Self:
        config = self.model_config_for(self.tokenizer.vocab_size)
        if config.max_position_embeddings < self.train.context:
            raise ValueError(
                f"train.context = {self.train.context} is longer than model.max_position_embeddings = "
                f"{config.max_position_embeddings}"
            )
        self.adapter.check(self.train.init_from, self.train.trainable)
        self.data.check_fields(self.objective, self.objective_class.fields)
        return self

    @property
    def family(self) -> type[Model]:
        return family_of(self.model.get("model_type"), self.model.get("architectures"))

    @property
    def objective(self) -> str:
        return objective_for(self.family, self.train.objective)

    @property
    def objective_class(self) -> type[Objective]:
        return objectives()[self.objective]

    def model_config_for(self, vocab_size: int, pad: int | None = None, end: int | None = None) -> ModelConfig:
        """The model's config, with the tokenizer's vocabulary and the training context where it names none.

        pad: the id of what fills sequences up, which an encoder-decoder starts with, too. end: of what ends a text, for
        a config that has a place for it.
        """
        values = {"vocab_size": vocab_size, "max_position_embeddings": self.train.context}
        if pad is not None:
            known = self.family.config_class.model_fields
            values |= {name: pad for name in ("pad_token_id", "decoder_start_token_id") if name in known}
        if end is not None and "eos_token_id" in self.family.config_class.model_fields:
            values["eos_token_id"] = end
        return config_from_dict({**values, **self.model})


MAY_CHANGE_ON_RESUME = {
    "train.device", "train.eval_every", "train.eval_tokens", "train.patience", "train.recompute",
    "train.recompute_every", "train.steps", "train.threads", "train.watchdog_seconds",
}  # fmt: skip


def check_resumable(old: Recipe, new: Recipe) -> None:
    """UserError where a run that began with `old` cannot go on with `new` as the same run."""
    changed = sorted(_flat(old).items() ^ _flat(new).items())
    wrong = sorted(
        {k for k, _ in changed if k not in MAY_CHANGE_ON_RESUME and k.split(".")[0] not in ("checkpoint", "log")}
    )
    if wrong:
        raise UserError(f"{', '.join(wrong)}: a run goes on with what it began with; start a new run to change that")


def check_ranks(recipe: Recipe, size: int) -> None:
    """UserError where there are more ranks than microbatches."""
    if size > recipe.train.microbatches:
        raise UserError(
            f"{size} ranks are more than train.microbatches = {recipe.train.microbatches}, and each computes one at "
            "least; start fewer ranks, or choose a larger power of two for train.microbatches"
        )


def _flat(recipe: Recipe) -> dict[str, str]:
    return {
        f"{section}.{key}": repr(value)
        for section, values in recipe.model_dump().items()
        for key, value in values.items()
    }
