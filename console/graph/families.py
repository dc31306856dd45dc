"""Families of nodes, by the class's dotted name, with an icon for each."""

_BY_NAME = {
    "Input": "input",
    "Output": "output",
    "Choice": "choice",
    "Map": "map",
    "Python": "code",
    "PythonCodeExecutor": "code",
    "PythonMonty": "code",
    "Expression": "code",
    "E2BInterpreterTool": "code",
    "DaytonaInterpreterTool": "code",
    "VectorStoreRetriever": "retriever",
    "VectorStoreWriter": "retriever",
    "KnowledgeGraphRetriever": "retriever",
    "SubAgentTool": "agent",
    "SubWorkflow": "map",
    "DecisionTable": "choice",
    "Rules": "choice",
}
_BY_MODULE = {
    "agents": "agent",
    "llms": "llm",
    "tools": "tool",
    "knowledgebases": "retriever",
    "retrievers": "retriever",
    "embedders": "retriever",
    "rankers": "retriever",
    "writers": "retriever",
    "validators": "validator",
    "detectors": "validator",
    "converters": "document",
    "splitters": "document",
    "parsers": "document",
    "extractors": "document",
    "transformers": "document",
}
OTHER = "other"

ICONS = {
    "agent": "M12 3v3M6 9h12a2 2 0 0 1 2 2v6a2 2 0 0 1-2 2H6a2 2 0 0 1-2-2v-6a2 2 0 0 1 2-2M9 13v2M15 13v2",
    "llm": "M11 4l1.8 5.2L18 11l-5.2 1.8L11 18l-1.8-5.2L4 11l5.2-1.8zM18.5 15.5v5M16 18h5",
    "tool": "M14.5 6.5a4.5 4.5 0 0 0-6 5.6L3.5 17a2.1 2.1 0 0 0 3 3l5-5a4.5 4.5 0 0 0 5.6-6L14.3 11.5l-2-.3-.3-2z",
    "retriever": (
        "M5 6c0-1.5 3.1-2.5 7-2.5s7 1 7 2.5-3.1 2.5-7 2.5-7-1-7-2.5M5 6v12c0 1.5 3.1 2.5 7 2.5s7-1 7-2.5V6"
        "M5 12c0 1.5 3.1 2.5 7 2.5s7-1 7-2.5"
    ),
    "code": "M8.5 7l-5 5 5 5M15.5 7l5 5-5 5M13.5 5l-3 14",
    "choice": "M3 12h6l5-6h6M9 12l5 6h6M17 3l3 3-3 3M17 15l3 3-3 3",
    "input": "M13 4h5a2 2 0 0 1 2 2v12a2 2 0 0 1-2 2h-5M3 12h11M10 8l4 4-4 4",
    "output": "M11 4H6a2 2 0 0 0-2 2v12a2 2 0 0 0 2 2h5M10 12h11M17 8l4 4-4 4",
    "map": "M4 5h10v6H4zM8 15h12M8 19h12M17 5h3M17 8h3",
    "validator": "M12 3l7.5 3v5.5c0 4.5-3.2 7.8-7.5 9.5-4.3-1.7-7.5-5-7.5-9.5V6zM8.5 12l2.5 2.5 4.5-5",
    "document": "M6 3h8l5 5v13H6zM14 3v5h5M9 13h7M9 17h7",
    "other": "M12 3l8 4.5v9L12 21l-8-4.5v-9zM12 12l8-4.5M12 12v9M12 12L4 7.5",
}
"""SVG paths of strokes on a square of 24 px."""


def family_of(node_type: str) -> str:
    """The family of a type: a key of ICONS."""
    parts = node_type.split(".")[:20]
    module = next((_BY_MODULE[part] for part in reversed(parts[:-1]) if part in _BY_MODULE), OTHER)
    return _BY_NAME.get(parts[-1], module) if parts[0] == "dynamiq" else OTHER
