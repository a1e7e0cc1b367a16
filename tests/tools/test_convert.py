"""scratchgrad-convert as a program: models into other forms and back, what a file holds, and mistakes."""

import json
import resource
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from scratchgrad import manual_seed, models
from scratchgrad.files import map_tensors, write_manifest
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.tokenizer import train_bpe
from tests.jobs import SCRIPTS
from tests.models import checks
from tests.tools.test_commands import make_run, mistake
from tests.tools.test_tokenizer_bad_files import FIRST, bin_file, piece
from tests.tools.test_tokenizer_bad_files import model as sentencepiece


@pytest.fixture(scope="module")
def llama_folder(tmp_path_factory, model_folder):
    """The model of `model_folder` as llama2.c would calculate it."""
    folder = tmp_path_factory.mktemp("llama") / "model"
    shutil.copytree(model_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-5}))
    return folder


@pytest.mark.parametrize("version", [0, 1])
def test_there_and_back_is_the_same_model(call, tmp_path, llama_folder, version):
    done = call("scratchgrad-convert", llama_folder, "there/m.bin", "--to", "llama2c", "--format-version", version)
    assert done.stdout == b"there/m.bin\n"
    assert b"no tokenizer.bin was written: a tokenizer.bin holds scores" in done.stderr
    done = call(
        "scratchgrad-convert", "there/m.bin", "back", "--to", "hf", "--tokenizer", llama_folder / "tokenizer.json"
    )
    assert (done.stdout, done.stderr) == (b"back\n", b"")
    again = models.load(tmp_path / "back")
    assert again.config == models.load(llama_folder).config
    checks.check_equal(again, models.load(llama_folder))
    assert (tmp_path / "back" / "tokenizer.json").read_bytes() == (llama_folder / "tokenizer.json").read_bytes()
    assert models.load_generation_config(tmp_path / "back") == {"bos_token_id": 1, "eos_token_id": [1, 2]}


def test_a_run_becomes_a_folder_of_half_the_size(call, tmp_path, model_folder):
    run = make_run(tmp_path, "toy-001", model_folder, steps=(1, 2))
    done = call("scratchgrad-convert", run, "half", "--to", "hf", "--dtype", "bfloat16")
    assert done.stdout == b"half\n"
    assert sorted(path.name for path in (tmp_path / "half").iterdir()) == [
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    assert {array.dtype.name for array in map_tensors(tmp_path / "half" / "model.safetensors").values()} == {"bfloat16"}
    assert models.load_generation_config(tmp_path / "half") == models.load_generation_config(model_folder)
    sampled = call("scratchgrad-sample", "--model", "half", "--max-tokens", 3)
    assert sampled.returncode == 0, sampled.stderr


def test_a_real_model_of_llama2c_writes_its_text_from_a_folder(command, call, data_folder, tmp_path):
    data = data_folder / "02_models" / "stories260K"
    arguments = (data / "stories260K.bin", "stories", "--to", "hf", "--tokenizer", data / "tok512.bin")
    done = command("scratchgrad-convert", *arguments)
    assert done.returncode == 0, done.stderr
    checks.check_equal(models.load(tmp_path / "stories"), models.load(data_folder / "02_models" / "stories260K_hf"))
    text = call("scratchgrad-sample", "--model", "stories", "--temperature", 0, "--max-tokens", 200).stdout.decode()
    expected = (data / "stories260K.md").read_text().split("-t 0.0\n")[1].split("\n```")[0]
    assert len(text) > 450
    assert expected.startswith(text.strip())
    back = call("scratchgrad-convert", "stories", "back/stories.bin", "--to", "llama2c")
    assert (back.stdout, back.stderr) == (b"back/stories.bin\n", b"")
    assert (tmp_path / "back" / "tokenizer.bin").read_bytes() == (data / "tok512.bin").read_bytes()


def test_what_a_file_or_a_folder_holds(call, tmp_path, llama_folder):
    table = call("scratchgrad-convert", "--inspect", llama_folder).stdout.decode().splitlines()
    assert table[0].split() == ["tensor", "shape", "dtype", "parameters", "bytes"]
    assert table[1].split() == ["lm_head.weight", "282", "x", "32", "float32", "9,024", "36,096"]
    count = sum(p.size for p in models.load(llama_folder).parameters())
    assert table[-1].split() == [str(len(table) - 2), "tensors", f"{count:,}", f"{4 * count:,}"]
    assert (
        call("scratchgrad-convert", "--inspect", llama_folder / "model.safetensors").stdout.decode().splitlines()
        == table
    )
    models.save(models.load(llama_folder), tmp_path / "cut", dtype="float16", max_shard_size=9000)
    cut = call("scratchgrad-convert", "--inspect", "cut").stdout.decode().splitlines()
    assert cut[-1].split() == [str(len(table) - 2), "tensors", f"{count:,}", f"{2 * count:,}"]
    models.write_llama2c(models.load(llama_folder), tmp_path / "m.bin")
    named = call("scratchgrad-convert", "--inspect", "m.bin").stdout.decode().splitlines()
    assert sorted(line.split() for line in named[1:]) == sorted(line.split() for line in table[1:])
    run = make_run(tmp_path, "toy-001", llama_folder)
    assert call("scratchgrad-convert", "--inspect", run).stdout.decode().splitlines() == table


def test_integers_and_their_scales_are_counted(call, tmp_path):
    sizes = (16, 16, 1, 2, 2, 4, 8)
    header = struct.pack("<Ii7iBi", 0x616B3432, 2, *sizes, 1, 8).ljust(256, b"\0")
    quantized = 4 * 16 + 4 * 16 * 16 + 3 * 16 * 16
    (tmp_path / "m.bin").write_bytes(header + bytes(4 * 3 * 16 + quantized + quantized // 2))
    last = call("scratchgrad-convert", "--inspect", "m.bin").stdout.decode().splitlines()[-1]
    assert last.split() == ["11", "tensors", f"{quantized + 48:,}", f"{quantized * 3 // 2 + 192:,}"]


def gpt2(folder, **changes):
    manual_seed(0)
    config = {"model_type": "gpt2", "vocab_size": 300, "n_positions": 8, "n_embd": 8, "n_layer": 1, "n_head": 2}
    models.save(models.build(models.config_from_dict({**config, **changes})), folder)


@pytest.mark.parametrize(("arguments", "words"), [
    (["llama", "x"], "a conversion needs SRC, DST, and --to hf or --to llama2c"),
    (["llama", "--to", "hf"], "a conversion needs SRC, DST, and --to hf or --to llama2c"),
    (["--inspect", "llama", "llama"], "--inspect looks, and converts nothing"),
    (["--inspect", "nowhere"], "'nowhere' cannot be read: No such file or directory"),
    (["--inspect", "empty"], "'empty/model.safetensors' does not exist"),
    (["--inspect", "torch.pt"], "'torch.pt' is pickled"),
    (["llama", "x", "--to", "gguf"], "'gguf' is not one of 'hf', 'llama2c'"),
    (["llama", "x.bin", "--to", "llama2c", "--dtype", "float16"], "--dtype belongs to --to hf"),
    (["llama", "x", "--to", "hf", "--format-version", "1"], "--format-version belongs to --to llama2c"),
    (["nowhere", "x", "--to", "hf"], "'nowhere' does not exist"),
    (["empty", "x", "--to", "hf"], "'empty' is neither a run nor a model directory"),
    (["llama", "torch.pt", "--to", "hf"], "'torch.pt' is a file: name a folder"),
    (["llama", "bins", "--to", "llama2c"], "'bins' is a folder: name a file, as in bins/model.bin"),
    (["llama", "bins", "--to", "hf", "--overwrite"], "'bins' holds something else than a model, which --overwrite leaves alone"),
    (["llama", "damaged", "--to", "hf", "--overwrite"], "'damaged' is a run or a checkpoint, which --overwrite would damage"),
    (["llama", "x", "--to", "hf", "--tokenizer", "empty"], "there is no tokenizer in 'empty'"),
    (["llama", "llama", "--to", "hf"], "'llama' is there already: name a folder that is new or empty, or give --overwrite"),
    (["llama", "torch.pt", "--to", "llama2c"], "'torch.pt' is there already"),
    (["llama", "bins/x.bin", "--to", "llama2c"], "'bins/tokenizer.bin' is there already"),
    (["gpt2", "x.bin", "--to", "llama2c"], "llama2.c calculates Llamas, and this is a model of type gpt2"),
    (["toy", "x.bin", "--to", "llama2c"], "llama2.c calculates with rms_norm_eps = 1e-05, and this model has 1e-06"),
    (["experts", "x", "--to", "hf"], "Hugging Face has no class for a gpt2 with experts: the model can be used here"),
    (["torch.pt", "x", "--to", "hf"], "'torch.pt' is pickled, and opening such a file runs"),
    (["gpt2", "x", "--to", "hf", "--tokenizer", "large.json"], "'large.json': the tokenizer has 282 tokens, and the model was made for 200"),
    (["damaged", "x", "--to", "hf"], "'model.safetensors' has"),
])  # fmt: skip
def test_mistakes(call, tmp_path, llama_folder, model_folder, arguments, words):
    shutil.copytree(llama_folder, tmp_path / "llama")
    shutil.copytree(model_folder, tmp_path / "toy")
    shutil.copytree(llama_folder, tmp_path / "damaged")
    write_manifest(tmp_path / "damaged", step=1)
    (tmp_path / "damaged" / "model.safetensors").write_bytes(b"")
    gpt2(tmp_path / "gpt2", vocab_size=200)
    gpt2(tmp_path / "experts", num_local_experts=2)
    shutil.copyfile(llama_folder / "tokenizer.json", tmp_path / "large.json")
    (tmp_path / "torch.pt").write_bytes(b"PK\x03\x04" + bytes(60))
    (tmp_path / "empty").mkdir()
    (tmp_path / "bins").mkdir()
    (tmp_path / "bins" / "tokenizer.bin").write_bytes(b"another")
    before = sorted(tmp_path.rglob("*"))
    assert words in mistake(call("scratchgrad-convert", *arguments))
    assert sorted(tmp_path.rglob("*")) == before, "nothing is written"


def test_a_model_is_written_over_when_asked_for(call, tmp_path, llama_folder, model_folder):
    def convert(*arguments):
        done = call("scratchgrad-convert", *arguments)
        assert done.returncode == 0, done.stderr

    convert(model_folder, "x", "--to", "hf")
    (tmp_path / "x" / "notes.txt").write_text("mine")
    (tmp_path / "x" / "tokenizer.model").write_text("of another model")
    models.save(models.load(llama_folder), tmp_path / "bare")
    convert("bare", "x", "--to", "hf", "--overwrite", "--dtype", "bfloat16")
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == ["config.json", "model.safetensors", "notes.txt"]
    convert(model_folder, "x", "--to", "hf", "--overwrite")
    convert("x", "x", "--to", "hf", "--overwrite")  # in its place
    checks.check_equal(models.load(tmp_path / "x"), models.load(model_folder))
    assert (tmp_path / "x" / "tokenizer.json").read_bytes() == (model_folder / "tokenizer.json").read_bytes()
    convert("bare", "m.bin", "--to", "llama2c")
    convert("bare", "m.bin", "--to", "llama2c", "--overwrite", "--format-version", "1")
    convert("m.bin", "m.bin", "--to", "llama2c", "--overwrite")
    checks.check_equal(models.read_llama2c(tmp_path / "m.bin"), models.load(llama_folder))


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer.bin", "tokenizer.model", "tok300.bin"])
def test_a_tokenizer_beside_a_file_of_llama2c_is_found(call, tmp_path, name):
    pieces = [*FIRST, *(bytes([65 + i]) for i in range(20))]
    files = {".bin": bin_file(pieces), ".model": sentencepiece(
        piece("<unk>", 0.0, 2), piece("<s>", 0.0, 3), piece("</s>", 0.0, 3),
        *(piece(letter, -1.0 - i) for i, letter in enumerate("▁abcdefgh")), piece("▁a", -20.0), kind=2,
    )}  # fmt: skip
    config = {
        "model_type": "llama", "vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 24, "max_position_embeddings": 32, "rms_norm_eps": 1e-5,
    }  # fmt: skip
    manual_seed(0)
    models.write_llama2c(models.build(models.config_from_dict(config)), tmp_path / "m.bin")
    if name.endswith(".json"):
        tokenizers.save(train_bpe(["the cat sat"] * 3, 270), tmp_path / name)
    else:
        (tmp_path / name).write_bytes(files[Path(name).suffix])
    done = call("scratchgrad-convert", "m.bin", "x", "--to", "hf")
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "x" / "tokenizer.json").exists()
    arguments = ("--temperature", 0, "--max-tokens", 5, "--prompt", "a")
    told = [call("scratchgrad-sample", "--model", model, *arguments) for model in ("m.bin", "x")]
    assert [done.returncode for done in told] == [0, 0], told
    assert told[0].stdout == told[1].stdout
    (tmp_path / name).rename(tmp_path / f"other{Path(name).suffix}")
    said = mistake(call("scratchgrad-sample", "--model", "m.bin"))
    assert "there is no tokenizer beside 'm.bin': name its file, --tokenizer PATH" in said
    named = call("scratchgrad-sample", "--model", "m.bin", "--tokenizer", f"other{Path(name).suffix}", *arguments)
    assert named.stdout == told[0].stdout
    done = call("scratchgrad-convert", "m.bin", "y", "--to", "hf", "--tokenizer", "x")  # a folder that holds one
    assert (done.returncode, done.stderr) == (0, b"")


def test_half_of_a_tokenizer_is_not_taken_for_whole(call, tmp_path):
    gpt2(tmp_path / "gpt2", vocab_size=300)
    tokenizers.save(train_bpe(["the cat sat"] * 3, 270), tmp_path / "vocab.json")
    done = call("scratchgrad-convert", "gpt2", "x", "--to", "hf", "--tokenizer", "vocab.json")
    assert (done.returncode, done.stderr) == (0, b"")
    assert tokenizers.load(tmp_path / "x").encode("the cat") == tokenizers.load(tmp_path / "vocab.json").encode(
        "the cat"
    )


def test_an_imported_model_without_a_tokenizer_is_told_to_name_one(call, tmp_path, model_folder):
    models.save(models.load(model_folder), tmp_path / "bare")
    said = mistake(call("scratchgrad-sample", "--model", "bare"))
    assert "there is no tokenizer beside 'bare': name its file, --tokenizer PATH (tokenizer.json, " in said
    assert "train" not in said
    arguments = ("--temperature", 0, "--max-tokens", 5)
    done = call("scratchgrad-sample", "--model", "bare", "--tokenizer", model_folder, *arguments)
    assert done.stdout == call("scratchgrad-sample", "--model", model_folder, *arguments).stdout


def test_a_number_that_float16_cannot_hold(call, tmp_path, model_folder):
    model = models.load(model_folder)
    next(model.parameters()).data[3, 4] = np.float32(1e6)
    models.save(model, tmp_path / "large")
    said = mistake(call("scratchgrad-convert", "large", "x", "--to", "hf", "--dtype", "float16"))
    assert "'model.embed_tokens.weight' holds 1e+06, and the largest float16 is" in said


def limited(kind, limit):
    return {"preexec_fn": lambda: resource.setrlimit(kind, (limit, limit))}


@pytest.mark.parametrize("arguments", [
    ("new/x", "--to", "hf"), ("empty", "--to", "hf"), ("new/m.bin", "--to", "llama2c"), ("there/m.bin", "--to", "llama2c"),
])  # fmt: skip
@pytest.mark.parametrize("limit", [100, 20_000])
def test_a_disk_that_is_full_is_told_and_nothing_half_written_is_left(
    command, tmp_path, llama_folder, arguments, limit
):
    """Files can grow to `limit` bytes: too few for the tokenizer, or for the weights."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine").write_text("x")
    before = sorted(tmp_path.rglob("*"))
    done = command("scratchgrad-convert", llama_folder, *arguments, **limited(resource.RLIMIT_FSIZE, limit))
    assert f"'{arguments[0]}' could not be written: File too large; nothing of it is left" in mistake(done)
    assert sorted(tmp_path.rglob("*")) == before
    again = command("scratchgrad-convert", llama_folder, *arguments)
    assert again.returncode == 0, again.stderr


def test_other_faults_of_the_machine_are_sentences_too(command, tmp_path, llama_folder):
    (tmp_path / "file").write_text("")
    for target, words in (("file/x", "Not a directory"), ("x" * 300, "File name too long")):
        assert words in mistake(command("scratchgrad-convert", llama_folder, target, "--to", "hf"))
    with open("/dev/full", "wb") as full:
        words = [str(SCRIPTS / "scratchgrad-convert"), "--inspect", str(llama_folder)]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (
        2, b"Error: 'standard output' cannot be read or written: No space left on device\n"
    )  # fmt: skip
    shutil.copytree(llama_folder, tmp_path / "unreadable")
    (tmp_path / "unreadable" / "tokenizer.json").unlink()
    (tmp_path / "unreadable" / "tokenizer.json").symlink_to("/proc/self/mem")
    said = mistake(command("scratchgrad-convert", "unreadable", "x", "--to", "hf"))
    assert "'unreadable/tokenizer.json' cannot be read: Input/output error" in said
    assert not (tmp_path / "x").exists()


def test_what_a_killed_conversion_left_is_in_nobodys_way(command, tmp_path, llama_folder):
    dead = subprocess.Popen(["true"])
    dead.wait()
    (tmp_path / "x" / f".tmp-files-{dead.pid}").mkdir(parents=True)
    assert command("scratchgrad-convert", llama_folder, "x", "--to", "hf").returncode == 0
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == [
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
