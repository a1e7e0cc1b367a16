"""The YAML of recipes: mappings, lists and plain scalars. No aliases, no tags, no dates; every file ends as a value or
a sentence, in little time and memory.

Scalars are those of YAML 1.2, which has 1e-3 as a number and 010 as none, and yes, no, on, off of YAML 1.1.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

DEEPEST = 20  # levels of lists and mappings
FLOAT = re.compile(  # each text in one way only: with two, a long one would take minutes
    r"^[-+]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)[eE][-+]?\d+$|^[-+]?\d[\d_]*\.[\d_]*$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"
)
FLOAT_STARTS = list("-+0123456789.")
UNPRINTABLE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # but for tabs and line ends


class _Loader(yaml.SafeLoader):
    """Refuses what no recipe needs: an alias can stand for a million values, a tag for a date or an object."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own way to say it

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise self._fault("& and * (anchors and aliases) have no place here; put a text into quotes", event)
        if getattr(event, "tag", None) is not None:
            raise self._fault("! (a tag) has no place here; quote the text, if it is one", event)
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._fault("it is nested too deeply", event)
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(node, yaml.ScalarNode) and (bad := UNPRINTABLE.search(node.value)):
            raise self._fault(f"a text has the character U+{ord(bad[0]):04X}, which cannot be printed", event)
        return node

    def mapping(self, node: yaml.MappingNode) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag != "tag:yaml.org,2002:str":
                raise yaml.constructor.ConstructorError(None, None, "a key is not a name", key_node.start_mark)
            key = key_node.value
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"'{key[:60]}' stands there twice", key_node.start_mark
                )
            seen.add(key)
        return self.construct_mapping(node, deep=True)

    def _fault(self, what: str, event: Any) -> yaml.YAMLError:
        return yaml.composer.ComposerError(None, None, what, event.start_mark)


class _Dumper(yaml.SafeDumper):
    """Writes what the loader reads as the same: no aliases for what stands there twice, quotes around '1e3'."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _tag, _pattern, _starts in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF)$", list("tTfFyYnNoO")),
    ("int", r"^[-+]?(?:0|[1-9][\d_]{0,29}|0x[\da-fA-F]{1,16})$", list("-+0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _starts)
for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, FLOAT_STARTS)
_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.mapping)


def parse(text: str) -> Any:
    """The value that the YAML `text` stands for. ValueError, in one line that says where, for anything else."""
    try:
        return yaml.load(text, _Loader)  # a SafeLoader
    except yaml.reader.ReaderError as error:
        raise ValueError(
            f"the character U+{ord(text[error.position]):04X} at {error.position} is none of YAML"
        ) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise ValueError(f"{error.problem or error.context}{where}") from None
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        raise ValueError(" ".join(str(error).split())[:200]) from None


def to_text(values: dict[str, Any]) -> str:
    """YAML that `parse` reads as equal values, keys in their order."""
    text: str = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text
