"""What every test may ask for."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None, database=None, print_blob=True)
settings.register_profile("fuzz", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("SCRATCHGRAD_HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Real text, vocabularies and checkpoints that are not part of the repository."""
    where = os.environ.get("SCRATCHGRAD_TEST_DATA")
    if not where:
        pytest.skip("SCRATCHGRAD_TEST_DATA is not set: no folder of real data to read")
    return Path(where)
