"""scratchgrad-sample: text from a model."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

import scratchgrad_start
from scratchgrad.backend import use_device
from scratchgrad.errors import UserError
from scratchgrad.models import BertForMaskedLM, Decoder, EncoderDecoder
from scratchgrad.tools.commands.common import HELP, read_text, say, tells_mistakes, version_option
from scratchgrad.tools.commands.options import option_group
from scratchgrad.tools.commands.printing import Output, write_filled
from scratchgrad.tools.commands.writing import draw_texts, search_texts
from scratchgrad.tools.generation import SamplingParams, fill_masks
from scratchgrad.tools.loading import adapter_directory, load_language_model
from scratchgrad.tools.runs import is_finished, model_directory, newest_run
from scratchgrad.tools.text import read_prompts

LONGEST = 4096  # tokens, where nothing is said: a context may be a million
LARGEST_PROMPT = 1 << 24  # bytes; the context of any model that runs here is smaller
DRAWING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed")


@dataclass(frozen=True)
class ModelLocation:
    """Where the model and its tokenizer are, and where it computes."""

    run: Path | None
    model: Path | None
    adapter: Path | None
    tokenizer: Path | None
    device: str

    def path(self) -> Path:
        """The model directory, or the .bin file; UserError where there is none. An adapter names its own model."""
        use_device(self.device)
        if self.run is None and self.model is None and self.adapter is not None:
            return adapter_directory(self.adapter)
        place = self.run or self.model or newest_run(Path("runs"))
        return place if place.is_file() else model_directory(place)

    def adapter_beside_model(self) -> Path | None:
        """The adapter that is put beside another model than the one that it names."""
        return self.adapter if self.run or self.model else None

    def __post_init__(self) -> None:
        if self.run is not None and self.model is not None:
            raise UserError("--run and --model both say where the model is; give one of them")


def _params(stop: tuple[str, ...], max_tokens: int | None, **values: Any) -> SamplingParams:
    if "" in stop:
        raise UserError("--stop needs a text that is not empty")
    return SamplingParams(stop=stop, max_tokens=max_tokens or LONGEST, **values)


@dataclass(frozen=True)
class Search:
    """A search with beams instead of draws, where `beams` is not None."""

    beams: int | None
    length_penalty: float


@click.command(context_settings=HELP)
@tells_mistakes
@option_group(
    "source",
    ModelLocation,
    click.option("--run", type=click.Path(path_type=Path), metavar="DIR", help="A run; its newest checkpoint."),
    click.option(
        "--model",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="A model directory, or a .bin file of llama2.c.",
    ),
    click.option(
        "--adapter",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="A low-rank adapter, or a run that trained one; by default beside the model that it names.",
    ),
    click.option(
        "--tokenizer",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="A tokenizer's file, or a folder that holds one; by default the one beside the model.",
    ),
    click.option("--device", default="cpu", show_default=True, metavar="cpu|cuda"),
)
@option_group(
    "prompts",
    lambda prompts, prompt_file: partial(_read_prompts, prompts, prompt_file),
    click.option(
        "--prompt",
        "prompts",
        multiple=True,
        metavar="TEXT",
        help="What the text begins with; - reads it from standard input. May be given repeatedly.",
    ),
    click.option(
        "--prompt-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help='A prompt in each line; in a .jsonl or .csv file, in the field "prompt" of each record.',
    ),
)
@option_group(
    "params",
    _params,
    click.option("--temperature", default=1.0, show_default=True, metavar="T", help="0 is greedy, 2 the wildest."),
    click.option("--top-k", type=int, metavar="K", help="Choose among the K likeliest tokens."),
    click.option("--top-p", default=1.0, show_default=True, metavar="P", help="... that make up the probability P."),
    click.option("--min-p", default=0.0, show_default=True, metavar="P", help="... at least P times the likeliest."),
    click.option(
        "--repetition-penalty",
        default=1.0,
        show_default=True,
        metavar="R",
        help="Above 1, tokens that the text has already are less likely.",
    ),
    click.option("--seed", default=0, show_default=True, help="The same seed gives the same text."),
    click.option(
        "--max-tokens", type=click.IntRange(min=1), metavar="N", help="By default what the context holds, at most 4096."
    ),
    click.option("--stop", multiple=True, metavar="TEXT", help="End before this text; may be given repeatedly."),
)
@option_group(
    "search",
    Search,
    click.option(
        "--beams",
        type=click.IntRange(min=1),
        metavar="N",
        help="Search for the likeliest text with N beams, instead of drawing.",
    ),
    click.option(
        "--length-penalty",
        default=1.0,
        show_default=True,
        metavar="A",
        help="With --beams: a text's score is its log-probability / length^A.",
    ),
)
@click.option(
    "--num-samples",
    type=click.IntRange(min=1),
    metavar="N",
    help="Texts for each prompt: by default 3; 1 after a prompt, if greedy, or with --beams. "
    "For a model that fills masks: candidates to show.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    metavar="N",
    help="Texts that are written at once.",
)
@option_group(
    "output",
    Output,
    click.option(
        "--log-probs", is_flag=True, help="Tell each token's log-probability by the model, on standard error."
    ),
    click.option(
        "--json", "as_json", is_flag=True, help="A JSON object for each text, with ids and log-probabilities."
    ),
)
@version_option
@click.pass_context
def main(
    context: click.Context,
    source: ModelLocation,
    prompts: Callable[[], list[str]],
    params: SamplingParams,
    search: Search,
    num_samples: int | None,
    batch_size: int,
    output: Output,
) -> None:
    """Write text with a trained model: by default with the newest run below ./runs.

    A decoder goes on from the prompt, an encoder-decoder answers it, and BERT fills its [MASK]s.

    \b
    scratchgrad-sample --temperature 1.2
    scratchgrad-sample --prompt "def main(" --stop "def " --num-samples 3
    scratchgrad-sample --model toy-hf --temperature 0 --max-tokens 100 --prompt - < question.txt
    scratchgrad-sample --model toy-hf --adapter lora --prompt "def main("
    scratchgrad-sample --run runs/toy-001 --prompt-file questions.txt --beams 4 --json
    scratchgrad-sample --model stories15M.bin --tokenizer tokenizer.bin --prompt "Once upon a time"
    """
    if search.beams is not None:
        _check_search(context, search.beams, num_samples or 1)
    texts = prompts()
    path = source.path()
    say(f"sampling from {path}" + (" (of a run that is not finished)" if is_finished(path) is False else ""))
    loaded = load_language_model(path, source.tokenizer, source.adapter_beside_model())
    model = loaded.model.to(source.device)
    if isinstance(model, BertForMaskedLM):
        for text in texts:
            write_filled(*fill_masks(model, loaded.tokenizer, text, num_samples or 1), as_json=output.as_json)
        return
    if not isinstance(model, Decoder | EncoderDecoder):
        raise UserError(f"'{path}' holds a {model.architecture}, which neither writes text nor fills masks")
    if search.beams is not None:
        search_texts(
            model, loaded, texts, num_samples or 1, params,
            beams=search.beams, length_penalty=search.length_penalty, batch_size=batch_size, output=output,
        )  # fmt: skip
    else:
        count = num_samples or (3 if texts == [""] and params.temperature > 0 else 1)
        draw_texts(model, loaded, texts, count, params, batch_size=batch_size, output=output)


def _check_search(context: click.Context, beams: int, num_samples: int) -> None:
    """UserError where something is asked of a search that it cannot give."""
    for name in DRAWING:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = "--" + name.replace("_", "-")
            raise UserError(f"--beams searches for the likeliest text and draws nothing; leave {option} out")
    if num_samples > beams:
        raise UserError(f"--beams {beams} finds at most {beams} texts, and --num-samples asks for {num_samples}")


def _read_prompts(prompts: tuple[str, ...], file: Path | None) -> list[str]:
    """All that were given; one that is empty where none was."""
    if prompts.count("-") > 1:
        raise UserError("--prompt - reads all of standard input; give it once")
    texts = [
        read_text(sys.stdin.buffer, "standard input", LARGEST_PROMPT) if prompt == "-" else prompt for prompt in prompts
    ]
    if file is not None:
        texts += read_prompts(file)
        if not texts:
            raise UserError(f"'{file}' holds no prompt: every line is blank")
    return texts or [""]


if __name__ == "__main__":
    scratchgrad_start.sample()
