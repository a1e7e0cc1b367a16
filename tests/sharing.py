"""Which process of `pytest -n` runs which test. Without -n it says nothing.

A file is run by one process, so that its fixtures are made once; some files stay together for what they share. Jobs of
several ranks run one after another: their ranks wait awake, and two jobs at once would take each other's cores. What
takes longest begins first, and the table of ops, each op by itself, fills up whatever time is left.
"""

import pytest


def group_of(item: pytest.Item) -> str:
    """The tests of one group run in one process; '' is none."""
    if item.get_closest_marker("mpi"):
        return "mpi"
    if item.path.parent.name == "models":
        return "models"  # the import of transformers, fixtures of peers
    if item.path.name.startswith(("test_tokenizer", "test_prepare")):
        return "tokenizers"  # real vocabularies, which are read once in a process
    return "" if item.path.name == "test_ops.py" else item.path.stem


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.pluginmanager.hasplugin("xdist") and config.getoption("dist") == "loadgroup":
        groups = {item: group_of(item) for item in items}
        items.sort(key=lambda item: item.path, reverse=True)  # train and tools first, the engine last
        items.sort(key=lambda item: (groups[item] != "mpi", groups[item] == ""))
        for item, group in groups.items():
            if group:
                item.add_marker(pytest.mark.xdist_group(group))
