"""Forms are split byte for byte, or refused with one message."""

import pytest

from service_kit.http.forms import FormMalformed, Part, parts_of

TYPE = "multipart/form-data; boundary=b"


def body(*parts: bytes) -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


def test_the_fields_and_files_of_a_form_keep_their_order():
    content = body(
        b'Content-Disposition: form-data; name="flow"\r\n\r\n{"a": 1}',
        b'Content-Disposition: form-data; name="files"; filename="a.bin"\r\nContent-Type: x/y\r\n\r\n\x00\r\n--\xff',
        b'Content-Disposition: form-data; name="empty"\r\n\r\n',
    )

    assert list(parts_of(TYPE, content)) == [
        Part("flow", None, "", b'{"a": 1}'),
        Part("files", "a.bin", "x/y", b"\x00\r\n--\xff"),
        Part("empty", None, "", b""),
    ]


def test_names_in_a_form_may_have_any_characters():
    content = body('Content-Disposition: form-data; name="ü"; filename="日本.txt"\r\n\r\nx'.encode())

    assert [(part.name, part.file_name) for part in parts_of(TYPE, content)] == [("ü", "日本.txt")]


def test_a_forms_boundary_may_be_quoted_and_text_around_its_parts_is_ignored():
    content = b"preamble\r\n" + body(b'Content-Disposition: form-data; name="a"\r\n\r\nx') + b"epilogue"

    (part,) = parts_of('multipart/form-data; charset=utf-8; boundary="b"', content)

    assert part == Part("a", None, "", b"x")


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        ("multipart/form-data", body()),
        ("multipart/form-data; boundary=", body()),
        (TYPE, b""),
        (TYPE, b"--b"),
        (TYPE, b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nnever ends'),
        (TYPE, body(b"")),
        (TYPE, body(b"Content-Disposition: form-data\r\n\r\nx")),
        (TYPE, body(b'Content-Disposition: attachment; name="a"\r\n\r\nx')),
        (TYPE, body(b"X: " + b"y" * 5000 + b'\r\nContent-Disposition: form-data; name="a"\r\n\r\nx')),
        (TYPE, body(*[b'Content-Disposition: form-data; name="a"\r\n\r\nx'] * 101)),
        (TYPE, body(b'Content-Disposition: form-data; name="a"\r\n\r\nx').replace(b"\r\n", b"\n")),
    ],
)
def test_a_malformed_form_is_refused(content_type, content):
    with pytest.raises(FormMalformed):
        list(parts_of(content_type, content))
