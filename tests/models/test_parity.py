"""Every family computes the numbers of another implementation: of transformers, or of PyTorch's nn.Transformer."""

import pytest

from tests.models import make_fixtures
from tests.models.parity import Example

names = pytest.mark.parametrize("name", make_fixtures.FAMILIES)


@names
def test_logits_and_gradients_are_those_that_the_other_once_gave(name, tmp_path):
    Example.saved(name).check(tmp_path)


@names
def test_logits_and_gradients_are_those_of_the_other(name, tmp_path):
    pytest.importorskip("transformers", reason="the extra parity is not installed")
    make_fixtures.FAMILIES[name]().check(tmp_path)
