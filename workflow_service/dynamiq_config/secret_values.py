"""Recognizes secrets in a flow by the name of the field, by the shape of the text, or by the variable that it names.

Each pattern takes time in proportion to the text.
"""

import re
from functools import cache, lru_cache
from typing import Any, NamedTuple, TypeAlias

from workflow_service.dynamiq_config import catalogue
from workflow_service.dynamiq_config.interpolation import Variable

CONFIRMED = "confirmed_variables"
"""The key of a flow that lists variables which may be read anywhere in the flow. Its author confirmed that they are not
secret."""
FIELD = "is in a field for secrets: use a variable of the app, as exports leave it out"
SHAPE = "looks like a secret: use a variable of the app"
VARIABLE = (
    f"names a variable that may be somebody's secret: exports leave it out, unless the flow's `{CONFIRMED}` has it"
)

MAX_NAME_CHARS = 200
MIN_SECRET_CHARS = 12
"""Minimum length of a text that is recognized by its shape."""
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NO_WORD = re.compile(r"[^a-z0-9]+")
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:api_?keys?|secrets?|secret_?keys?|private_?key|access_?keys?(?:_id)?|(?:auth|signing|encryption|master)_?key"
    r"|password|passwd|pwd|passphrase|credentials?|authorization|cookies?|bearer|jwt"
    r"|(?:access|api|auth|bearer|bot|id|oauth|personal|refresh|secret|security|session)_?tokens?|pat|sas|dsn"
    r"|connection_?string|(?:database|db|redis|mongo|postgres|postgresql|mysql|amqp)_?(?:url|uri|dsn|connection)"
    r"|webhook_?url|(?<!stop_)(?<!pad_)(?<!eos_)(?<!bos_)(?<!unk_)(?<!next_)(?<!page_)(?<!mask_)(?<!special_)token)$"
)
_HARMLESS_HEADERS = frozenset(
    {"accept", "accept_charset", "accept_encoding", "accept_language", "cache_control", "connection", "date", "host"}
    | {"content_encoding", "content_language", "content_length", "content_type", "if_modified_since", "if_none_match"}
    | {"origin", "pragma", "prefer", "range", "referer", "traceparent", "user_agent", "x_request_id"}
    | {"x_requested_with"}
)
_HEADERS = frozenset(("headers", "http_headers", "extra_headers", "default_headers", "custom_headers"))
_SCHEMAS = frozenset(("schema", "response_format", "json_schema", "input_schema", "output_schema", "properties"))
_VALUES_OF_SCHEMAS = frozenset(("default", "const", "example", "examples", "enum"))

# Maps plain texts that a shape contains to its pattern. The search for a plain text is a hundred times as fast.
_VENDOR = (
    "tvly pplx jina fw xai csk nvapi lsv2 pcsk co voyage pa e2b fc dtn dapi r2 dop_v1 shpat rnd figd lin_api secret ntn"
)
_SHAPES = {
    ("AKIA", "ASIA"): r"\bA[KS]IA[0-9A-Z]{16}\b",
    ("AIza",): r"\bAIza[\w-]{35}",
    ("ya29.",): r"\bya29\.[\w-]{20}",
    # OpenAI, Anthropic, Stripe, Langfuse, OpenRouter
    ("sk-", "sk_", "pk-", "pk_", "rk-", "rk_"): r"\b[spr]k[-_](?:[a-z]{2,10}[-_])?[\w-]{10}",
    ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"): r"\bgh[pousr]_[A-Za-z0-9]{30}",
    ("github_pat_",): r"\bgithub_pat_\w{30}",
    ("glpat-",): r"\bglpat-[\w-]{20}",
    ("xox", "xapp-"): r"\bx(?:ox[abeprs]|app)-[\w-]{10}",
    ("hooks.slack.com/services/",): r"hooks\.slack\.com/services/\w",
    (".eyJ",): r"\beyJ[\w-]{10,2000}\.eyJ[\w-]{5}",
    ("PRIVATE KEY",): r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY",
    ("hf_", "gsk_", "r8_", "npm_"): r"\b(?:hf|gsk|r8|npm)_[A-Za-z0-9]{30}",
    ("pypi-",): r"\bpypi-[\w-]{30}",
    tuple(f"{vendor}{mark}" for vendor in _VENDOR.split() for mark in "-_"): (
        rf"\b(?:{'|'.join(_VENDOR.split())})[-_](?=[A-Za-z_-]{{0,23}}[0-9])[A-Za-z0-9_-]{{24}}"
    ),
    ("dyn_",): r"\bdyn_(?:pat|key|app)_\w{10}",
    ("SG.",): r"\bSG\.[\w-]{16,30}\.[\w-]{16}",
    ("SK", "AC"): r"\b(?:SK|AC)[0-9a-f]{32}\b",
    ("key-",): r"\bkey-[0-9a-f]{32}\b",
    ("-us",): r"\b[0-9a-f]{32}-us\d{1,2}\b",
    (":AA",): r"\b\d{8,10}:AA[\w-]{33}",
}
Shapes: TypeAlias = tuple[tuple[tuple[str, ...], re.Pattern[str]], ...]
"""Texts of which a shape contains one, and its pattern."""
ALL_SHAPES: Shapes = tuple((hints, re.compile(shape)) for hints, shape in _SHAPES.items())
_KEYWORDS = ("://", "bearer", "basic", "token", "key", "secret", "passw")
_LITERAL = r"(?:bearer|basic|token)\s{1,3}(?P<scheme>[\w.~+/=-]{8,})"
_URL = r"[a-z][a-z0-9+.-]{1,20}://[^\s/:@'\"]{0,64}:(?P<url>[^\s/@'\"]{1,128})@"
_ASSIGNED = (
    r"(?:api[-_]?key|secret|password|passwd|access[-_]?key|(?:access|auth|bearer)[-_]?token|client[-_]?secret|\btoken)"
    r"['\"]{0,2}\]?\s{0,3}[:=]\s{0,3}(?:[rbfu]?['\"](?P<quoted>[^'\"\s]{6,256})['\"]|(?<=[=])(?P<query>[\w.~%+/-]{6,256}))"
)
_KEYWORD = re.compile(rf"(?i:{_LITERAL}|{_URL}|{_ASSIGNED})")
_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}|\$\{[^{}]*\}|\{[\w.\[\]'\"]*\}|<[^<>]*>|\[[A-Z_ ]+\]")
_SELECTOR = re.compile(r"\$(?:[.\[]\S*)?")
_PLACEHOLDER = re.compile(
    r"(?:x{3,}|\*{3,}|\.{3,}|…|(?:my|your|the|some|an?)[-_ ].*|change[-_ ]?me|example|placeholder|redacted"
    r"|none|null|true|false|user|password|passwd|secret|token|(?:api[-_]?)?key|todo|bearer|basic|os\.environ.*|os\.getenv.*|input_data.*|str\(.*)",
    re.IGNORECASE,
)
_HINTS = [hint.encode() for hints in _SHAPES for hint in hints] + [b"\\u"]
_LOWER_HINTS = [
    hint.encode()
    for words in (
        '$env key secret passw pwd passphrase credential authorization cookie bearer basic jwt token pat" sas" dsn',
        "headers :// connectionstring connection_string connection-string database db_ dburl db-url redis mongo",
        "postgres mysql amqp webhook",
    )
    for hint in words.split()
]


def may_hold(flow: bytes) -> bool:
    """Whether a flow must be searched. True for each flow with a secret. Fast, because the flow is not parsed."""
    lowered = flow.lower()
    return any(hint in lowered for hint in _LOWER_HINTS) or any(hint in flow for hint in _HINTS)


def shapes_hinted_at(document: str) -> Shapes:
    """The shapes that texts of this JSON document can have."""
    if "\\u" in document:  # an escape can be any character
        return ALL_SHAPES
    return tuple(each for each in ALL_SHAPES if any(hint in document for hint in each[0]))


def words_of(name: str) -> str:
    """The name in one spelling: `X-API-Key`, `xApiKey` and `x_api_key` all become `x_api_key`."""
    return _NO_WORD.sub("_", _CAMEL.sub("_", name[:MAX_NAME_CHARS]).lower()).strip("_")


def is_secret_name(name: str) -> bool:
    """Whether the name of a field, header or variable says that it contains a secret."""
    return _SECRET_NAME.search(words_of(name)) is not None


class Place(NamedTuple):
    """Facts about a place in a document, from the keys above it."""

    is_secret: bool = False
    in_headers: bool = False
    in_schema: bool = False

    def below(self, key: str) -> "Place":
        return _below(self, key[:MAX_NAME_CHARS])

    @property
    def is_for_secrets(self) -> bool:
        return self.is_secret and not self.in_schema


@lru_cache(4096)
def _below(place: Place, key: str) -> Place:
    words = words_of(key)
    is_secret = place.is_secret or is_secret_name(words)
    if place.in_schema or words in _SCHEMAS:
        # A schema only describes a property such as `password`. Only its default could be a secret.
        return Place(is_secret=is_secret, in_schema=words not in _VALUES_OF_SCHEMAS)
    if place.in_headers:
        return Place(is_secret=place.is_secret or words not in _HARMLESS_HEADERS)
    if place.is_secret and words == "type":
        return NOWHERE
    return Place(is_secret=is_secret, in_headers=words in _HEADERS)


NOWHERE = Place()


def found_in(value: Any, place: Place, shapes: Shapes = ALL_SHAPES) -> str | None:
    """A sentence that says why a text or a number looks like a secret. None if it does not."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return FIELD if place.is_for_secrets and abs(value) >= 10_000 else None
    if not isinstance(value, str) or not value.strip():
        return None
    if place.is_for_secrets and not is_placeholder(value):
        return FIELD
    return SHAPE if has_secret_shape(value, shapes) else None


def has_secret_shape(text: str, shapes: Shapes = ALL_SHAPES) -> bool:
    """Whether a text contains a key of a known kind, a URL with a password, or an assignment such as `password=…`."""
    if len(text) < MIN_SECRET_CHARS:
        return False
    if any(any(hint in text for hint in hints) and shape.search(text) for hints, shape in shapes):
        return True
    lowered = text.lower()
    if not any(keyword in lowered for keyword in _KEYWORDS):
        return False
    for found in _KEYWORD.finditer(text):
        value = next(group for group in found.groups() if group is not None)
        if not is_placeholder(value) and (found["url"] or _is_mixed(value)):
            return True
    return False


def is_one_token(text: str) -> bool:
    """Whether the whole text is the secret. Otherwise it is a program or sentence that contains one."""
    return len(text) <= 4096 and not any(character.isspace() for character in text.strip())


def is_placeholder(text: str) -> bool:
    """Whether a text is a placeholder of a secret: a template, a selector, or words such as `your-key`."""
    text = text.strip()
    if _SELECTOR.fullmatch(text):
        return True
    left = _TEMPLATE.sub("", text[:2000]).strip() if len(text) <= 2000 else text
    words = left.split()
    if words and words[0].lower() in ("bearer", "basic", "token"):
        words = words[1:]
    return not words or (len(words) == 1 and _PLACEHOLDER.fullmatch(words[0]) is not None)


def _is_mixed(text: str) -> bool:
    """Whether a text has both letters and digits, like generated secrets, or is too long to be a word."""
    return (any(map(str.isdigit, text)) and any(map(str.isalpha, text))) or len(text) >= 40


def may_be_read(variable: Variable, place: Place, confirmed: frozenset[str]) -> bool:
    """Whether a variable may be named outside a connection, where no class defines which variables it reads."""
    if variable.name in confirmed:
        return True
    name_is_safe = variable.name not in _variables_of_classes() and not is_secret_name(variable.name)
    return name_is_safe and not place.is_for_secrets


def is_of_a_class(name: str) -> bool:
    """Whether a connection class reads a variable of this name."""
    return name in _variables_of_classes()


@cache
def _variables_of_classes() -> frozenset[str]:
    return catalogue.variables()


def confirmed_by(flow: dict[str, Any]) -> frozenset[str]:
    """The names of variables that a flow's author has confirmed."""
    names = flow.get(CONFIRMED)
    return frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()
