"""llama2.c's files: read, written, turned from one rotary order into the other, and refused if they are not whole."""

import struct

import numpy as np
import pytest

from scratchgrad import Tensor, UserError, manual_seed, models, no_grad
from scratchgrad.models.llama2c import HEADER, MAGIC
from tests.models import checks

SMALL = {
    "model_type": "llama", "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 24, "max_position_embeddings": 8, "tie_word_embeddings": True,
    "rms_norm_eps": 1e-5,
}  # fmt: skip
TYING = pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
SIZES = (16, 24, 3, 4, 2, 50, 8)


def built(**changes):
    manual_seed(0)
    model = models.build(models.config_from_dict({**SMALL, **changes}))
    for parameter in model.parameters():
        parameter.data = np.random.default_rng(parameter.size).standard_normal(parameter.shape, np.float32)
    return model


@TYING
@pytest.mark.parametrize("version", [0, 1])
def test_a_model_comes_back_bit_for_bit(tmp_path, version, tied):
    model = built(tie_word_embeddings=tied)
    models.write_llama2c(model, tmp_path / "a.bin", version=version)
    again = models.read_llama2c(tmp_path / "a.bin")
    assert again.config == model.config
    checks.check_equal(again, model)
    models.write_llama2c(again, tmp_path / "b.bin", version=version)
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()


def test_pairs_are_neighbours_there_and_half_a_head_apart_here(tmp_path):
    """By definition: row by row, in a file that is taken apart by hand."""
    model = built()
    models.write_llama2c(model, tmp_path / "a.bin")
    numbers = np.frombuffer((tmp_path / "a.bin").read_bytes(), "<f4", offset=28)
    first_query = 50 * 16 + 3 * 16
    queries = numbers[first_query : first_query + 3 * 16 * 16].reshape(3, 16, 16)
    first_key = first_query + 3 * 16 * 16
    keys = numbers[first_key : first_key + 3 * 8 * 16].reshape(3, 8, 16)
    for layer in range(3):
        ours = model.state_dict()[f"decoder.layers.{layer}.attention.qkv.weight"]
        for theirs, heads, start in ((queries[layer], 4, 0), (keys[layer], 2, 16)):
            for head in range(heads):
                for pair in range(2):
                    for end in range(2):
                        there, here = head * 4 + 2 * pair + end, start + head * 4 + pair + 2 * end
                        assert np.array_equal(theirs[there], ours[here])


def quantized(model, group):
    """Version 2 by the words of export.py, and the numbers that it stands for."""
    meant = models.build(model.config)
    meant.load_state_dict(model.state_dict())
    parts = {name: [] for name in ("first", "second", "q", "k", "v", "o", "gate", "down", "up")}

    def neighbours(rows):
        return rows.reshape(-1, 2, 2, 16).swapaxes(1, 2).reshape(-1, 16)

    def at_half(rows):
        return rows.reshape(-1, 2, 2, 16).swapaxes(1, 2).reshape(-1, 16)

    def in_int8(rows):
        groups = rows.reshape(-1, group)
        scales = np.abs(groups).max(1) / np.float32(127)
        numbers = np.round(groups / scales[:, None]).astype(np.int8)
        return numbers.tobytes() + scales.tobytes(), (numbers * scales[:, None]).reshape(rows.shape)

    state, kept = model.state_dict(), meant.state_dict()
    for i in range(3):
        layer = f"decoder.layers.{i}"
        parts["first"].append(state[f"{layer}.attention_norm.weight"].tobytes())
        parts["second"].append(state[f"{layer}.feed_forward_norm.weight"].tobytes())
        for name, whole, rows in (
            ("q", "attention.qkv", np.s_[:16]), ("k", "attention.qkv", np.s_[16:24]), ("v", "attention.qkv", np.s_[24:]),
            ("o", "attention.o_proj", np.s_[:]), ("gate", "feed_forward.gate_up", np.s_[:24]),
            ("down", "feed_forward.down_proj", np.s_[:]), ("up", "feed_forward.gate_up", np.s_[24:]),
        ):  # fmt: skip
            array = state[f"{layer}.{whole}.weight"][rows]
            written, value = in_int8(neighbours(array) if name in "qk" else array)
            parts[name].append(written)
            kept[f"{layer}.{whole}.weight"][rows] = at_half(value) if name in "qk" else value
    embedding, kept["embed_tokens.weight"][...] = in_int8(state["embed_tokens.weight"])
    head = b""
    if not model.config.tie_word_embeddings:
        head, kept["lm_head.weight"][...] = in_int8(state["lm_head.weight"])
    header = struct.pack("<Ii7iBi", MAGIC, 2, *SIZES, model.config.tie_word_embeddings, group).ljust(HEADER, b"\0")
    norms = [*parts["first"], *parts["second"], state["decoder.norm.weight"].tobytes()]
    layers = [piece for name in ("q", "k", "v", "o", "gate", "down", "up") for piece in parts[name]]
    return b"".join([header, *norms, embedding, *layers, head]), meant


@TYING
@pytest.mark.parametrize("group", [16, 8, 2])
def test_version_2_gives_what_its_integers_and_scales_stand_for(tmp_path, tied, group):
    content, meant = quantized(built(tie_word_embeddings=tied), group)
    (tmp_path / "a.bin").write_bytes(content)
    model = models.read_llama2c(tmp_path / "a.bin")
    assert model.config == meant.config
    checks.check_equal(model, meant)


def test_both_forms_of_a_real_model_are_one_and_give_its_reference_logits(data_folder, tmp_path):
    data = data_folder / "02_models"
    ids, wanted = (np.load(data / "stories260K_hf" / name) for name in ("ref_ids.npy", "ref_logits_f64.npy"))
    model = models.read_llama2c(data / "stories260K" / "stories260K.bin")
    hugging_face = models.load(data / "stories260K_hf")
    assert model.config == hugging_face.config
    checks.check_equal(model, hugging_face)
    with no_grad():
        np.testing.assert_allclose(model(Tensor(ids.reshape(1, -1))).data[0], wanted, rtol=0, atol=1e-4)
    models.write_llama2c(hugging_face, tmp_path / "ours.bin")
    ours, theirs = (tmp_path / "ours.bin").read_bytes(), (data / "stories260K" / "stories260K.bin").read_bytes()
    angles = 2 * 512 * 4 * 4  # at the end of a file whose output layer is tied; they are calculated, not copied
    assert ours[:-angles] == theirs[:-angles]
    np.testing.assert_allclose(*(np.frombuffer(file[-angles:], "<f4") for file in (ours, theirs)), rtol=0, atol=1e-4)


def test_greedy_text_of_a_real_model(data_folder):
    """200 tokens, read by a tokenizer.bin: for each token a score, the length of its bytes, and its bytes."""
    data = data_folder / "02_models" / "stories260K"
    expected = (data / "stories260K.md").read_text().split("-t 0.0\n")[1].split("\n```")[0]
    raw = (data / "tok512.bin").read_bytes()
    at, tokens = 4, []
    while at < len(raw):
        (length,) = struct.unpack_from("<i", raw, at + 4)
        tokens.append(raw[at + 8 : at + 8 + length])
        at += 8 + length
    assert len(tokens) == 512
    model = models.read_llama2c(data / "stories260K.bin")
    ids, cache = [1], model.new_cache()
    with no_grad():
        while len(ids) <= 200:
            ids.append(int(model.decode(Tensor([ids[-1:]]), cache).data.argmax()))
    text = b"".join(tokens[i] for i in ids[1:]).decode().replace("<0x0A>", "\n").removeprefix(" ")
    assert len(text) > 450
    assert expected.startswith(text)


def content(version=0, sizes=SIZES, size=None, extra=b""):
    model = built()
    header = (
        struct.pack("<7i", *sizes)
        if version == 0
        else struct.pack("<Ii7iB", MAGIC, version, *sizes, 1).ljust(HEADER, b"\0")
    )
    arrays = 4 * sum(p.size for p in model.parameters()) + (4 * 2 * 8 * 2 if version == 0 else 0)
    return header + bytes(arrays if size is None else size) + extra


@pytest.mark.parametrize(("file", "words"), [
    (content(), None),
    (content(1), None),
    (b"", "it ends inside its header"),
    (content()[:27], "it ends inside its header"),
    (content(1)[:200], "it ends inside its header"),
    (content()[:-4], "its header describes 26,844 bytes, and the file has 26,840"),
    (content(extra=b"1"), "its header describes 26,844 bytes, and the file has 26,845"),
    (content(1, extra=b"1"), "and the file has"),
    (content(sizes=(2**31 - 1,) * 7), "vocab_size = 2147483647"),
    (content(sizes=(2**24, 2**24, 1024, 2, 2, 2**24, 2**24)), "and the file has 26,844"),
    (content(sizes=(-16, *SIZES[1:])), "hidden_size = -16"),
    (content(sizes=(0,) * 7), "hidden_size = 0"),
    (content(sizes=(16, 24, 3, 4, 2, -(2**31), 8)), "vocab_size = 2147483648"),
    (content(sizes=(16, 24, 10**9, 4, 2, 50, 8)), "num_hidden_layers = 1000000000"),
    (content(sizes=(18, 24, 3, 4, 2, 50, 8)), "not divisible by 4 attention heads"),
    (content(sizes=(16, 24, 3, 4, 2, -50, 8)), "and the file has 26,844"),
    (content(1, sizes=(16, 24, 3, 4, 2, -50, 8)), "vocab_size = -50"),
    (content(3), "is a llama2.c file of version 3; 0, 1 and 2 are read"),
    (content(2), "its groups have 0 numbers"),
    (struct.pack("<Ii7iBi", MAGIC, 2, *SIZES, 1, 7).ljust(HEADER, b"\0"), "groups of 7 do not divide its arrays"),
    (struct.pack("<Ii7iBi", MAGIC, 2, *SIZES, 1, 8).ljust(HEADER, b"\0"), "and the file has 256"),
    (b"PK\x03\x04" + bytes(100), "is pickled, and opening such a file runs"),
    (b"\x80\x02}q\x00" + bytes(100), "is pickled"),
])  # fmt: skip
def test_a_file_that_is_not_whole_is_refused(tmp_path, file, words):
    path = tmp_path / "a.bin"
    path.write_bytes(file)
    if words is None:
        models.read_llama2c(path)
    else:
        with pytest.raises(UserError, match=words):
            models.read_llama2c(path)


def test_models_that_llama2c_would_calculate_otherwise_are_not_written(tmp_path):
    gpt2 = models.config_from_dict(
        {"model_type": "gpt2", "vocab_size": 9, "n_positions": 8, "n_embd": 8, "n_layer": 1, "n_head": 2}
    )
    for model, version, words in (
        (models.build(gpt2), 0, "llama2.c calculates Llamas, and this is a model of type gpt2"),
        (built(rope_theta=500.0), 0, "llama2.c calculates with rope_theta = 10000, and this model has 500"),
        (built(rms_norm_eps=1e-6), 1, "llama2.c calculates with rms_norm_eps = 1e-05, and this model has 1e-06"),
        (built(), 2, "version 2 of llama2.c's files is not written: 0 and 1 are"),
    ):
        with pytest.raises(UserError, match=words):
            models.write_llama2c(model, tmp_path / "a.bin", version=version)
    assert not (tmp_path / "a.bin").exists()
