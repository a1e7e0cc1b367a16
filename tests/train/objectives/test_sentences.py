"""Labels of texts, of words, and answers: what becomes of an example, and which mistakes are told."""

import numpy as np
import pytest

from scratchgrad import Tensor, UserError, no_grad
from scratchgrad.tools.data import Example
from tests.train.objectives.small import LABELS, examples, small, store_of


def ids_of(objective, *names):
    return [objective.layout.special(name) for name in names]


def test_a_text_and_its_label():
    objective, _ = small("sequence_classification")
    encoded = objective.encode(Example("a", {"text": "the cat", "label": "good"}))
    encode, (cls, sep) = objective.layout.tokenizer.encode, ids_of(objective, "[CLS]", "[SEP]")
    assert encoded.ids.tolist() == [cls, *encode("the cat"), sep]
    batch = objective.batch([encoded, objective.encode(Example("b", {"text": "the", "label": 0}))])
    assert batch["targets"].tolist() == [2, 0]
    assert batch["attention_mask"].sum(1).tolist() == [len(encoded), 2 + len(encode("the"))]


def test_a_pair_of_texts_has_two_segments():
    objective, _ = small("sequence_classification")
    encoded = objective.encode(Example("a", {"text": "the cat", "text_pair": "a mat", "label": 1}))
    encode, (cls, sep) = objective.layout.tokenizer.encode, ids_of(objective, "[CLS]", "[SEP]")
    first, second = encode("the cat"), encode("a mat")
    assert encoded.ids.tolist() == [cls, *first, sep, *second, sep]
    types = [0] * (len(first) + 2) + [1] * (len(second) + 1)
    assert encoded.columns["token_type_ids"].tolist() == types
    assert objective.batch([encoded])["token_type_ids"].tolist() == [types]


@pytest.mark.parametrize(("label", "words"), [
    ("poor", "'a': label 'poor' is none of the model's: bad, fair, good"), (3, "label 3 is none"), (-1, "label -1"),
    (1.0, "label 1.0"), (True, "label True"), (None, '"label"'),
])  # fmt: skip
def test_a_label_that_is_none_is_told(label, words):
    objective, _ = small("sequence_classification")
    with pytest.raises(UserError, match=words.replace("[", r"\[")):
        objective.encode(Example("a", {"text": "the cat", "label": label}))


def test_numbers_are_learnt_by_their_squared_difference(tmp_path):
    objective, model = small("sequence_classification", id2label={"0": "score"})
    encoded = [objective.encode(Example(str(i), {"text": "the cat", "label": 0.5 * i})) for i in range(5)]
    store = store_of(tmp_path / "train-0", encoded, objective.layout.tokenizer.vocab_size)
    batch = objective.batches([store], [1.0]).sample(10**6)
    assert batch["targets"].dtype == np.float32 == objective.batch_fields["targets"].dtype
    assert batch["targets"].tolist() == [[0.5 * i] for i in range(5)]
    batch["targets"][3] = np.nan
    with no_grad():
        output = objective.loss(model.eval(), {name: Tensor(array) for name, array in batch.items()})
        logits = model(*(Tensor(batch[n]) for n in ("input_ids", "token_type_ids", "attention_mask"))).data[:, 0]
    assert (output.num_targets, output.scores) == (4, {})
    rows = [0, 1, 2, 4]
    assert output.loss.item() == pytest.approx(((logits[rows] - 0.5 * np.array(rows)) ** 2).sum(), rel=1e-5)


@pytest.mark.parametrize("label", ["high", [1.0, 2.0], True, [None]])
def test_what_is_no_number_is_told(label):
    objective, _ = small("sequence_classification", id2label={"0": "score"})
    with pytest.raises(UserError, match="is not what regression needs: 1 number"):
        objective.encode(Example("a", {"text": "the cat", "label": label}))


def test_several_numbers_of_a_text():
    objective, _ = small("sequence_classification", problem_type="regression")
    encoded = objective.encode(Example("a", {"text": "the", "label": [1, 2.5, -3]}))
    assert objective.batch([encoded])["targets"].tolist() == [[1, 2.5, -3]]


@pytest.mark.parametrize("architecture", ["BertForSequenceClassification", "LlamaForSequenceClassification"])
def test_several_labels_of_a_text_are_learnt_each_by_itself(tmp_path, architecture):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    objective, model = small("sequence_classification", architecture, problem_type="multi_label_classification")
    labels = [["bad", "good"], [], [0, 1, 1], [0.25, 1, 0], [True, False, False]]
    encoded = [objective.encode(Example(str(i), {"text": "the cat", "label": label})) for i, label in enumerate(labels)]
    store = store_of(tmp_path / "train-0", encoded, objective.layout.tokenizer.vocab_size)
    batch = objective.batches([store], [1.0]).sample(10**6)
    wanted = [[1, 0, 1], [0, 0, 0], [0, 1, 1], [0.25, 1, 0], [1, 0, 0]]
    assert batch["targets"].tolist() == wanted
    batch["targets"][3] = np.nan  # a row that only fills the batch up
    tensors = {name: Tensor(array) for name, array in batch.items()}
    output = objective.loss(model.eval(), tensors)
    with no_grad():
        logits = model(tensors["input_ids"], attention_mask=tensors["attention_mask"]).data
    rows, known = [0, 1, 2, 4], np.array(wanted, np.float32)[[0, 1, 2, 4]]
    mean = torch.nn.BCEWithLogitsLoss()(torch.tensor(logits[rows]), torch.tensor(known)).item()
    assert output.num_targets == 12
    assert output.loss.item() / 12 == pytest.approx(mean, rel=1e-5)
    assert output.scores == {"accuracy": (int(((logits[rows] > 0) == (known > 0.5)).sum()), 12)}
    output.loss.backward()
    assert all(np.isfinite(parameter.grad).all() for parameter in model.parameters() if parameter.grad is not None)


@pytest.mark.parametrize(("label", "words"), [
    ("good", "is no list, of the labels that hold or of 3 numbers from 0 to 1"), (1, "is no list"),
    (["poor"], "label 'poor' is none of the model's: bad, fair, good"), ([1, 0], "is not 3 numbers from 0 to 1"),
    ([1, 0, 2], "is not 3 numbers from 0 to 1"), ([1, 0, None], "is not 3 numbers"), ([1, 0, float("nan")], "is not 3 numbers"),
    ([1, "good", 0], "is not 3 numbers"), ([10**400, 0, 0], "is not 3 numbers"), (None, '"label"'),
])  # fmt: skip
def test_a_list_of_labels_that_is_none_is_told(label, words):
    objective, _ = small("sequence_classification", problem_type="multi_label_classification")
    with pytest.raises(UserError, match=words) as told:
        objective.encode(Example("a", {"text": "the cat", "label": label}))
    assert len(str(told.value)) < 300


def test_the_labels_of_a_table_are_texts_that_spell_numbers():
    objective, _ = small("sequence_classification")
    assert objective.encode(Example("a", {"text": "the", "label": "2"})).columns["label"] == 2
    for label in ("3", "-1", "1.0", "²", ""):
        with pytest.raises(UserError, match="is none of the model's"):
            objective.encode(Example("a", {"text": "the", "label": label}))
    numbers, _ = small("sequence_classification", id2label={"0": "score"})
    assert numbers.encode(Example("a", {"text": "the", "label": "2.5"})).columns["label_0"] == 2.5


def test_a_decoder_that_classifies_has_texts_as_it_writes_them():
    objective, model = small("sequence_classification", "LlamaForSequenceClassification")
    encoded = objective.encode(Example("a", {"text": "the cat", "text_pair": "a mat", "label": "good"}))
    encode, end = objective.layout.tokenizer.encode, objective.layout.end
    assert encoded.ids.tolist() == [end, *encode("the cat"), end, *encode("a mat")]
    short = objective.encode(Example("b", {"text": "the", "label": "bad"}))
    batch = {name: Tensor(array) for name, array in objective.batch([encoded, short]).items()}
    output = objective.loss(model.eval(), batch)
    assert output.num_targets == 2
    with no_grad():
        alone = objective.loss(model, {name: Tensor(array) for name, array in objective.batch([short]).items()})
        both = objective.loss(model, {name: Tensor(array) for name, array in objective.batch([encoded]).items()})
    assert output.loss.item() == pytest.approx(alone.loss.item() + both.loss.item(), rel=1e-5)


def test_the_first_token_of_a_word_has_its_label_and_no_other():
    objective, _ = small("token_classification")
    words = ["the", "zyx", "cat"]
    encoded = objective.encode(Example("a", {"words": words, "labels": ["good", 0, "fair"]}))
    (targets,) = objective.batch([encoded])["targets"].tolist()
    tokens = [objective.layout.tokenizer.encode(f"{' ' if i else ''}{word}") for i, word in enumerate(words)]
    assert len(tokens[1]) > 1, "a word of several tokens"
    wanted = [-100]
    for label, pieces in zip([2, 0, 1], tokens, strict=True):
        wanted += [label] + [-100] * (len(pieces) - 1)
    assert targets == [*wanted, -100]
    assert objective.layout.tokenizer.decode(encoded.ids[1:-1].tolist()) == "the zyx cat"


@pytest.mark.parametrize("fields", [
    {"words": ["a", "b"], "labels": [0]}, {"words": "ab", "labels": [0, 1]}, {"words": ["a"], "labels": 0},
])  # fmt: skip
def test_words_and_labels_go_together(fields):
    objective, _ = small("token_classification")
    with pytest.raises(UserError, match="'a': words and labels must be two lists of one length"):
        objective.encode(Example("a", fields))


def answer(text, start, context="the old cat sat", question="who"):
    return Example(
        "a", {"question": question, "context": context, "answers": {"text": [text], "answer_start": [start]}}
    )


def test_targets_are_the_first_and_the_last_token_of_the_answer():
    objective, _ = small("question_answering")
    for text in ("old", "old cat", "the old cat sat", "sat"):
        example = answer(text, "the old cat sat".index(text))
        encoded = objective.encode(example)
        ((first, last),) = objective.batch([encoded])["targets"].tolist()
        assert objective.layout.tokenizer.decode(encoded.ids[first : last + 1].tolist()).strip() == text
        assert encoded.columns["token_type_ids"][first : last + 1].all(), "in the context, not in the question"


def test_a_question_without_an_answer_points_at_the_beginning():
    objective, _ = small("question_answering")
    example = Example("a", {"question": "who", "context": "a cat", "answers": {"text": [], "answer_start": []}})
    assert objective.batch([objective.encode(example)])["targets"].tolist() == [[0, 0]]


@pytest.mark.parametrize(("text", "start", "words"), [
    ("dog", 0, "the answer 'dog' does not stand at 0 of the context"), ("old", 5, "does not stand at 5"),
    ("", 3, "does not stand at 3"), (7, 0, "answers must be as in SQuAD"), ("old", "4", "answers must be as in SQuAD"),
])  # fmt: skip
def test_an_answer_that_is_not_in_the_context_is_told(text, start, words):
    objective, _ = small("question_answering")
    with pytest.raises(UserError, match=words):
        objective.encode(answer(text, start))


def test_answers_of_another_kind_are_told():
    objective, _ = small("question_answering")
    with pytest.raises(UserError, match="answers must be as in SQuAD"):
        objective.encode(Example("a", {"question": "who", "context": "a cat", "answers": ["a"]}))


@pytest.mark.parametrize("name", ["sequence_classification", "token_classification", "question_answering"])
def test_examples_that_do_not_fit_are_counted(name, tmp_path):
    objective, _ = small(name, context=5)
    encoded = [objective.encode(example) for example in examples(name)]
    store = store_of(tmp_path / "train-0", encoded, objective.layout.tokenizer.vocab_size)
    too_long = sum(len(example) > 5 for example in encoded)
    with pytest.raises(UserError, match=f"{too_long} of 12 training examples are longer than train.context = 5 tokens"):
        objective.batches([store], [1.0])


def test_other_labels_are_another_encoding():
    kind = type(small("sequence_classification")[0])
    configs = [small("sequence_classification", id2label=labels)[0].config for labels in (LABELS, {"0": "a", "1": "b"})]
    assert len({kind.encoding(config) for config in configs}) == 2
