"""Changes one place of a YAML file that people edit too. Their comments and layout do not change."""

import json
from collections.abc import Mapping
from typing import Any

import yaml

INDENT = "  "


class CannotEdit(Exception):
    """The text has a layout to which nothing can be added without rewriting it."""


def append_row(text: str, key: str, row: Mapping[str, Any]) -> str:
    """Add a mapping to the end of the list under a top-level key. Creates the key if it is missing."""
    root = _compose(text)
    rows = _value_of(root, key) if root else None
    expected = yaml.safe_load(text) or {}
    if not isinstance(expected.get(key) or [], list):
        raise CannotEdit(f"{key} is not a list")
    expected |= {key: [*(expected.get(key) or []), row]}
    if root is None:
        changed = _insert_lines(text, len(text), [f"{key}:", *_row_lines(row, INDENT)])
    elif rows is None:
        changed = _add_field(text, root, key, [row])
    elif isinstance(rows, yaml.SequenceNode) and rows.value and not rows.flow_style:
        column = rows.start_mark.column
        changed = _insert_lines(text, _block_end(text, rows, column + 1), _row_lines(row, " " * column))
    elif isinstance(rows, yaml.SequenceNode) and rows.value:
        changed = _splice(text, rows.value[-1].end_mark.index, rows.value[-1].end_mark.index, f", {json.dumps(row)}")
    elif root.flow_style:
        changed = _splice(text, rows.start_mark.index, rows.end_mark.index, json.dumps([row]))
    else:  # `tokens:`, `tokens: null` or `tokens: []`
        before = text[: rows.start_mark.index].rstrip(" ")
        emptied = before + text[rows.end_mark.index :]
        changed = _insert_lines(emptied, _next_line(emptied, len(before)), _row_lines(row, INDENT))
    return _verified(changed, expected)


def insert_item(text: str, key: str, index: int, name: str, place: int, value: str) -> str:
    """Insert a text before item `place` of a list. The list is a field of the row at `index` under a top-level key."""
    expected = yaml.safe_load(text)
    expected[key][index][name].insert(place, value)
    row = _row(text, key, index)
    items = _value_of(row, name)
    if not isinstance(items, yaml.SequenceNode) or place >= len(items.value):
        raise CannotEdit(f"{key}.{index}.{name} is not a list of {place + 1}")
    following = items.value[place].start_mark
    if items.flow_style:
        return _verified(_splice(text, following.index, following.index, f"{json.dumps(value)}, "), expected)
    begin = text.rfind("\n", 0, following.index) + 1
    line = f"{' ' * items.start_mark.column}- {json.dumps(value)}"
    return _verified(_insert_lines(text, begin, [line]), expected)


def set_field(text: str, key: str, index: int, name: str, value: str | bool | list[str]) -> str:
    """Set a field of the row at `index` of the list under a top-level key."""
    expected = yaml.safe_load(text)
    expected[key][index][name] = value
    row = _row(text, key, index)
    if (old := _value_of(row, name)) is None:
        changed = _add_field(text, row, name, value)
    else:
        changed = _splice(text, old.start_mark.index, old.end_mark.index, f" {json.dumps(value)}")
    return _verified(changed, expected)


def _row(text: str, key: str, index: int) -> yaml.MappingNode:
    root = _compose(text)
    rows = _value_of(root, key) if root else None
    row = rows.value[index] if isinstance(rows, yaml.SequenceNode) else None
    if not isinstance(row, yaml.MappingNode):
        raise CannotEdit(f"the entry {key}.{index} is not a mapping")
    return row


def _add_field(text: str, node: yaml.MappingNode, name: str, value: object) -> str:
    if not node.flow_style:
        column = node.start_mark.column
        lines = [" " * column + line for line in _dump({name: value})]
        return _insert_lines(text, _block_end(text, node, column), lines)
    field = f"{json.dumps(name)}: {json.dumps(value)}"
    if not node.value:
        return _splice(text, node.start_mark.index + 1, node.start_mark.index + 1, field)
    end = node.value[-1][1].end_mark.index
    return _splice(text, end, end, f", {field}")


def _compose(text: str) -> yaml.MappingNode | None:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if node is None or isinstance(node, yaml.MappingNode):
        return node
    raise CannotEdit("the file is not a mapping")


def _value_of(mapping: yaml.MappingNode, key: str) -> yaml.Node | None:
    return next((value for name, value in mapping.value if name.value == key), None)


def _row_lines(row: Mapping[str, Any], indent: str) -> list[str]:
    return [indent + line for line in _dump([row])]


def _dump(value: object) -> list[str]:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=10_000).splitlines()


def _block_end(text: str, node: yaml.Node, inner_column: int) -> int:
    """The start of the line after a block. Comments with less indentation than the block do not belong to it."""
    # The end mark of the block cannot be used: it is at the next token, after comments and empty lines.
    end = text.rfind("\n", 0, node.end_mark.index) + 1 if node.end_mark.index < len(text) else len(text)
    while end > 0:
        start = text.rfind("\n", 0, end - 1) + 1
        line = text[start:end]
        is_outer_comment = line.lstrip().startswith("#") and len(line) - len(line.lstrip()) < inner_column
        if line.strip() and not is_outer_comment:
            break
        end = start
    return end


def _next_line(text: str, index: int) -> int:
    return text.find("\n", index) + 1 or len(text)


def _insert_lines(text: str, index: int, lines: list[str]) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    start = newline if index and text[index - 1] != "\n" else ""
    return _splice(text, index, index, start + "".join(line + newline for line in lines))


def _splice(text: str, start: int, end: int, insert: str) -> str:
    return text[:start] + insert + text[end:]


def _verified(text: str, expected: object) -> str:
    try:
        if yaml.safe_load(text) == expected:
            return text
    except yaml.YAMLError:
        pass
    raise CannotEdit("its layout is one that cannot be added to without rewriting it")
