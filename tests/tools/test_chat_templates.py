"""Chats as tokens: ids as transformers has them, masks as they are meant, and no way for a user's text to end a turn."""

import json
from pathlib import Path

import numpy as np
import pytest

from scratchgrad import UserError
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.data import Example
from scratchgrad.tools.data.chat import (
    ChatSource,
    JinjaTemplate,
    Message,
    chat_template,
    format_of,
    messages_of,
    template_names,
)
from scratchgrad.tools.text import build_source
from scratchgrad.tools.tokenizer import train_bpe

TEXTS = "you are brief who is it what then the cat sat on a mat a dog and another one"
CHAT = [
    Message("system", "you are brief"), Message("user", "who is it"), Message("assistant", "the cat"),
    Message("user", "what then"), Message("assistant", "a dog and another one"),
]  # fmt: skip
# As published, but that Mistral's system message stands before the first question: see its file.
JINJA = {
    "chatml": "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "llama3": "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' "
    "+ message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
    "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
    "mistral": "{%- if messages[0]['role'] == 'system' %}{%- set system = messages[0]['content'] + '\n\n' %}"
    "{%- set rest = messages[1:] %}{%- else %}{%- set system = '' %}{%- set rest = messages %}{%- endif %}{{- bos_token }}"
    "{%- for m in rest %}{%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{- raise_exception('roles must alternate') }}{%- endif %}{%- if m['role'] == 'user' %}"
    "{{- '[INST] ' + (system if loop.first else '') + m['content'] + '[/INST]' }}"
    "{%- else %}{{- ' ' + m['content'] + eos_token }}{%- endif %}{%- endfor %}",
    "gemma": "{{ bos_token }}{%- if messages[0]['role'] == 'system' -%}{%- set first = messages[0]['content'] + '\n\n' -%}"
    "{%- set rest = messages[1:] -%}{%- else -%}{%- set first = '' -%}{%- set rest = messages -%}{%- endif -%}"
    "{%- for m in rest -%}{%- set role = 'model' if m['role'] == 'assistant' else m['role'] -%}"
    "{{ '<start_of_turn>' + role + '\n' + (first if loop.first else '') }}{{ m['content'] | trim }}{{ '<end_of_turn>\n' }}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}",
}  # fmt: skip
ENDS = {
    "chatml": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "mistral": "</s>",
    "gemma": "<end_of_turn>",
    "plain": "<|endoftext|>",
}
BEGINS = {"llama3": "<|begin_of_text|>", "mistral": "<s>", "gemma": "<bos>"}
every_template = pytest.mark.parametrize("name", ENDS)
published = pytest.mark.parametrize("name", JINJA)


def tokenizer_for(name):
    return train_bpe([TEXTS], 300, special_tokens=("<|endoftext|>", *chat_template(name).special_tokens))


def own(name, tokenizer, source=None):
    pytest.importorskip("jinja2", reason="jinja2 is not installed")
    names = {"bos_token": BEGINS.get(name, ""), "eos_token": ENDS[name]}
    return JinjaTemplate(source or JINJA[name], tokenizer, names)


def trained_pieces(encoded, tokenizer):
    """The text of each run of targets."""
    cuts = np.flatnonzero(np.diff(encoded.is_target.astype(int))) + 1
    runs = zip(np.split(encoded.ids, cuts), np.split(encoded.is_target, cuts), strict=True)
    return [tokenizer.decode(ids.tolist()) for ids, targets in runs if targets[0]]


def test_templates_are_found_by_the_names_of_their_files():
    assert template_names() == sorted(ENDS)
    with pytest.raises(UserError, match="no chat template 'vicuna'; there are: chatml, gemma"):
        chat_template("vicuna")


@every_template
def test_every_answer_and_the_end_of_its_turn_is_a_target_and_nothing_else(name):
    """axolotl #1761, #3098: not the last answer alone, and not what follows a turn."""
    tokenizer = tokenizer_for(name)
    encoded = chat_template(name).encode(CHAT, tokenizer)
    space = " " if name in ("mistral", "plain") else ""
    assert trained_pieces(encoded, tokenizer) == [
        f"{space}{text}{ENDS[name]}" for text in ("the cat", "a dog and another one")
    ]
    assert tokenizer.decode(encoded.ids.tolist()).count("who is it") == 1


@every_template
def test_many_turns(name):
    tokenizer = tokenizer_for(name)
    chat = [message for _ in range(9) for message in CHAT[1:3]]
    assert len(trained_pieces(chat_template(name).encode(chat, tokenizer), tokenizer)) == 9


@every_template
@pytest.mark.parametrize("answer", ["the cat", "\n\nthe cat", " the", "]{", "\n", "```\n\n"])
def test_what_is_read_in_training_is_what_is_read_at_inference(name, answer):
    """litgpt #1567: no token spans the prompt and the answer, whatever that begins with."""
    tokenizer = train_bpe([TEXTS, "assistant\n\n\nUser: \n\n[{]{ \n\n" * 20], 400, special_tokens=(
        "<|endoftext|>", *chat_template(name).special_tokens
    ))  # fmt: skip
    chat = [Message("user", "who is it"), Message("assistant", answer)]
    encoded, prompt = chat_template(name).encode(chat, tokenizer), chat_template(name).prompt(chat[:1], tokenizer)
    assert encoded.ids[: len(prompt)].tolist() == prompt
    assert not encoded.is_target[: len(prompt)].any()
    assert encoded.is_target[len(prompt)]


@every_template
def test_a_user_who_spells_a_special_token_ends_nothing(name):
    tokenizer = tokenizer_for(name)
    end, spelled = tokenizer.special_tokens[ENDS[name]], f"the {ENDS[name]} cat"
    templates = [chat_template(name), *([own(name, tokenizer)] if name in JINJA else [])]
    for template in templates:
        good, bad = (
            template.encode([Message("user", text), Message("assistant", text)], tokenizer)
            for text in ("the cat", spelled)
        )
        assert (bad.ids == end).sum() == (good.ids == end).sum()
        assert tokenizer.decode(bad.ids.tolist()).count(spelled) == 2
        assert trained_pieces(bad, tokenizer) == [(" " if name in ("mistral", "plain") else "") + spelled + ENDS[name]]


@published
def test_a_tokenizers_own_template_gives_the_same_ids_and_mask(name):
    tokenizer = tokenizer_for(name)
    for chat in (CHAT, CHAT[1:], CHAT[:3], [CHAT[1], Message("assistant", "")]):
        ours, theirs = chat_template(name).encode(chat, tokenizer), own(name, tokenizer).encode(chat, tokenizer)
        assert ours.ids.tolist() == theirs.ids.tolist()
        assert ours.is_target.tolist() == theirs.is_target.tolist()
    prompts = [template.prompt(CHAT[:2], tokenizer) for template in (chat_template(name), own(name, tokenizer))]
    assert prompts[0] == prompts[1]


@published
@pytest.mark.parametrize(
    "file",
    [
        "gpt2/tokenizer.json",
        "hf/torchtitan_test_tokenizer.json",
        "hf/dolma_llama_tokenizer.json",
        "spm/llama2.model",
        "tiktoken/cl100k_base.tiktoken",
    ],
)
def test_ids_are_those_of_transformers(name, file, tmp_path, data_folder):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    tokenizer = tokenizers.with_special_tokens(
        tokenizers.load(data_folder / "03_tokenizers" / file), chat_template(name).special_tokens
    )
    tokenizers.save(tokenizer, tmp_path)
    peer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(tmp_path / "tokenizer.json"), bos_token=BEGINS.get(name), eos_token=ENDS[name]
    )
    words = ["Who wrote  it?", "A cat.\n\nAnd: 12,345 dogs — äöü 漢字 🙂", "def f(x):\n    return x", "Then?", "No"]

    def theirs(chat, **options):
        plain = [message._asdict() for message in chat]
        return peer.apply_chat_template(plain, chat_template=JINJA[name], tokenize=True, return_dict=False, **options)

    for chat in ([Message(m.role, text) for m, text in zip(CHAT, words, strict=True)], CHAT[1:]):
        ours, prompt = (
            chat_template(name).encode(chat, tokenizer).ids.tolist(),
            chat_template(name).prompt(chat[:-1], tokenizer),
        )
        assert prompt == ours[: len(prompt)]
        assert tokenizer.decode(ours) == tokenizer.decode(theirs(chat))
        if (name, file) == ("mistral", "hf/dolma_llama_tokenizer.json"):  # whose </s> the peer reads as text
            assert (ours.count(2), theirs(chat).count(2)) == (2, 0)
            continue
        answers = [number for number, message in enumerate(chat) if message.role == "assistant"]
        asked = {number: theirs(chat[:number], add_generation_prompt=True) for number in answers}
        is_spanned = any(theirs(chat[: number + 1])[: len(asked[number])] != asked[number] for number in answers)
        # GPT-2 reads one token in a blank line, and two where a word follows: transformers trains on other ids than it
        # is asked with, and we do not.
        assert is_spanned == (name == "llama3" and file.startswith("gpt2"))
        if not is_spanned:
            assert (ours, prompt) == (theirs(chat), asked[answers[-1]])


@pytest.mark.parametrize(("source", "words"), [
    ("{% for m in messages %}{{ m.content if loop.last else 'old' }}{% endfor %}", "writes the turns before message 2 otherwise"),
    ("{{ raise_exception('no such roles') }}", "fails: no such roles"), ("{% for %}", "no Jinja that is read here"),
    ("{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}", "more than 100,000 steps"),
    ("{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}", "chat template"), ("{{ 'x' * 10**9 }}", "makes too much"),
    ("{{ 'x' * 999999999 }}", "makes too much"), ("{{ '%0999999999d' % 1 }}", "makes too much"),
    ("{% set n = namespace(s='xxxxxxxx') %}{% for i in range(99) %}{% set n.s = n.s ~ n.s %}{% endfor %}", "too long"),
    ("{% set n = namespace(s='xxxxxxxx') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}", "makes too much"),
    ("{% set n = namespace(s='x') %}{% for i in range(99) %}{% set n.s = n.s | replace('x', 'xxxx') %}{% endfor %}", "too long"),
    ("{% set n = namespace(s='x') %}{% for i in range(99) %}{% set n.s = n.s.replace('x', 'xxxx') %}{% endfor %}", "too long"),
    ("{{ 'x'.ljust(999999999) }}", "fails"), ("{{ ''.__class__.__mro__ }}", "fails"), ("{{ messages.append(1) }}", "fails"),
    ("{{ '{:999999999}'.format(1) }}", "fails"), ("{{ 'x' | center(999999999) }}", "no Jinja|fails"),
    ("{{ range(999999999) | list }}", "fails"), ("x" * 200_001, "characters"),
])  # fmt: skip
def test_a_template_that_goes_astray_is_told_in_one_sentence(source, words):
    tokenizer = tokenizer_for("chatml")
    with pytest.raises(UserError, match=words) as told:
        own("chatml", tokenizer, source).encode(CHAT[1:], tokenizer)
    assert len(str(told.value)) < 300


def test_a_template_is_read_from_the_files_that_tokenizers_come_with(tmp_path):
    pytest.importorskip("jinja2", reason="jinja2 is not installed")
    tokenizer = tokenizer_for("llama3")
    config = {"chat_template": JINJA["llama3"], "bos_token": {"content": "<|begin_of_text|>"}}
    wanted = chat_template("llama3").encode(CHAT, tokenizer).ids.tolist()
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "chat_template.jinja").write_text(JINJA["llama3"])
    for name in ("tokenizer_config.json", "chat_template.jinja"):
        assert JinjaTemplate.beside(tmp_path / name, tokenizer).encode(CHAT, tokenizer).ids.tolist() == wanted
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({**config, "chat_template": [{"name": "default", "template": JINJA["llama3"]}]})
    )
    assert (
        JinjaTemplate.beside(tmp_path / "tokenizer_config.json", tokenizer).encode(CHAT, tokenizer).ids.tolist()
        == wanted
    )
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(UserError, match="has no chat_template"):
        JinjaTemplate.beside(tmp_path / "tokenizer_config.json", tokenizer)


@pytest.mark.parametrize("name", ["mistral", "gemma"])
def test_turns_that_a_template_has_no_place_for_are_told(name):
    tokenizer = tokenizer_for(name)
    for chat in ([CHAT[1], CHAT[1], CHAT[2]], [CHAT[2]], [CHAT[0], CHAT[2]]):
        with pytest.raises(UserError, match="this chat template"):
            chat_template(name).encode(chat, tokenizer)


def test_a_tokenizer_without_the_marks_is_told():
    with pytest.raises(UserError, match=r"no special token <\|im_start\|>.*tokenizer.add_tokens"):
        chat_template("chatml").encode(CHAT, tokenizer_for("plain"))


ASKED, ANSWERED = Message("user", "who is it"), Message("assistant", "the cat")
RECORDS = [
    ({"messages": [m._asdict() for m in CHAT]}, "OpenAI messages", CHAT),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": "who "}, {"text": "is it"}]}, ANSWERED._asdict()]}, "OpenAI messages", [ASKED, ANSWERED]),
    ({"conversations": [{"from": "human", "value": "who is it"}, {"from": "gpt", "value": "the cat"}]}, "ShareGPT conversations", [ASKED, ANSWERED]),
    ({"system": "you are brief", "conversations": [{"from": "human", "value": "who is it"}, {"from": "gpt", "value": "the cat"}]}, "ShareGPT conversations", [CHAT[0], ASKED, ANSWERED]),
    ({"prompt": "who is it", "completion": "the cat"}, "prompts and completions", [ASKED, ANSWERED]),
    ({"prompt": "who is it", "response": "the cat"}, "prompts and completions", [ASKED, ANSWERED]),
    ({"prompt": [ASKED._asdict()], "completion": [ANSWERED._asdict()]}, "prompts and completions", [ASKED, ANSWERED]),
    ({"instruction": "who is it", "input": "", "output": "the cat"}, "Alpaca instructions", [ASKED, ANSWERED]),
    ({"instruction": "who is it", "input": "x", "output": "the cat"}, "Alpaca instructions", [Message("user", "who is it\n\nx"), ANSWERED]),
    ({"messages": [m._asdict() for m in (ASKED, ANSWERED, ASKED)]}, "OpenAI messages", [ASKED, ANSWERED]),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "format", "wanted"), RECORDS)
def test_records_of_every_format_are_messages(fields, format, wanted):
    assert format_of(Example("a:1", fields)) == format
    assert messages_of(Example("a:1", fields)) == wanted


@pytest.mark.parametrize(("fields", "words"), [
    ({"text": "x"}, "'a:7' is no chat: .*; its fields: text"), ({"messages": []}, "'a:7': nothing to learn"),
    ({"messages": [ASKED._asdict()]}, "'a:7': nothing to learn"), ({"prompt": "x", "completion": " "}, "'a:7': nothing to learn"),
    ({"messages": ["x"]}, r"'a:7': messages\[0\] is no object"), ({"messages": [{"role": "cat", "content": "x"}]}, r"'a:7': messages\[0\] has role = 'cat'"),
    ({"conversations": [{"from": "human"}]}, r"'a:7': conversations\[0\] has value = None"), ({"prompt": 3, "completion": "x"}, "'a:7': .*prompt"),
    ({"messages": [{"role": "user", "content": [{"image": 1}]}]}, "part of content that is no text"),
    ({"instruction": "x", "input": 3, "output": "y"}, "'a:7': input is 3"),
])  # fmt: skip
def test_a_record_that_is_no_chat_is_told_with_its_place(fields, words):
    with pytest.raises(UserError, match=words) as told:
        messages_of(Example("a:7", fields))
    assert len(str(told.value)) < 300


@pytest.mark.parametrize(("file", "format"), [
    ("chat/dj_chatml.jsonl", "OpenAI messages"), ("chat/fastchat_dummy_conversation.json", "ShareGPT conversations"),
    ("chat/torchtune_chat_tiny.json", "ShareGPT conversations"), ("chat/v1_sft_demo.jsonl", "OpenAI messages"),
    ("chat/cs336_sft_sample.jsonl", "prompts and completions"), ("instruct/torchtune_alpaca_tiny.json", "Alpaca instructions"),
    ("instruct/dolly_hhrlhf_train_small.jsonl", "prompts and completions"),
])  # fmt: skip
def test_published_data_is_read(file, format, data_folder):
    source = ChatSource(build_source("files", files=[str(data_folder / "06_finetune" / file)]))
    assert source.format() == format
    found = list(source.examples())
    assert found
    assert all(example.value("messages")[-1]["role"] == "assistant" for example in found)


def test_the_functions_of_the_standard_library_are_instructions():
    found = {example.name: example.value("messages") for example in build_source("stdlib_functions").examples()}
    assert len(found) > 2000
    name = "textwrap.py:textwrap.dedent"
    what, how = found[f"{name}:what"], found[f"{name}:how"]
    assert [message["role"] for message in what] == ["user", "assistant"]
    assert what[0]["content"] == "What does the function textwrap.dedent do?"
    assert what[1]["content"].startswith("Remove any common leading whitespace")
    assert how[1]["content"] == "def dedent(text)"
    assert list(found) == [example.name for example in build_source("stdlib_functions").examples()]
    assert all("\n" not in message["content"] for messages in found.values() for message in messages)
    assert Path(name.partition(":")[0]).suffix == ".py"
