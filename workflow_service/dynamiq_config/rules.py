"""Validators of the SDK's classes by name: those that check several fields, or more than the type of one.

Each receives the fields of an object and yields problems: the keys below the object, and a sentence. Fields may have
any type. The schema reports wrong types, so an exception in a rule is ignored. Problems are also ignored if the rule
has read an environment variable.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from posixpath import normpath
from typing import Any

Fields = Mapping[str, Any]
Found = Iterator[tuple[tuple[str | int, ...], str]]

BUILT = "$built"
"""The key of an object that the loader has built. Its value is the name of the class."""
REQUIRED = "is required"
_INDEX_NAME = re.compile(r"[a-z](?:[a-z0-9]*(-[a-z0-9]+)*)?")
_COLUMN_TYPES = ("Any", "string", "bool", "int", "float")
_HELPERS = ("has", "days_between", "date", "today", "len", "abs", "min", "max", "sum", "round")
_MAX_OPTIONS, _MAX_LEVELS = 255, 10


def _is_on(value: Any) -> bool:
    """Whether pydantic converts the value to true."""
    return value in (True, 1) or (isinstance(value, str) and value.lower() in ("true", "1", "t", "yes", "y", "on"))


def _repeated(names: list[Any]) -> list[int]:
    """The indexes of names that repeat an earlier one."""
    return [index for index, name in enumerate(names) if isinstance(name, str) and name in names[:index]]


def _connection_or(*others: str) -> Callable[[Fields], Found]:
    def rule(fields: Fields) -> Found:
        if not any(fields.get(key) for key in ("connection", *others)):
            yield ("connection",), REQUIRED

    return rule


def _connection_unless(other: str, is_needed: bool) -> Callable[[Fields], Found]:
    def rule(fields: Fields) -> Found:
        given = fields.get(other)
        if given is not None and not fields.get("connection") and (is_needed or not given):
            yield ("connection",), REQUIRED

    return rule


def _not_null(key: str) -> Callable[[Fields], Found]:
    """A rule that refuses null for this field."""

    def rule(fields: Fields) -> Found:
        if fields.get(key, "") is None:
            yield (key,), "must be an object"

    return rule


def _hooks_of_a_manager(fields: Fields) -> Found:
    if fields.get("hooks"):
        yield ("hooks",), "must be empty: a manager runs no hooks"


def _hook_names(fields: Fields) -> Found:
    for index in _repeated([hook.get("name") for hook in fields.get("hooks", []) if isinstance(hook, dict)]):
        yield ("hooks", index, "name"), "is the name of an earlier hook too"


def _search(fields: Fields) -> Found:
    others = ("reranking", "implicit_filter")
    kind = fields.get("search_type", "DEFAULT")
    if fields.get("managed_search") and (any(fields.get(key) for key in others) or kind != "DEFAULT"):
        yield ("managed_search",), "cannot be combined with search_type, reranking or implicit_filter"


def _managed_reranking(fields: Fields) -> Found:
    kind = fields.get("reranking_model_type")
    if fields.get("reranking") and kind != "CUSTOM":
        yield ("reranking_model_type",), 'must be "CUSTOM" beside reranking'
    elif kind == "CUSTOM" and not fields.get("reranking"):
        yield ("reranking",), REQUIRED


def _metadata_selection(fields: Fields) -> Found:
    include, exclude = fields.get("metadata_fields_to_include"), fields.get("metadata_fields_to_exclude")
    mode = fields.get("metadata_selection_mode")
    if include and exclude:
        yield ("metadata_fields_to_exclude",), "cannot be combined with metadata_fields_to_include"
    elif (include or exclude) and mode != "SELECTIVE":
        yield ("metadata_selection_mode",), 'must be "SELECTIVE" beside the fields of the metadata'
    elif mode == "SELECTIVE" and not (include or exclude):
        yield ("metadata_fields_to_include",), REQUIRED


def _routes(fields: Fields) -> Found:
    routes = fields["routes"]
    if routes == {}:
        yield ("routes",), "cannot be empty"
    mounted = set()
    for prefix in routes:
        mount = normpath(prefix.lstrip("/")) if prefix.lstrip("/") else "."
        if mount == ".":
            yield ("routes", prefix), "cannot have an empty prefix"
        elif mount in mounted:
            yield ("routes", prefix), "has the prefix of an earlier route"
        mounted.add(mount)


def _decision_table(fields: Fields) -> Found:
    sides = {side: fields.get(side) or [] for side in ("input_columns", "output_columns")}
    for side, columns in sides.items():
        for index, column in enumerate(columns):
            kind = column.get("type", "Any")
            if isinstance(kind, str) and kind not in _COLUMN_TYPES:
                yield (side, index, "type"), f"must be {', '.join(_COLUMN_TYPES[:-1])} or {_COLUMN_TYPES[-1]}"
        for index in _repeated([column.get("name") for column in columns]):
            yield (side, index, "name"), "is the name of an earlier column too"
    for index, column in enumerate(sides["output_columns"]):
        if column.get("name") == "matched_rules":
            yield ("output_columns", index, "name"), "cannot be matched_rules, which names the rules that matched"
    for index, rule in enumerate(fields.get("rules") or []):
        enabled = rule.get("enabled", True)
        for key, side in (("when", "input_columns"), ("then", "output_columns")):
            if _is_on(enabled) and len(rule.get(key, [])) != len(sides[side]):
                yield ("rules", index, key), f"must have one cell for each of the {side.replace('_', ' ')}"


def _expressions(fields: Fields) -> Found:
    items = fields.get("expressions") or []
    for index, item in enumerate(items):
        if isinstance(item.get("key"), str) and not item["key"].isidentifier():
            yield ("expressions", index, "key"), "must be an identifier"
    for index in _repeated([item.get("key") for item in items]):
        yield ("expressions", index, "key"), "is the key of an earlier expression too"


def _rules(fields: Fields) -> Found:
    taken = {field.get("name") for field in fields.get("input_fields") or []}
    for index, value in enumerate(fields.get("derived_values") or []):
        name = value.get("name")
        if isinstance(name, str) and not name.isidentifier():
            yield ("derived_values", index, "name"), "must be an identifier"
        elif isinstance(name, str) and (name in taken or name in _HELPERS or name == "self"):
            yield ("derived_values", index, "name"), "is the name of an input, of a helper or of an earlier value too"
        if value.get("expression", "").strip() == "":
            yield ("derived_values", index, "expression"), "cannot be empty"
        taken.add(name)
    rules = fields.get("rules") or []
    for index in _repeated([rule.get("id") for rule in rules]):
        yield ("rules", index, "id"), "is the id of an earlier rule too"
    for index, rule in enumerate(rules):
        if not _is_on(rule.get("enabled", True)):
            continue
        if isinstance(check := rule.get("check", ""), str) and not check.strip():
            yield ("rules", index, "check"), "cannot be empty"


def _owner(fields: Fields) -> Found:
    if fields.get("user_id") is not None and fields.get("artifact_store_id") is None:
        yield ("artifact_store_id",), REQUIRED


def _fallback(fields: Fields) -> Found:
    if _is_on(fields.get("enabled")) and fields.get("llm") is None:
        yield ("llm",), REQUIRED


def _state(fields: Fields) -> Found:
    agents = ("dynamiq.nodes.agents.Agent", "dynamiq.nodes.agents.AgentManager", "dynamiq.nodes.agents.base.Agent")
    if not fields.get("manager") and any(task.get(BUILT) in agents for task in fields.get("tasks", [])):
        yield ("manager",), "is required where an agent is a task"


def _judgement(fields: Fields) -> Found:
    judge = fields["judge"].get(BUILT, "")
    system_one = judge == "dynamiq.nodes.detectors.SystemOne"
    if judge.startswith("dynamiq.") and not (
        system_one or judge.startswith(("dynamiq.nodes.llms.", "dynamiq.nodes.agents."))
    ):
        yield ("judge",), "must be a System One, an LLM or an agent"
    if fields.get("confidence_mode") == "sampling":
        if system_one:
            yield ("confidence_mode",), "cannot be sampling with a System One"
        elif int(fields.get("samples", 1)) < 2:
            yield ("samples",), "must be at least 2 where the confidence mode is sampling"
    for index in _repeated([question.get("name") for question in fields.get("questions", [])]):
        yield ("questions", index, "name"), "is the name of an earlier question too"


def _instructions(fields: Fields) -> Found:
    if not fields["instructions"].strip():
        yield ("instructions",), "cannot be empty"


def _question_options(fields: Fields) -> Found:
    if (kind := fields.get("type", "noul")) not in ("choice", "score"):
        return
    limit = _MAX_OPTIONS if kind == "choice" else _MAX_LEVELS
    names = [option["name"].strip() for option in fields.get("options", [])]
    if not 2 <= len(names) <= limit:
        yield ("options",), f"must have 2 to {limit} entries"
    for index, name in enumerate(names):
        if not name:
            yield ("options", index, "name"), "cannot be empty"
    for index in _repeated(names):
        yield ("options", index, "name"), "is the name of an earlier option too"


def _summarize(fields: Fields) -> Found:
    if _is_on(fields.get("summarize")) and fields.get("llm") is None:
        yield ("llm",), "is required to summarize"


def _milvus_file(fields: Fields) -> Found:
    if fields.get("deployment_type") == "file" and not fields.get("uri", ".db").endswith(".db"):
        yield ("uri",), "must end with .db where the deployment is a file"


def _custom_names(fields: Fields) -> Found:
    for name in fields.get("custom_patterns") or {}:
        if not re.fullmatch(r"[A-Z_]+", name):
            yield ("custom_patterns", name), "must be named by capital letters and _"


def _pii(fields: Fields) -> Found:
    if fields.get("entities", True) == [] and not fields.get("custom_patterns"):
        yield ("entities",), "cannot be empty without custom_patterns"
    if fields.get("scope") == "request" and fields.get("action", "mask") == "block":
        yield ("scope",), 'can be "request" only where the action is "mask"'


def _patterns(fields: Fields) -> Found:
    if not fields.get("patterns") and not fields.get("presets"):
        yield ("patterns",), "cannot be empty without presets"


def _tool_policy(fields: Fields) -> Found:
    deny, approval = fields.get("deny"), fields.get("approval")
    if not (_is_on(deny) or fields.get("allow_if") or _is_on(approval)):
        yield (), "needs deny, allow_if or approval"
    elif fields.get("approval_unless") and not _is_on(approval):
        yield ("approval",), "must be true beside approval_unless"


def _transform(fields: Fields) -> Found:
    before, after = fields.get("input_transformer", {}), fields.get("output_transformer", {})
    if before.get("path"):
        yield ("input_transformer", "path"), "cannot be set here; selector can"
    if not (before.get("selector") or fields.get("from_context") or after.get("path") or after.get("selector")):
        yield (), "needs an input_transformer with a selector, from_context or an output_transformer"


def _pinecone_index(fields: Fields) -> Found:
    if not _INDEX_NAME.fullmatch(fields.get("index_name", "a")):
        yield ("index_name",), "must be of lower-case letters, digits and single hyphens, a letter first"


def _pinecone_writer(fields: Fields) -> Found:
    if fields.get("vector_store") is not None:
        return
    kind = fields.get("index_type")
    if _is_on(fields.get("create_if_not_exist")) and kind is None:
        yield ("index_type",), "is required to create an index"
    # Missing fields come from the environment.
    for key in {"pod": ("environment", "pod_type"), "serverless": ("cloud", "region")}.get(kind or "", ()):
        if fields.get(key, True) is None:
            yield (key,), f"is required for a {kind} index"


def _skills(fields: Fields) -> Found:
    if _is_on(fields.get("enabled")) and fields.get("source") is None:
        yield ("source",), "is required where skills are enabled"


def _speakers(fields: Fields) -> Found:
    if fields.get("min") is not None and fields.get("max") is not None and float(fields["min"]) > float(fields["max"]):
        yield ("min",), "must not be greater than max"


def _steel(fields: Fields) -> Found:
    environment = fields.get("environment", "CLOUD")
    if environment == "CLOUD":
        if not fields.get("api_key", True):
            yield ("api_key",), "is required in the environment CLOUD"
        if fields.get("base_url"):
            yield ("base_url",), "cannot be set in the environment CLOUD"
    elif environment == "SELF_HOSTED" and fields.get("api_key"):
        yield ("api_key",), "cannot be set in the environment SELF_HOSTED"


def _sub_agent(fields: Fields) -> Found:
    agent, factory = fields.get("agent"), fields.get("agent_factory")
    if agent is None and factory is None:
        yield ("agent",), "is required, or agent_factory"
    elif agent is not None and factory is not None:
        yield ("agent_factory",), "cannot be combined with agent"


def _textract(fields: Fields) -> Found:
    queries, features = fields.get("queries"), fields.get("feature_types", [])
    if queries and "QUERIES" not in features:
        yield ("feature_types",), "must name QUERIES beside queries"
    elif "QUERIES" in features and not queries:
        yield ("queries",), "is required for the feature QUERIES"


def _vertex_search(fields: Fields) -> Found:
    pairs = (("vector_distance_threshold", "vector_similarity_threshold"), ("rank_service_model", "llm_ranker_model"))
    for one, other in pairs:
        if fields.get(one) not in (None, "") and fields.get(other) not in (None, ""):
            yield (other,), f"cannot be combined with {one}"
    parts = fields["rag_corpus_id"].split("/")
    is_name = len(parts) == 6 and parts[2] == "locations" and parts[4] == "ragCorpora" and all(parts)
    if parts[0] == "projects" and len(parts) > 1 and not is_name:
        yield ("rag_corpus_id",), "must be an id or projects/…/locations/…/ragCorpora/…"


def _sandbox_or_files(fields: Fields) -> Found:
    files, sandbox = fields.get("file_store") or {}, fields.get("sandbox") or {}
    if _is_on(files.get("enabled")) and _is_on(sandbox.get("enabled")):
        yield ("sandbox",), "cannot be enabled beside file_store"


RULES: dict[str, Callable[[Fields], Found]] = {
    "Agent.__init__": _sandbox_or_files,
    "Agent._hook_names_are_unique": _hook_names,
    "AgentManager._hooks_are_not_run": _hooks_of_a_manager,
    "BedrockKnowledgeBaseSearch.validate_search_configuration": _search,
    "BedrockManagedSearchConfig.validate_reranking": _managed_reranking,
    "BedrockRerankingConfig.validate_metadata_selection": _metadata_selection,
    "CompositeMemoryStore.normalize_route_prefixes": _routes,
    "ConnectionNode.validate_connection_client": _connection_or("client"),
    "DecisionTable.__init__": _decision_table,
    "Dynamiq.validate_owner": _owner,
    "Expression.__init__": _expressions,
    "FallbackConfig.validate_llm_required_when_enabled": _fallback,
    "GraphState.validate_manager": _state,
    "Judgement.validate_judge": _judgement,
    "JudgementQuestion.instructions_not_blank": _instructions,
    "JudgementQuestion.options_fit_type": _question_options,
    "KnowledgeGraphRetriever._validate_llm_requirements": _summarize,
    "KnowledgeGraphRetriever.validate_connection_client": _connection_or("graph_store"),
    "KnowledgeGraphWriter.validate_connection_store": _connection_or("graph_store"),
    "Milvus.validate_uri": _milvus_file,
    "PIIHook._check_custom_names": _custom_names,
    "PIIHook._compile": _pii,
    "PineconeDocumentWriter.check_required_params": _pinecone_writer,
    "PineconeVectorStoreParams.validate_index": _pinecone_index,
    "RegexHook._compile": _patterns,
    "Rules.__init__": _rules,
    "ScaleSerp.setup_params": _not_null("params"),
    "SkillsConfig.validate_enabled_source": _skills,
    "SpeakerHints.validate_bounds": _speakers,
    "SteelBrowser.validate_based_on_environment": _steel,
    "SubAgentTool.validate_agent_config": _sub_agent,
    "Tavily.setup_data": _not_null("data"),
    "TextractFileConverter.validate_configuration": _textract,
    "ToolPolicyHook._needs_a_rule": _tool_policy,
    "TransformHook._validate": _transform,
    "VectorStoreNode.validate_connection_client": _connection_or("vector_store"),
    "VertexAIRagSearch.validate_configuration": _vertex_search,
    "ZenRows.setup_params": _not_null("params"),
    "needs connection unless client": _connection_unless("client", True),
    "needs connection unless vector_store": _connection_unless("vector_store", True),
    "takes connection unless client": _connection_unless("client", False),
    "takes connection unless vector_store": _connection_unless("vector_store", False),
}
