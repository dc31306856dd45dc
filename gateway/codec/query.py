"""Compiles readers of a query string and of path variables."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from multidict import MultiMapping

from gateway.codec.decode import Problems, Values
from gateway.codec.scalars import Scalar, Value, WrongValue, scalar

Path: TypeAlias = tuple[str, ...]
ReadQuery = Callable[[MultiMapping[str], Problems], Values]


def query_reader(descriptor: Descriptor, *, without: frozenset[str] = frozenset()) -> ReadQuery:
    """Reads a query string. A filter's operator is in the key, `created_at:gte` or `created_at.gte`.

    A list refuses unknown and blank filters, because it would ignore them and return everything.
    """
    is_list = "page_size" in descriptor.fields_by_name
    places = {
        operator.join(path): (path, field, kind)
        for path, field, kind in query_fields(descriptor)
        if path[0] not in without
        for operator in (".", ":")
    }

    names = ", ".join(sorted(key for key in places if "." not in key))

    def read(query: MultiMapping[str], problems: Problems) -> Values:
        values: Values = {}
        for key, text in query.items():
            if key not in places:
                if is_list and key not in without:
                    problems[key] = f"must be a filter of this list: {names}"
                continue
            path, field, kind = places[key]
            if is_list and key != "sort" and not text.strip():
                problems[".".join(path)] = "must not be blank. Omit it instead"
                continue
            try:
                _put(values, path, kind.from_text(text), field)
            except WrongValue as wrong:
                problems[".".join(path)] = str(wrong)
        return values

    return read


def query_fields(
    descriptor: Descriptor, above: tuple[FieldDescriptor, ...] = ()
) -> Iterator[tuple[Path, FieldDescriptor, Scalar]]:
    """The parameters of a query string: the path of each scalar, including those in filters."""
    for field in descriptor.fields:
        within = (*above, field)
        if kind := scalar(field):
            yield tuple(each.name for each in within), field, kind
        elif field.message_type is not None and not field.is_repeated and field not in above:
            yield from query_fields(field.message_type, within)


def path_reader(descriptor: Descriptor, names: tuple[str, ...]) -> Callable[[Mapping[str, str], Problems], Values]:
    """Reads the variables of a path template."""
    kinds = [(name, kind) for name in names if (kind := scalar(descriptor.fields_by_name[name]))]

    def read(variables: Mapping[str, str], problems: Problems) -> Values:
        values = {}
        for name, kind in kinds:
            try:
                values[name] = kind.from_text(variables[name])
            except WrongValue as wrong:
                problems[name] = str(wrong)
        return values

    return read


def _put(values: Values, path: Path, value: Value, field: FieldDescriptor) -> None:
    for name in path[:-1]:
        values = values.setdefault(name, {})
    if field.is_repeated:
        values.setdefault(path[-1], []).append(value)
    elif path[-1] in values:
        raise WrongValue("must not be given twice")
    else:
        values[path[-1]] = value
