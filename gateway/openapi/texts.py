"""The contracts' comments as the document's sentences."""

import re

from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor

from service_kit import comments

ERRORS = "\nErrors:\n"
LISTS = re.compile(r"\n(Errors:\n|Every RPC can also answer)")


def said(kind: Descriptor | MethodDescriptor | ServiceDescriptor) -> str:
    """A comment without the name that it starts with, up to its list of errors, which the answers repeat."""
    text = LISTS.split(comments.kept()[kind.full_name])[0].strip().removeprefix(f"{kind.name} ")
    return text[0].upper() + text[1:]
