"""Which documents hang together by edges between two of them."""

from __future__ import annotations

from typing import Any

import numpy as np

Numbers = np.ndarray[Any, Any]


def components(one: Numbers, other: Numbers) -> tuple[Numbers, Numbers]:
    """Every number that an edge has, (nodes,), and the smallest number of its component, (nodes,).

    Smallest labels go over the edges and down the paths until none changes, so that nothing depends on the order of
    the edges (Shiloach and Vishkin, "An O(log n) parallel connectivity algorithm", 1982).
    """
    nodes, ends = np.unique(np.concatenate([one, other]), return_inverse=True)
    left, right = ends[: len(one)], ends[len(one) :]
    label = np.arange(len(nodes))
    while True:
        smaller = np.minimum(label[left], label[right])
        hooked = label.copy()
        np.minimum.at(hooked, label[left], smaller)
        np.minimum.at(hooked, label[right], smaller)
        while not np.array_equal(shorter := hooked[hooked], hooked):
            hooked = shorter
        if np.array_equal(hooked, label):
            return nodes, nodes[label]
        label = hooked
