"""scratchgrad-sample: text from a model."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from click.core import ParameterSource

from scratchgrad.backend import use_device
from scratchgrad.errors import UserError
from scratchgrad.models import BertForMaskedLM, Decoder, EncoderDecoder
from scratchgrad.tools.commands.common import HELP, read_text, say, tells_mistakes, version_option
from scratchgrad.tools.commands.printing import write_filled
from scratchgrad.tools.commands.writing import Writing
from scratchgrad.tools.filling import fill_masks
from scratchgrad.tools.loading import load_language_model
from scratchgrad.tools.runs import model_directory, newest_run
from scratchgrad.tools.sampling import Sampling
from scratchgrad.tools.text import read_prompts

LONGEST = 4096  # tokens, where nothing is said: a context may be a million, and its cache would be made at once
LARGEST_PROMPT = 1 << 24  # bytes; the context of any model that runs here is smaller
DRAWING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed")


@click.command(context_settings=HELP)
@click.option("--run", "run", type=click.Path(path_type=Path), metavar="DIR", help="A run; its newest checkpoint.")
@click.option("--model", "model", type=click.Path(path_type=Path), metavar="DIR", help="A model directory.")
@click.option(
    "--prompt",
    "prompts",
    multiple=True,
    metavar="TEXT",
    help="What the text begins with; - reads it from standard input. May be given repeatedly.",
)
@click.option(
    "--prompt-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help='A prompt in each line; in a .jsonl file, in the field "prompt" of each record.',
)
@click.option("--temperature", default=1.0, show_default=True, metavar="T", help="0 is greedy, 2 the wildest.")
@click.option("--top-k", type=int, metavar="K", help="Choose among the K likeliest tokens.")
@click.option("--top-p", default=1.0, show_default=True, metavar="P", help="... that make up the probability P.")
@click.option("--min-p", default=0.0, show_default=True, metavar="P", help="... at least P times the likeliest.")
@click.option(
    "--repetition-penalty",
    default=1.0,
    show_default=True,
    metavar="R",
    help="Above 1, tokens that the text has already are less likely.",
)
@click.option(
    "--beams",
    type=click.IntRange(min=1),
    metavar="N",
    help="Search for the likeliest text with N beams, instead of drawing.",
)
@click.option(
    "--length-penalty",
    default=1.0,
    show_default=True,
    metavar="A",
    help="With --beams: a text's score is its log-probability / length^A.",
)
@click.option(
    "--max-tokens", type=click.IntRange(min=1), metavar="N", help="By default what the context holds, at most 4096."
)
@click.option(
    "--num-samples",
    type=click.IntRange(min=1),
    metavar="N",
    help="Texts for each prompt: by default 3; 1 after a prompt, if greedy, or with --beams. "
    "For a model that fills masks: candidates to show.",
)
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same text.")
@click.option("--stop", "stops", multiple=True, metavar="TEXT", help="End before this text; may be given repeatedly.")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    metavar="N",
    help="Texts that are written at once.",
)
@click.option("--log-probs", is_flag=True, help="Tell each token's log-probability by the model, on standard error.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object for each text, with ids and log-probabilities.")
@click.option("--device", default="cpu", show_default=True, metavar="cpu|cuda")
@version_option
@click.pass_context
@tells_mistakes
def main(
    context: click.Context,
    run: Path | None,
    model: Path | None,
    prompts: tuple[str, ...],
    prompt_file: Path | None,
    temperature: float,
    top_k: int | None,
    top_p: float,
    min_p: float,
    repetition_penalty: float,
    beams: int | None,
    length_penalty: float,
    max_tokens: int | None,
    num_samples: int | None,
    seed: int,
    stops: tuple[str, ...],
    batch_size: int,
    log_probs: bool,
    as_json: bool,
    device: str,
) -> None:
    """Write text with a trained model: by default with the newest run below ./runs.

    A decoder goes on from the prompt, an encoder-decoder answers it, and BERT fills its [MASK]s.

    \b
    scratchgrad-sample --temperature 1.2
    scratchgrad-sample --prompt "def main(" --stop "def " --num-samples 3
    scratchgrad-sample --model DIR --temperature 0 --max-tokens 100 --prompt - < question.txt
    scratchgrad-sample --model DIR --prompt-file questions.txt --beams 4 --json
    """
    sampling = Sampling(temperature, top_k, top_p, min_p, repetition_penalty, seed)
    if run is not None and model is not None:
        raise UserError("--run and --model both say where the model is; give one of them")
    if "" in stops:
        raise UserError("--stop needs a text that is not empty")
    if beams is not None:
        _check_search(context, beams, num_samples or 1)
    texts = _read_prompts(prompts, prompt_file)
    use_device(device)
    folder = model_directory(run or model or newest_run(Path("runs")))
    say(f"sampling from {folder}")
    loaded = load_language_model(folder)
    loaded.model.to(device)
    if isinstance(loaded.model, BertForMaskedLM):
        for text in texts:
            write_filled(*fill_masks(loaded.model, loaded.tokenizer, text, num_samples or 1), as_json=as_json)
        return
    if not isinstance(loaded.model, Decoder | EncoderDecoder):
        raise UserError(f"'{folder}' holds a {loaded.model.architecture}, which neither writes text nor fills masks")
    writing = Writing(
        loaded.model,
        loaded,
        texts,
        num_samples or (3 if texts == [""] and temperature > 0 and beams is None else 1),
        max_tokens=max_tokens or LONGEST,
        stops=stops,
        batch_size=batch_size,
        as_json=as_json,
        log_probs=log_probs,
    )
    if beams is None:
        writing.draw(sampling)
    else:
        writing.search(beams, length_penalty)


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
    main()
