"""`${…}` in a config.yaml. tests/sdk compares the same cases with OmegaConf."""

import pytest

from workflow_service.dynamiq_config.interpolation import Reference, Unreadable, Variable, escape, parse


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", [""]),
        ("$x {y} $", ["$x {y} $"]),
        (r"\${x}", ["${x}"]),
        (r"a \\${x} b", ["a \\", Reference(0, ("x",)), " b"]),
        (r"\\\${x}", [r"\${x}"]),
        ("$${x}", ["$", Reference(0, ("x",))]),
        ("${a.b[0][c]}", [Reference(0, ("a", "b", "0", "c"))]),
        ("${..a}", [Reference(2, ("a",))]),
        ("${ oc.env : KEY }", [Variable("KEY")]),
        ('${oc.env:"KEY"}', [Variable("KEY")]),
        ("${oc.env:A}-${oc.env:B}", [Variable("A"), "-", Variable("B")]),
    ],
)
def test_a_text_with_interpolations_is_split_into_its_parts(text, pieces):
    assert parse(text) == pieces


@pytest.mark.parametrize(
    ("written", "default"),
    [
        ('""', ""),
        ("", ""),
        ("null", None),
        ("NULL", None),
        ("None", "None"),
        ("true", "True"),
        ("8080", "8080"),
        ("1_000", "1000"),
        ("1.50", "1.5"),
        ("012345678901", "012345678901"),
        ("00", "00"),
        ("01.5", "01.5"),
        ("1__0", "1__0"),
        ("1e05", "100000.0"),
        (r"a\ ", "a "),
        ("a: ", "a: "),
        (r"a\: ", "a:"),
        ("0x10", "0x10"),
        ("a b c", "a b c"),
        ("http://host:80", "http://host:80"),
        (r"a\,b", "a,b"),
        ("'it'", "it"),
        (r'"a\"b"', 'a"b'),
        (r'"a\\"', "a\\"),
        (r'"a\b\\c"', r"a\b\\c"),
        (r'"\${x}"', "${x}"),
        ('"}"', "}"),
        ('"a\nb"', "a\nb"),
    ],
)
def test_the_default_of_a_variable_is_the_text_that_the_sdks_loader_makes(written, default):
    assert parse(f"${{oc.env:KEY,{written}}}") == [Variable("KEY", default, has_default=True)]


@pytest.mark.parametrize(
    "default", ["", "a", "8080", "True", 'a"b', "a\\", "\\\\", "${x}", "\\${x}", '\\"', "}\n{", "é'😀"]
)
def test_the_default_of_a_variable_reads_back_unchanged(default):
    variable = Variable("KEY", default, has_default=True)

    assert parse(variable.text()) == [variable]


@pytest.mark.parametrize("text", ["${x}", "a ${x} ${", "\\${x}", "\\\\${", "$${", "a\\", "${oc.env:KEY}"])
def test_an_escaped_text_reads_back_unchanged(text):
    assert parse(escape(text)) == [text]


@pytest.mark.parametrize(
    "text",
    [
        "${",
        "${x",
        "${}",
        "${oc.env:}",
        "${oc.env:1A}",
        "${oc.env:A-B}",
        "${oc.env:A,b,c}",
        "${oc.env:A,[1]}",
        "${oc.env:A,{b:1}}",
        "${oc.env:A,${b}}",
        '${oc.env:A,"${b}"}',
        '${oc.env:A,"b"c"}',
        "${oc.decode:x}",
        "${env:A}",
        "${a b}",
    ],
)
def test_an_unsupported_interpolation_is_refused(text):
    with pytest.raises(Unreadable):
        parse(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("${oc.env:A,${oc.env:B}}", r"another variable: write \$\{oc\.env:NAME\}, or a plain default"),
        ('${oc.env:A,"x${b}"}', r"another variable: write \$\{oc\.env:NAME\}, or a plain default"),
        ("${oc.env:A,[1]}", r'put it in quotes, as in \$\{oc\.env:NAME,"a, b"\}'),
        ("${oc.decode:${oc.env:PORT}}", r"oc\.decode: write \$\{oc\.env:NAME\}"),
    ],
)
def test_the_refusal_of_an_interpolation_says_what_to_write(text, sentence):
    with pytest.raises(Unreadable, match=sentence):
        parse(text)
