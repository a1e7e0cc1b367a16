"""Where boxes stand and edges run: in layers, readers below what they read, modules around their parts.

Sugiyama, Tagawa and Toda 1981, "Methods for visual understanding of hierarchical system structures": layers by longest
path, a bend of its own in every layer that an edge crosses, the order in a layer by the mean place of neighbours. A
frame is laid out first, by itself, with edges entering at its top and leaving at its bottom, and is then a box in the
frame around it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

from scratchgrad.drawing.record import Box, Frame, Record

BETWEEN_LAYERS, BETWEEN_ITEMS, PADDING, TITLE, BEND = 30.0, 18.0, 14.0, 20.0, 6.0
SWEEPS = 10

Edge = tuple[int, int]  # the numbers of who is read and who reads
Point = tuple[float, float]


@dataclass
class Place:
    x: float  # of the left edge
    y: float  # of the upper edge
    width: float
    height: float

    def move(self, dx: float, dy: float) -> None:
        self.x += dx
        self.y += dy


@dataclass
class Layout:
    """boxes and frames (from the outside in) with their places, and the points that edges run through on their way."""

    boxes: dict[int, Place] = field(default_factory=dict)
    frames: list[tuple[Frame, Place]] = field(default_factory=list)
    routes: dict[Edge, list[Point]] = field(default_factory=dict)
    width: float = 0.0
    height: float = 0.0

    def move(self, dx: float, dy: float) -> None:
        for place in [*self.boxes.values(), *(place for _, place in self.frames)]:
            place.move(dx, dy)
        self.routes = {edge: [(x + dx, y + dy) for x, y in points] for edge, points in self.routes.items()}


def lay_out(record: Record, sizes: dict[int, tuple[float, float]], title_width: float) -> Layout:
    """Places for all of the record. sizes: (width, height) of boxes by number; title_width: of a letter in a title."""
    edges = [(source, number) for number, box in record.boxes.items() for source in box.reads]
    return _lay_out(record.outermost, edges, record.boxes, sizes, title_width)


def _lay_out(
    frame: Frame, edges: list[Edge], boxes: dict[int, Box], sizes: dict[int, tuple[float, float]], title_width: float
) -> Layout:
    insides = []
    for child in frame.frames:
        inside = _lay_out(child, edges, boxes, sizes, title_width)
        inside.move(PADDING, PADDING + TITLE)
        inside.width = max(inside.width + 2 * PADDING, len(child.title) * title_width + 20)
        inside.height += 2 * PADDING + TITLE
        insides.append(inside)
    grid = _Grid(frame, insides, sizes, edges)
    grid.sort()
    grid.place()
    return grid.layout()


class _Grid:
    """The items of one frame in layers: boxes, frames inside, and bends of edges that pass."""

    def __init__(
        self, frame: Frame, insides: list[Layout], sizes: dict[int, tuple[float, float]], edges: list[Edge]
    ) -> None:
        self.frame, self.insides = frame, insides
        self.places = [Place(0, 0, *sizes[number]) for number in frame.boxes]
        self.places += [Place(0, 0, inside.width, inside.height) for inside in insides]
        self.item_of = {number: i for i, number in enumerate(frame.boxes)}
        for i, inside in enumerate(insides, len(frame.boxes)):
            self.item_of |= dict.fromkeys(inside.boxes, i)
        here = self.item_of
        self.edges = [
            edge
            for edge in edges
            if (edge[0] in here or edge[1] in here) and here.get(edge[0], -1) != here.get(edge[1], -2)
        ]
        oldest = [*frame.boxes, *(min(inside.boxes) for inside in insides)]
        self.layers = self._layers(oldest)
        self.bends: dict[tuple[int, int], int] = {}  # the bend of a source's edges in a layer: one for all of them
        # item -> [(neighbour, where the edge meets it, where the edge meets the item)], the last two from the left
        self.above: dict[int, list[tuple[int, float, float]]] = defaultdict(list)
        self.below: dict[int, list[tuple[int, float, float]]] = defaultdict(list)
        for source, number in self.edges:
            self._link(source, number)

    def _layers(self, oldest: list[int]) -> list[list[int]]:
        """Items by layer: one below the lowest that they read. What reads nothing stands right above its reader."""
        reads: dict[int, set[int]] = defaultdict(set)
        readers: dict[int, set[int]] = defaultdict(set)
        comes_from_outside = set()
        for source, number in self.edges:
            if source in self.item_of and number in self.item_of:
                reads[self.item_of[number]].add(self.item_of[source])
                readers[self.item_of[source]].add(self.item_of[number])
            elif number in self.item_of:
                comes_from_outside.add(self.item_of[number])
        self.depth: dict[int, int] = {}
        for item in sorted(range(len(oldest)), key=oldest.__getitem__):
            self._sink(item, reads)
        for item in range(len(oldest)):
            if not reads[item] and readers[item] and item not in comes_from_outside:
                self.depth[item] = max(0, min(self.depth[reader] for reader in readers[item]) - 1)
        layers: list[list[int]] = [[] for _ in range(max(self.depth.values(), default=-1) + 1)]
        for item in sorted(self.depth, key=oldest.__getitem__):
            layers[self.depth[item]].append(item)
        return layers

    def _sink(self, item: int, reads: dict[int, set[int]]) -> None:
        waiting = [item]
        while waiting:  # a loop: graphs are deep
            top = waiting[-1]
            missing = [source for source in reads[top] if source not in self.depth]
            if missing:
                waiting += missing
            else:
                self.depth[top] = 1 + max((self.depth[source] for source in reads[top]), default=-1)
                waiting.pop()

    def _span(self, source: int, number: int) -> range:
        """The layers that the edge crosses without meeting anything of it there."""
        first = self.depth[self.item_of[source]] + 1 if source in self.item_of else 0
        last = self.depth[self.item_of[number]] if number in self.item_of else len(self.layers)
        return range(first, last)

    def _link(self, source: int, number: int) -> None:
        chain = [self.item_of[source]] if source in self.item_of else []
        for layer in self._span(source, number):
            if (source, layer) not in self.bends:
                self.bends[source, layer] = len(self.places)
                self.places.append(Place(0, 0, BEND, 0))
                self.layers[layer].append(len(self.places) - 1)
            chain.append(self.bends[source, layer])
        if number in self.item_of:
            chain.append(self.item_of[number])
        for upper, lower in pairwise(chain):
            leaves, enters = self._port(upper, source, number, -1), self._port(lower, source, number, 0)
            if (lower, enters, leaves) not in self.below[upper]:
                self.below[upper].append((lower, enters, leaves))
                self.above[lower].append((upper, leaves, enters))

    def _port(self, item: int, source: int, number: int, end: int) -> float:
        """Where the edge meets the item, from its left: at a frame where it enters or leaves, else in the middle."""
        inside = item - len(self.frame.boxes)
        if 0 <= inside < len(self.insides):
            layout = self.insides[inside]
            if points := layout.routes.get((source, number)):
                return points[end][0]
            place = layout.boxes[number if end == 0 else source]
            return place.x + place.width / 2
        return self.places[item].width / 2

    def sort(self) -> None:
        """Order each layer by where its neighbours stand, from the top and from the bottom in turn."""
        spot = {item: (i + 0.5) / len(layer) for layer in self.layers for i, item in enumerate(layer)}
        for sweep in range(SWEEPS):
            neighbours = self.above if sweep % 2 == 0 else self.below
            for layer in self.layers if sweep % 2 == 0 else reversed(self.layers):
                mean = {item: _mean([spot[other] for other, _, _ in neighbours[item]], spot[item]) for item in layer}
                layer.sort(key=lambda item: mean[item])
                for i, item in enumerate(layer):
                    spot[item] = (i + 0.5) / len(layer)

    def place(self) -> None:
        """Each item as near to the mean of its neighbours as its layer has room."""
        self.tops, y = [], 0.0
        for layer in self.layers:
            x, tallest = 0.0, max(self.places[item].height for item in layer)
            for item in layer:
                self.places[item].x, self.places[item].y = x, y
                x += self.places[item].width + BETWEEN_ITEMS
            self.tops.append((y, y + tallest))
            y += tallest + BETWEEN_LAYERS
        for sweep in range(2 * SWEEPS):
            neighbours = self.above if sweep % 2 == 0 else self.below
            for layer in self.layers if sweep % 2 == 0 else reversed(self.layers):
                _make_room([self.places[item] for item in layer], [self._wanted(item, neighbours) for item in layer])

    def _wanted(self, item: int, neighbours: dict[int, list[tuple[int, float, float]]]) -> float:
        at = [self.places[other].x + theirs - mine for other, theirs, mine in neighbours[item]]
        return _mean(at, self.places[item].x)

    def layout(self) -> Layout:
        left = min((place.x for place in self.places), default=0.0)
        for place in self.places:
            place.x -= left
        found = Layout(
            width=max((place.x + place.width for place in self.places), default=0.0),
            height=self.tops[-1][1] if self.tops else 0.0,
        )
        found.boxes = dict(zip(self.frame.boxes, self.places, strict=False))
        passing = {edge: self._points(*edge) for edge in self.edges}
        for i, (child, inside) in enumerate(zip(self.frame.frames, self.insides, strict=True), len(self.frame.boxes)):
            inside.move(self.places[i].x, self.places[i].y)
            found.frames += [(child, self.places[i]), *inside.frames]
            found.boxes |= inside.boxes
        for inside in self.insides:
            for edge, points in inside.routes.items():
                if edge not in passing:
                    found.routes[edge] = points
                elif edge[1] in inside.boxes:
                    passing[edge] = passing[edge] + points
                else:
                    passing[edge] = points + passing[edge]
        found.routes |= passing
        return found

    def _points(self, source: int, number: int) -> list[Point]:
        """Straight down through each layer, from below the source on: curves are for the room between layers."""
        points = []
        if source in self.item_of:
            item = self.item_of[source]
            place = self.places[item]
            x = place.x + self._port(item, source, number, -1)
            points += [(x, place.y + place.height), (x, self.tops[self.depth[item]][1])]
        for layer in self._span(source, number):
            x = self.places[self.bends[source, layer]].x + BEND / 2
            points += [(x, self.tops[layer][0]), (x, self.tops[layer][1])]
        return points


def _mean(numbers: list[float], otherwise: float) -> float:
    return sum(numbers) / len(numbers) if numbers else otherwise


def _make_room(row: list[Place], wanted: list[float]) -> None:
    """Move items towards the wanted left edges, keeping their order and the gaps between them."""
    right = float("-inf")
    for place, x in zip(row, wanted, strict=True):
        place.x = max(x, right)
        right = place.x + place.width + BETWEEN_ITEMS
    drift = sum(place.x - x for place, x in zip(row, wanted, strict=True)) / max(len(row), 1)
    for place in row:
        place.x -= drift
