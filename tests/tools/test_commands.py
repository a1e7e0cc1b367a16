"""scratchgrad-sample and scratchgrad-tokenize as programs: what they print, and what they say to a mistake."""

import json
import re
import shutil
import subprocess
import sysconfig
import warnings
from pathlib import Path

import numpy as np
import pytest

from scratchgrad import manual_seed, models
from scratchgrad.files import write_manifest
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.tokenizer import train_bpe
from tests.tools.tokenizer_texts import TEXT


def make_run(root: Path, name: str, model_folder: Path, steps=(1,)) -> Path:
    run = root / "runs" / name
    for step in steps:
        target = run / "checkpoints" / f"step-{step}"
        shutil.copytree(model_folder, target)
        write_manifest(target, step=step)
    (run / "recipe.yaml").write_text("")
    return run


def mistake(done) -> str:
    """What is said to a user's mistake: exit code 2, nothing on stdout, no traceback."""
    assert done.returncode == 2, done
    assert done.stdout == b""
    assert b"Traceback" not in done.stderr
    return done.stderr.decode()


def test_sampling_takes_the_newest_checkpoint_of_the_newest_run(tmp_path, command, model_folder):
    make_run(tmp_path, "toy-001", model_folder)
    make_run(tmp_path, "toy-002", model_folder, steps=(2, 10))
    done = command("scratchgrad-sample", "--temperature", 1.2, "--max-tokens", 5)
    assert done.returncode == 0
    assert done.stderr.decode().strip() == "sampling from runs/toy-002/checkpoints/step-10"
    assert done.stdout.endswith(b"\n")


def test_the_same_seed_writes_the_same_text_and_a_sample_does_not_depend_on_how_many_there_are(call, model_folder):
    def text(*arguments):
        return call("scratchgrad-sample", "--model", model_folder, "--max-tokens", 20, *arguments).stdout.decode()

    line = "-" * 20 + "\n"
    assert text("--num-samples", 3).startswith(text("--num-samples", 2))
    assert text("--num-samples", 2).count(line) == 1
    assert text() == text("--num-samples", 3)
    assert line not in text("--temperature", 0) + text("--prompt", "the")
    assert text("--seed", 1) == text("--seed", 1) != text("--seed", 2)


def test_the_prompt_begins_the_text_and_may_come_from_standard_input(command, call, model_folder):
    arguments = ("--model", model_folder, "--temperature", 0, "--max-tokens", 8, "--prompt")
    given = call("scratchgrad-sample", *arguments, "the cat 🙂")
    piped = command("scratchgrad-sample", *arguments, "-", input="the cat 🙂".encode())
    assert given.stdout == piped.stdout
    assert given.stdout.decode(errors="replace").startswith("the cat 🙂")
    stopped = call("scratchgrad-sample", *arguments, "the cat", "--stop", given.stdout.decode(errors="replace")[11:13])
    assert stopped.returncode == 0


def test_a_reader_that_goes_away_ends_it_quietly(model_folder):
    program = Path(sysconfig.get_path("scripts"), "scratchgrad-sample")
    process = subprocess.Popen(
        [program, "--model", model_folder, "--num-samples", "200"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.read(10)
    process.stdout.close()
    said = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(60) == 0
    assert said.strip() == f"sampling from {model_folder}"


@pytest.mark.parametrize(("arguments", "words"), [
    (["--temperature", 2.5], "temperature 2.5 is outside 0 (greedy) to 2"),
    (["--top-p", 0], "top-p 0 is outside"),
    (["--top-k", 0], "top-k 0"),
    (["--prompt", "a " * 400], "tokens, and the model's context holds 64"),
    (["--stop", ""], "--stop needs a text"),
    (["--min-p", 2], "min-p 2 is outside"),
    (["--repetition-penalty", 0], "repetition-penalty 0 is not"),
    (["--beams", 0], "--beams"),
    (["--beams", 2, "--length-penalty", "nan"], "length-penalty nan is outside"),
    (["--beams", 2, "--temperature", 0.5], "leave --temperature out"),
    (["--beams", 2, "--num-samples", 3], "--beams 2 finds at most 2 texts"),
    (["--prompt", "-", "--prompt", "-"], "give it once"),
    (["--prompt-file", "nowhere.txt"], "'nowhere.txt' cannot be read"),
    (["--prompt", "a", "--prompt", "b " * 400], "tokens, and the model's context holds 64"),
    (["--run", "x"], "--run and --model both"),
    (["--device", "tpu"], "device 'tpu' is not known"),
    (["--max-tokens", 0], "--max-tokens"),
])  # fmt: skip
def test_mistakes_in_what_is_asked_of_sampling(call, model_folder, arguments, words):
    assert words in mistake(call("scratchgrad-sample", "--model", model_folder, *arguments))


def sampled(call, folder, *arguments, **options):
    done = call("scratchgrad-sample", "--model", folder, "--max-tokens", 12, *arguments, **options)
    assert done.returncode == 0, done.stderr
    return done


def test_several_prompts_are_a_batch_and_each_text_is_as_alone(tmp_path, call, model_folder):
    (tmp_path / "prompts.txt").write_text("the dog\n\n")
    (tmp_path / "prompts.jsonl").write_text(json.dumps({"prompt": "on"}) + "\n")
    line = b"-" * 20 + b"\n"
    together = sampled(
        call, model_folder, "--prompt", "the cat sat", "--prompt-file", "prompts.txt", "--num-samples", 2,
        "--batch-size", 3,
    ).stdout  # fmt: skip
    alone = [sampled(call, model_folder, "--prompt", p, "--num-samples", 2).stdout for p in ("the cat sat", "the dog")]
    assert together == line.join(alone)
    from_records = sampled(call, model_folder, "--prompt-file", "prompts.jsonl").stdout
    assert from_records == sampled(call, model_folder, "--prompt", "on").stdout
    (tmp_path / "blank.txt").write_text("\n \n")
    assert "holds no prompt" in mistake(call("scratchgrad-sample", "--prompt-file", "blank.txt"))
    (tmp_path / "bad.jsonl").write_text("{}\n")
    assert 'needs a field "prompt"' in mistake(call("scratchgrad-sample", "--prompt-file", "bad.jsonl"))


def test_log_probabilities_go_to_standard_error_or_into_json(call, model_folder):
    arguments = ("--prompt", "the cat", "--temperature", 0)
    plain = sampled(call, model_folder, *arguments)
    told = sampled(call, model_folder, *arguments, "--log-probs")
    assert told.stdout == plain.stdout
    record = json.loads(sampled(call, model_folder, *arguments, "--json").stdout)
    assert (record["prompt"], record["sample"]) == ("the cat", 0)
    assert len(record["ids"]) == len(record["log_probs"]) > 0
    assert ("the cat" + record["text"] + "\n").encode() == plain.stdout
    lines = told.stderr.decode().splitlines()[1:]
    assert [float(text.split()[0]) for text in lines] == [round(number, 4) for number in record["log_probs"]]


def test_beams_find_the_likeliest_texts(call, model_folder):
    arguments = ("--prompt", "the cat", "--prompt", "on", "--beams", 3, "--num-samples", 2, "--json")
    records = [json.loads(line) for line in sampled(call, model_folder, *arguments).stdout.splitlines()]
    assert [(r["prompt"], r["sample"]) for r in records] == [("the cat", 0), ("the cat", 1), ("on", 0), ("on", 1)]
    assert records[0]["score"] >= records[1]["score"]
    flat = [json.loads(x) for x in sampled(call, model_folder, *arguments, "--length-penalty", 0).stdout.splitlines()]
    assert abs(flat[0]["score"] - sum(flat[0]["log_probs"])) < 1e-6 or len(flat[0]["ids"]) < 12
    stopped = sampled(call, model_folder, *arguments, "--stop", records[0]["text"][2:4])
    assert json.loads(stopped.stdout.splitlines()[0])["text"] == records[0]["text"][: records[0]["text"].find(
        records[0]["text"][2:4])]  # fmt: skip


def saved(folder, config, special_tokens):
    """A fresh model of this config, with a tokenizer that has these special tokens."""
    texts = ["the cat sat on the mat, and the dog sat on the log.\n"] * 9
    tokenizer = train_bpe(texts, 300, special_tokens=("<|endoftext|>", *special_tokens))
    manual_seed(0)
    architectures = config.get("architectures")
    config = models.config_from_dict({"vocab_size": tokenizer.vocab_size, "max_position_embeddings": 32, **config})
    end = tokenizer.end_of_text
    models.save(models.build(config, architectures=architectures), folder, {"bos_token_id": end, "eos_token_id": end})
    tokenizers.save(tokenizer, folder)


def test_an_encoder_decoder_answers_its_prompt(tmp_path, call):
    config = {
        "model_type": "t5", "d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 1, "num_heads": 4,
        "tie_word_embeddings": False,
    }  # fmt: skip
    saved(tmp_path / "t5", config, ("<pad>", "<extra_id_0>"))
    prompts = ("the <extra_id_0> sat", "on")
    together = sampled(call, "t5", *(word for prompt in prompts for word in ("--prompt", prompt)), "--temperature", 0)
    alone = [sampled(call, "t5", "--prompt", prompt, "--temperature", 0).stdout for prompt in prompts]
    assert together.stdout == (b"-" * 20 + b"\n").join(alone)
    assert not together.stdout.startswith(b"the"), "the source is no part of the answer"
    assert len(alone[0]) > 1
    assert sampled(call, "t5", "--prompt", "on", "--beams", 2).stdout.endswith(b"\n")


def test_bert_fills_masks_and_its_other_heads_do_not_write(tmp_path, call):
    config = {
        "model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 4,
        "intermediate_size": 32,
    }  # fmt: skip
    special = ("[PAD]", "[CLS]", "[SEP]", "[MASK]")
    saved(tmp_path / "bert", {**config, "architectures": ["BertForMaskedLM"]}, special)
    filled = sampled(call, "bert", "--prompt", "the[MASK] sat on[MASK]").stdout.decode(errors="replace")
    assert filled.startswith("the")
    assert "MASK" not in filled
    lines = sampled(call, "bert", "--prompt", "the[MASK]", "--num-samples", 3).stdout.splitlines()
    assert [line.split()[:2] for line in lines[-3:]] == [[b"mask", b"1"]] * 3
    record = json.loads(sampled(call, "bert", "--prompt", "the[MASK]", "--num-samples", 3, "--json").stdout)
    assert len(record["masks"][0]) == 3
    assert "there is nothing to fill in" in mistake(call("scratchgrad-sample", "--model", "bert"))
    saved(tmp_path / "classes", {**config, "architectures": ["BertForTokenClassification"]}, special)
    said = mistake(call("scratchgrad-sample", "--model", "classes"))
    assert "holds a BertForTokenClassification, which neither writes text nor fills masks" in said


def test_a_prompt_that_is_no_text(call, model_folder):
    done = call("scratchgrad-sample", "--model", model_folder, "--prompt", "-", input=b"a\xffb")
    assert "standard input is not UTF-8: byte 1 is 0xff" in mistake(done)


def test_places_where_no_model_is(tmp_path, call, model_folder):
    assert "no run in 'runs'" in mistake(call("scratchgrad-sample"))
    assert "'nowhere' does not exist" in mistake(call("scratchgrad-sample", "--run", "nowhere"))
    empty = make_run(tmp_path, "toy-001", model_folder)
    shutil.rmtree(empty / "checkpoints")
    assert "has no checkpoint yet" in mistake(call("scratchgrad-sample"))


def test_tokenizer_and_model_of_different_vocabularies(tmp_path, call, model_folder):
    folder = tmp_path / "mixed"
    shutil.copytree(model_folder, folder)
    tokenizers.save(train_bpe([TEXT] * 3, 290), folder)
    said = mistake(call("scratchgrad-sample", "--model", folder))
    assert "the tokenizer has 290 tokens, and the model was made for 282" in said
    tokenizers.save(train_bpe([TEXT] * 3, 262), folder)  # rows of the model beyond its tokenizer stand for no text
    done = call("scratchgrad-sample", "--model", folder, "--max-tokens", 5)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("options", [
    ("--beams", 3), ("--temperature", 0), ("--temperature", 1.2), ("--top-k", 5, "--num-samples", 2), ("--log-probs",),
])  # fmt: skip
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_said_however_text_is_chosen(tmp_path, call, model_folder, options, value):
    model = models.load(model_folder)
    for _, parameter in model.named_parameters():
        parameter.data[...] = value
    shutil.copytree(model_folder, tmp_path / "bad")
    models.save(model, tmp_path / "bad")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = call("scratchgrad-sample", "--model", "bad", "--prompt", "the cat", *options)
    assert done.returncode == 2
    assert set(done.stdout.split(b"\n")) <= {b"the cat", b"-" * 20, b""}  # nothing but prompts
    assert done.stderr.decode().splitlines()[1:] == [done.stderr.decode().splitlines()[-1]]
    assert b"are not finite: its weights are damaged" in done.stderr


def test_a_damaged_checkpoint_is_not_sampled_and_the_one_before_it_is_named(tmp_path, call, model_folder):
    run = make_run(tmp_path, "toy-001", model_folder, steps=(5, 9))
    weights = run / "checkpoints" / "step-9" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(content)
    said = mistake(call("scratchgrad-sample"))
    assert "'model.safetensors' was altered; the one before it: --model runs/toy-001/checkpoints/step-5" in said


def test_a_tokenizer_is_trained_and_used(tmp_path, command, call):
    (tmp_path / "a.txt").write_text("the cat sat on the mat " * 20)
    (tmp_path / "b.jsonl").write_text(json.dumps({"text": "the dog sat on the log"}) + "\n")
    done = command("scratchgrad-tokenize", "train", "--vocab-size", 270, "--output", "t.json", "*.txt", "b.jsonl")
    assert done.stdout == b"t.json\n"
    assert b"270 tokens from 2 file(s)" in done.stderr
    text = "the cat <|endoftext|> Größe 🙂\n\n"
    ids = command("scratchgrad-tokenize", "encode", "--tokenizer", "t.json", input=text.encode()).stdout
    assert b"0" not in ids.split()
    assert call("scratchgrad-tokenize", "decode", "--tokenizer", "t.json", input=ids).stdout == text.encode()
    special = call("scratchgrad-tokenize", "encode", "--allow-special", "--tokenizer", "t.json", "<|endoftext|>")
    assert special.stdout == b"0\n"
    assert call("scratchgrad-tokenize", "decode", "--tokenizer", "t.json", 0).stdout == b"<|endoftext|>"


@pytest.mark.parametrize(("arguments", "words"), [
    (["decode", "12", "x3"], "'x3' is not an id"),
    (["decode", "99999"], "ids go from 0 to 281"),
    (["decode", "9" * 5000], "is not an id"),
    (["encode", "--tokenizer", "nowhere"], "does not exist"),
    (["train", "nothing*.txt"], "no file matches 'nothing*.txt'"),
    (["train", "empty.txt"], "'empty.txt' is empty"),
    (["train", "binary.txt"], "'binary.txt' is binary: it has a zero byte at 1"),
    (["train", "latin.txt"], "'latin.txt' is not UTF-8: byte 3 is 0xe9"),
    (["train", "image.png"], "only .txt, .md, .py, .arrow, .csv, .html, .jsonl, .parquet, .tsv, .warc or one of"),
    (["train", "bad.jsonl"], "'bad.jsonl', line 2: not JSON"),
    (["train", "other.jsonl"], "'other.jsonl:1': an example needs a field \"text\""),
    (["train", "cut.jsonl.gz"], "'cut.jsonl.gz' is not a whole gzip file"),
    (["train", "good.txt", "--vocab-size", "100"], "a vocabulary of 100 is too small"),
    (["train", "good.txt", "--output", "no/such/folder/t.json"], "cannot be written"),
])  # fmt: skip
def test_mistakes_with_tokenizers_and_files(tmp_path, call, model_folder, arguments, words):
    import gzip

    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "binary.txt").write_bytes(b"a\0b")
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    (tmp_path / "image.png").write_bytes(b"x")
    (tmp_path / "good.txt").write_bytes(b"good")
    (tmp_path / "bad.jsonl").write_bytes(b'{"text": "a"}\n{"text"\n')
    (tmp_path / "other.jsonl").write_bytes(b'{"body": "a"}\n')
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"text": "a"}\n' * 50)[:-12])
    if arguments[0] != "train" and "--tokenizer" not in arguments:
        arguments = [*arguments, "--tokenizer", str(model_folder)]
    assert words in mistake(call("scratchgrad-tokenize", *arguments))


@pytest.mark.parametrize(
    "name",
    ["scratchgrad-sample", "scratchgrad-tokenize", "scratchgrad-train", "scratchgrad-bench", "scratchgrad-convert"],
)
def test_every_command_tells_what_it_does_and_its_version(command, call, name):
    done = command(name, "--help")
    assert done.returncode == 0
    assert f"{name} " in done.stdout.decode(), "the help shows an example"
    assert call(name, "--version").stdout.startswith(b"scratchgrad, version ")


def test_training_tells_what_the_vocabulary_is_worth(tmp_path, call):
    lines = [json.dumps({"text": f"the cat number {i} sat on the mat and said {i * i}"}) for i in range(60)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    done = call("scratchgrad-tokenize", "train", "--vocab-size", 300, "--output", "t.tiktoken", "a.jsonl")
    said = done.stderr.decode()
    assert done.stdout == b"t.tiktoken\n"
    assert re.search(r"trained on: \d\.\d{3} bytes a token over 0\.0 MB; \d+ of 299 tokens used", said)
    assert re.search(r"held out: \d\.\d{3} bytes a token", said)
    assert re.search(r"longest: ·number +", said)
    assert re.search(r"rarest: .* \(\d+\)", said)
    none = call("scratchgrad-tokenize", "train", "--held-out", 0, "--output", "u.json", "a.jsonl").stderr.decode()
    assert "held out" not in none
    assert "the text holds no more pairs" in none
    options = ("--tokenizer", "t.tiktoken", "--pattern", "gpt4")
    said = mistake(call("scratchgrad-tokenize", "encode", *options, "the cat"))
    assert "the rank 0 is missing, and no special token has it" in said
    said = mistake(call("scratchgrad-tokenize", "encode", *options, "--special", "<|endoftext|>", "the cat"))
    assert "--special '<|endoftext|>' is not a text, '=' and an id" in said
    options = (*options, "--special", "<|endoftext|>=0")
    ids = call("scratchgrad-tokenize", "encode", *options, "--allow-special", "the cat<|endoftext|>").stdout.split()
    assert ids[-1] == b"0"
    assert call("scratchgrad-tokenize", "decode", *options, *map(int, ids)).stdout == b"the cat<|endoftext|>"


def test_inspect_shows_tokens_ids_and_how_pieces_were_merged(tmp_path, call):
    (tmp_path / "a.txt").write_text("the cat sat on the mat " * 20)
    call("scratchgrad-tokenize", "train", "--vocab-size", 300, "--output", "t.json", "a.txt")
    done = call("scratchgrad-tokenize", "inspect", "--tokenizer", "t.json", "--merges", "the cat\t🙂")
    lines = done.stdout.decode().splitlines()
    assert lines[0].split() == ["the", "·cat", "\\t", "\\xf0", "\\x9f", "\\x99", "\\x82"]
    ids = call("scratchgrad-tokenize", "encode", "--tokenizer", "t.json", "the cat\t🙂").stdout.split()
    assert lines[1].encode().split() == ids
    assert lines[2] == "7 tokens, 9 characters, 12 bytes"
    assert lines[4:9] == ["t h e", "t he", "the", "", "· c a t"]
    piped = call("scratchgrad-tokenize", "inspect", "--tokenizer", "t.json", input=b"[bold]x[/bold]").stdout
    assert b"[bold]" not in piped, "each byte is a token of its own"
    assert b"[ b o l d ] x [ / b o l d ]" in b" ".join(piped.split())


def test_what_has_no_merges_says_so(tmp_path, call):
    (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\na\n")
    said = call("scratchgrad-tokenize", "inspect", "--tokenizer", "vocab.txt", "--merges", "a").stderr.decode()
    assert "a WordPiece tokenizer has no merges to show" in said
