"""The contracts' comments as the document's sentences."""

from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor

from service_kit import comments

ERRORS = "\nErrors:\n"


def said(kind: Descriptor | MethodDescriptor | ServiceDescriptor) -> str:
    """A comment without the name that it starts with, and without its list of errors, which the answers repeat."""
    text = comments.kept()[kind.full_name].partition(ERRORS)[0].strip().removeprefix(f"{kind.name} ")
    return text[0].upper() + text[1:]
