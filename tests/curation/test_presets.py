"""Each preset is the published recipe that it says it is, and the page shows what it asks."""

import pytest

from scratchgrad.tools.curation.recipe import load_recipe, presets
from scratchgrad.tools.curation.step import Filter, step_class, step_names
from scratchgrad.tools.recipes import parse
from tests.curation.rules_page import PAGE, preset_text, steps_of, variant, with_tables

# The thresholds as published, by hand from the sources that the presets name.
PUBLISHED = {
    "c4": {
        "c4_page": {"min_sentences": 3, "max_characters": 190_000, "max_lorem_ipsum": 0, "max_curly_brackets": 0},
        "word_list": {"max_hits": 0},
    },
    "gopher": {
        "gopher_quality": {
            "min_words": 50, "max_words": 100_000, "min_mean_word_length": 3, "max_mean_word_length": 10,
            "max_hashes": 0.1, "max_ellipses": 0.1, "max_bullet_lines": 0.9, "max_ellipsis_lines": 0.3,
            "min_alphabetic_words": 0.8, "min_stop_words": 2,
        },
        "gopher_repetition": {
            "min_words": 1,
            "max_duplicate_lines": 0.3, "max_duplicate_paragraphs": 0.3, "max_duplicate_line_chars": 0.2,
            "max_duplicate_paragraph_chars": 0.2, "max_top_2_gram": 0.2, "max_top_3_gram": 0.18, "max_top_4_gram": 0.16,
            "max_duplicate_5_grams": 0.15, "max_duplicate_6_grams": 0.14, "max_duplicate_7_grams": 0.13,
            "max_duplicate_8_grams": 0.12, "max_duplicate_9_grams": 0.11, "max_duplicate_10_grams": 0.1,
        },
    },
    "fineweb": {
        "language": {"min_score": 0.65},
        "c4_page": {"min_sentences": 5, "max_lorem_ipsum": 0, "max_curly_brackets": 0},
        "fineweb_quality": {
            "min_lines": 1, "min_punctuated_lines": 0.12, "max_short_lines": 0.67, "max_duplicate_line_chars": 0.1,
            "max_newlines": 0.3,
        },
    },
    "refinedweb": {"refinedweb_lines": {"max_removed_words": 0.05}, "language": {"min_score": 0.65}},
    "code": {
        "code_quality": {
            "max_line_length": 1000, "max_mean_line_length": 100, "min_alphanumeric": 0.25, "min_comments": 0.01,
            "max_comments": 0.8, "max_xml_headers": 0, "min_visible_html": 0.2, "min_visible_html_characters": 100,
            "max_beyond_extension": 0,
        },
    },
}  # fmt: skip
SETTINGS = {
    "c4": {
        "c4_lines": {"min_words": 5, "max_word_length": 1000, "end_marks": True, "citations": True},
        "word_list": {"edges": "letters", "contexts": False},
    },
    "fineweb": {"c4_lines": {"min_words": 3, "end_marks": False}, "fineweb_quality": {"short_line": 30}},
    "refinedweb": {
        "refinedweb_lines": {"max_uppercase": 0.5, "min_words": 2, "button_words": 10},
        "unicode": {"newlines": 2},
    },
}


def test_the_presets_are_those_of_the_published_recipes():
    assert presets() == sorted(f"{name}.yaml" for name in PUBLISHED)


@pytest.mark.parametrize("preset", presets())
def test_a_preset_has_the_published_thresholds(preset):
    steps = {step.name: step for step in steps_of(preset)}
    name = preset.removesuffix(".yaml")
    for step, thresholds in PUBLISHED[name].items():
        assert {rule.setting: rule.threshold for rule in steps[step].rules()} == thresholds
    for step, values in SETTINGS.get(name, {}).items():
        assert {key: getattr(steps[step], key) for key in values} == values


@pytest.mark.parametrize("preset", presets())
def test_a_preset_is_a_recipe_of_the_steps_that_there_are(preset):
    steps = [step.name for step in steps_of(preset)]
    recipe = load_recipe(preset, [f"curate.steps=[{', '.join(steps)}]"])
    assert [step.name for step in recipe.steps] == steps
    assert recipe.steps == steps_of(preset)


@pytest.mark.parametrize("preset", presets())
def test_a_preset_says_only_what_differs_and_where_it_is_from(preset):
    values = parse(preset_text(preset))
    steps = values.pop("curate")["steps"]
    assert "privacy" in steps
    assert values.keys() <= set(steps)
    assert len(variant(preset)) > 80
    for name, section in values.items():
        defaults = step_class(name)()
        assert all(getattr(defaults, key) != value for key, value in section.items())
    known = [name for name in steps if name in step_names()]
    assert all(step_class(name).source for name in known if issubclass(step_class(name), Filter))


def test_the_page_shows_the_rules_that_there_are():
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_tables(page), "python -m tests.curation.rules_page writes the tables anew"
