"""Early stopping and the warnings about fit."""

import json

import pytest

from scratchgrad.train.early_stopping import EarlyStopping


def warnings(watch, pairs):
    return [warning.partition(":")[0] for pair in pairs for warning in watch.update(*pair)]


def test_it_stops_after_patience_evaluations_without_a_better_loss():
    watch = EarlyStopping(patience=2)
    stops = []
    for loss in (3.0, 2.0, 2.1, 1.9, 1.9, 1.95):
        watch.update(1.0, loss)
        stops.append(watch.stops)
    assert stops == [False, False, False, False, False, True]


def test_without_patience_it_never_stops():
    watch = EarlyStopping(patience=None)
    for loss in range(50):
        watch.update(1.0, float(loss))
    assert not watch.stops


def test_losses_that_part_are_called_overfitting_once():
    parting = [(3 - 0.1 * i, 3 + 0.1 * i) for i in range(10)]
    assert warnings(EarlyStopping(None), parting) == ["overfitting"]


def test_losses_that_do_not_fall_are_called_underfitting_once():
    assert warnings(EarlyStopping(None), [(3.0, 3.0)] * 12) == ["underfitting"]


def test_a_run_that_learns_gets_no_warning():
    assert warnings(EarlyStopping(None), [(3 * 0.9**i, 3.1 * 0.9**i) for i in range(30)]) == []


@pytest.mark.parametrize("cut", range(9))
def test_a_run_that_was_resumed_says_and_stops_as_one_that_was_not(cut):
    pairs = [(3 - 0.1 * i, 3 + 0.1 * i) for i in range(5)] + [(2.5, 3.5)] * 5
    through = EarlyStopping(patience=7)
    said = [through.update(*pair) for pair in pairs]
    first = EarlyStopping(patience=7)
    resumed_said = [first.update(*pair) for pair in pairs[:cut]]
    second = EarlyStopping(patience=7, state=json.loads(json.dumps(first.state_dict())))
    resumed_said += [second.update(*pair) for pair in pairs[cut:]]
    assert resumed_said == said
    assert second.stops == through.stops
