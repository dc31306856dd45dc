"""Messages as JSON Schema, both as the codec reads them in requests and as it writes them in answers."""

from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from gateway import rules
from gateway.codec.decode import is_json
from gateway.codec.scalars import INTEGERS, TIMESTAMP, enum_names
from service_kit import comments
from service_kit.validation import VERSION, is_id, is_required

Schema: TypeAlias = dict[str, Any]


class Schemas:
    """Collects the messages and enums of the document in `components`."""

    def __init__(self) -> None:
        self.components: dict[str, Schema] = {}

    def reference(self, message: Descriptor) -> Schema:
        """A message as an answer."""
        return self._named(message, message.name, self._answer(message))

    def body(self, message: Descriptor, without: tuple[str, ...]) -> Schema:
        """A message as a request's body, without the fields that the path names."""
        return self._named(message, message.name, self._request(message, without))

    def form(self, message: Descriptor, without: tuple[str, ...]) -> Schema:
        """A message as a form: a part for each field, JSON as text, and files."""
        fields = [field for field in message.fields if field.name not in without]
        properties = {field.name: self._described(field, self._part(field)) for field in fields}
        return _object(message, properties, [field.name for field in fields if is_required(field)])

    def _part(self, field: FieldDescriptor) -> Schema:
        if is_json(field):
            return {"type": "string", "contentMediaType": "application/json"}
        if field.is_repeated:
            return _list_of(field, {"type": "string", "contentMediaType": "application/octet-stream"})
        return self._value(field, asked=True)

    def parameter(self, field: FieldDescriptor) -> Schema:
        """The schema of a field in a path or a query string."""
        return _list_of(field, self._value(field, asked=True))

    def _answer(self, message: Descriptor) -> Schema:
        """The schema of an answer. The codec writes every field that is not optional."""
        properties = {field.name: self._described(field, self._kept(field)) for field in message.fields}
        return _object(message, properties, [field.name for field in message.fields if not is_optional(field)])

    def _request(self, message: Descriptor, without: tuple[str, ...] = ()) -> Schema:
        """The schema of a request. For the codec, null is the same as a missing field, unless the field is required."""
        fields = [field for field in message.fields if field.name not in without]
        properties = {field.name: self._described(field, self._given(field)) for field in fields}
        return _object(message, properties, [field.name for field in fields if is_required(field)])

    def _kept(self, field: FieldDescriptor) -> Schema:
        return _list_of(field, self._value(field, asked=False))

    def _given(self, field: FieldDescriptor) -> Schema:
        schema = _list_of(field, self._value(field, asked=True))
        if is_required(field) or not schema:
            return schema
        if "$ref" in schema:
            return {"anyOf": [schema, {"type": "null"}]}
        return {**schema, "type": [schema["type"], "null"]}

    def _described(self, field: FieldDescriptor, schema: Schema) -> Schema:
        return {**schema, "description": comments.kept()[field.full_name]}

    def _value(self, field: FieldDescriptor, *, asked: bool) -> Schema:
        if field.enum_type is not None:
            return self._named(field.enum_type, field.enum_type.name, _enum(field.enum_type))
        if field.message_type is None:
            return _scalar(field, asked=asked)
        if is_json(field):
            return rules.of_json(comments.kept()[field.full_name])
        if field.message_type.full_name == TIMESTAMP:
            return {"type": "string", "format": "date-time"}
        if asked:
            return self._named(field.message_type, f"{field.message_type.name}Input", self._request(field.message_type))
        return self.reference(field.message_type)

    def _named(self, kind: Descriptor | EnumDescriptor, name: str, schema: Schema) -> Schema:
        """Contracts repeat small messages. Equal ones share a name; a different one gets the prefix of its package."""
        if self.components.setdefault(name, schema) != schema:
            name = f"{kind.file.package.split('.')[1].title()}{name}"
            self.components[name] = schema
        return {"$ref": f"#/components/schemas/{name}"}


def is_optional(field: FieldDescriptor) -> bool:
    """Whether an answer may leave the field out, because it is `optional` or in a `oneof`."""
    return field.containing_oneof is not None


def _object(message: Descriptor, properties: dict[str, Schema], required: list[str]) -> Schema:
    schema = {"type": "object", "description": comments.kept()[message.full_name], "properties": properties}
    return {**schema, "required": required} if required else schema


def _list_of(field: FieldDescriptor, schema: Schema) -> Schema:
    return {"type": "array", "items": schema} if field.is_repeated else schema


def _enum(enum: EnumDescriptor) -> Schema:
    said, names = comments.kept(), {number: name for name, number in enum_names(enum).items() if number}
    meanings = [
        f"- `{names[value.number]}`: {said[f'{enum.full_name}.{value.name}']}" for value in enum.values if value.number
    ]
    return {
        "type": "string",
        "enum": list(names.values()),
        "description": "\n".join([said[enum.full_name], "", *meanings]),
    }


def _scalar(field: FieldDescriptor, *, asked: bool) -> Schema:
    comment = comments.kept()[field.full_name]
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            schema = {"type": "string", **rules.of_string(comment)}
            # In requests, every `…_id` must be a UUID. Answers may have other ids.
            if asked and is_id(field) and field.name != VERSION:
                schema["format"] = "uuid"
            elif asked and is_required(field) and not field.has_presence:
                schema["minLength"] = 1
            return schema
        case FieldDescriptor.TYPE_BOOL:
            return {"type": "boolean"}
        case FieldDescriptor.TYPE_DOUBLE | FieldDescriptor.TYPE_FLOAT:
            return {"type": "number"}
    lowest, highest = INTEGERS[field.type]
    return {"type": "integer", "minimum": lowest, "maximum": highest, **rules.of_integer(comment)}
