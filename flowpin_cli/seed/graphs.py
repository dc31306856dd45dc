"""Graphs as people draw them, and the edits between one save and the next."""

import json
import random
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flowpin_cli.seed.texts import CODE, MODELS, SENTENCES

Node = dict[str, Any]

MOST_ADDED = 2
SNAPSHOT_EVERY = 16
_LLM, _AGENT, _PYTHON = "dynamiq.nodes.llms.OpenAI", "dynamiq.nodes.agents.Agent", "dynamiq.nodes.tools.Python"


def canonical(value: Any) -> str:
    """JSON with sorted keys and without white space. A flow's digest is the SHA-256 of these bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class Graph:
    """A flow and its layout of about `size` bytes together, changed by `edit()` as a person would change it."""

    def __init__(self, rng: random.Random, size: int) -> None:
        self._rng = rng
        self._id = str(UUID(int=rng.getrandbits(128), version=4))
        self._texts: dict[str, list[str]] = {}
        """The sentences of a prompt or the lines of a program, by node."""
        self._nodes: list[Node] = []
        self._json: list[str] = []
        """Each node as canonical JSON. An edit replaces one of them."""
        self._positions: list[tuple[int, int]] = []
        self._added = 0
        self._names = 0
        self._build(size)
        self._keep()
        self._edits = 0

    @property
    def flow(self) -> bytes:
        """Canonical JSON."""
        return f'{{"id":"{self._id}","nodes":[{",".join(self._json)}]}}'.encode()

    @property
    def flow_ui(self) -> bytes:
        return self._flow_ui

    def edit(self) -> str:
        """Make one change, as between two saves, and return a description. Some changes do not affect what runs."""
        self._edits += 1
        if self._edits % SNAPSHOT_EVERY == 0:
            self._keep()
        dice = self._rng.random()
        if dice < 0.04:
            return "Saved again before the demo"
        if dice < 0.07 and self._edits > 1:
            return self._go_back()
        if dice < 0.12:
            return self._move()
        if dice < 0.17:
            return self._remove() if self._rng.randrange(MOST_ADDED) < self._added else self._add()
        return self._set() if dice < 0.27 else self._reword()

    def _build(self, size: int) -> None:
        schema = {"type": "object", "properties": {"text": {"type": "string"}, "items": {"type": "list[any]"}}}
        self._append({"id": "input", "name": "input", "type": "dynamiq.nodes.utils.Input", "schema": schema})
        families = (self._llm, self._python, self._agent, self._search, self._http)
        for number in range(10_000):
            self._append(families[number % len(families)]())
            if sum(map(len, self._json)) + 135 * len(self._json) + 1_200 > size:
                break
        self._append({"id": "output", "name": "output", "type": "dynamiq.nodes.utils.Output", "depends": []})
        self._connect_output()
        self._draw()
        while self._size() < size:
            node_id = self._rng.choice(list(self._texts))
            self._texts[node_id].append(self._rng.choice(self._pool(node_id)))
            self._write_text(node_id)

    def _size(self) -> int:
        return sum(map(len, self._json)) + len(self._flow_ui)

    def _append(self, node: Node) -> None:
        self._place(len(self._nodes), node)

    def _place(self, index: int, node: Node) -> None:
        self._nodes.insert(index, node)
        self._json.insert(index, canonical(node))
        self._positions.insert(index, (378 * index, self._rng.randrange(0, 600, 5)))

    def _rewrite(self, index: int, **fields: Any) -> None:
        # A new list, because a snapshot may refer to the old one.
        self._nodes[index] = self._nodes[index] | fields
        self._json[index] = canonical(self._nodes[index])

    def _new_name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}-{self._names}"

    def _after(self, kind: str) -> Node:
        """The common part of nodes that depend on the previous one."""
        name, before = self._new_name(kind), self._nodes[-1]["id"]
        transformer = {"selector": {"text": f"$.{before}.output.content"}}
        return {"id": name, "name": name, "depends": [{"node": before}], "input_transformer": transformer}

    def _prompt(self, node_id: str) -> str:
        self._texts[node_id] = self._rng.sample(SENTENCES, 3)
        return "\n".join(self._texts[node_id])

    def _llm_fields(self) -> Node:
        connection = {"type": "dynamiq.connections.OpenAI"}
        temperature = self._rng.randrange(0, 11) / 10
        model = self._rng.choice(MODELS)
        return {"type": _LLM, "connection": connection, "model": model, "temperature": temperature, "max_tokens": 2000}

    def _llm(self) -> Node:
        node = self._after("llm")
        prompt = {"messages": [{"role": "system", "content": self._prompt(node["id"])}, _QUESTION]}
        return node | self._llm_fields() | {"prompt": prompt}

    def _agent(self) -> Node:
        node = self._after("agent")
        tools = [
            {"id": f"{node['id']}-search", "type": "dynamiq.nodes.tools.TavilyTool", "name": "Search",
             "connection": {"type": "dynamiq.connections.Tavily"}},
            {"id": f"{node['id']}-code", "type": _PYTHON, "name": "Calculator", "code": _program(CODE[:2])},
        ]  # fmt: skip
        llm = {"id": f"{node['id']}-llm", **self._llm_fields()}
        return node | {"type": _AGENT, "role": self._prompt(node["id"]), "llm": llm, "tools": tools, "max_loops": 8}

    def _python(self) -> Node:
        node = self._after("python")
        self._texts[node["id"]] = self._rng.sample(CODE, 3)
        return node | {"type": _PYTHON, "code": _program(self._texts[node["id"]])}

    def _search(self) -> Node:
        connection = {"type": "dynamiq.connections.Tavily"}
        return self._after("search") | {
            "type": "dynamiq.nodes.tools.TavilyTool", "connection": connection, "max_results": 5,
            "search_depth": "basic",
        }  # fmt: skip

    def _http(self) -> Node:
        connection = {"type": "dynamiq.connections.Http", "method": "GET", "url": "https://erp.example.org/v2/orders"}
        return self._after("http") | {
            "type": "dynamiq.nodes.tools.HttpApiCall", "connection": connection, "response_type": "json",
        }  # fmt: skip

    def _connect_output(self) -> None:
        before = self._nodes[-2]["id"]
        transformer = {"selector": {"output": f"$.{before}.output.content"}}
        self._rewrite(-1, depends=[{"node": before}], input_transformer=transformer)

    def _pool(self, node_id: str) -> tuple[str, ...]:
        return CODE if node_id.startswith("python") else SENTENCES

    def _write_text(self, node_id: str) -> None:
        index = next(index for index, node in enumerate(self._nodes) if node["id"] == node_id)
        node, texts = self._nodes[index], self._texts[node_id]
        if node["type"] == _PYTHON:
            self._rewrite(index, code=_program(texts))
        elif node["type"] == _AGENT:
            self._rewrite(index, role="\n".join(texts))
        else:
            messages = [{"role": "system", "content": "\n".join(texts)}, _QUESTION]
            self._rewrite(index, prompt={"messages": messages})

    def _reword(self) -> str:
        node_id = self._rng.choice(list(self._texts))
        texts, new = self._texts[node_id], self._rng.choice(self._pool(node_id))
        texts[self._rng.randrange(len(texts))] = new
        self._write_text(node_id)
        return f"Reword {node_id}: {new.strip()[:60]}"

    def _set(self) -> str:
        models = [index for index, node in enumerate(self._nodes) if node["type"] in (_LLM, _AGENT)]
        index = self._rng.choice(models)
        new = {"model": self._rng.choice(MODELS), "temperature": self._rng.randrange(0, 11) / 10}
        node = self._nodes[index]
        if node["type"] == _AGENT:
            self._rewrite(index, llm=node["llm"] | new)
        else:
            self._rewrite(index, **new)
        return f"Try {new['model']} at temperature {new['temperature']} in {node['id']}"

    def _add(self) -> str:
        output, output_json, output_position = self._nodes.pop(), self._json.pop(), self._positions.pop()
        node = self._python()
        self._append(node)
        self._nodes.append(output)
        self._json.append(output_json)
        self._positions.append(output_position)
        self._added += 1
        self._reconnected()
        return f"Add the node {node['id']}"

    def _remove(self) -> str:
        removed = self._nodes.pop(-2)
        del self._json[-2], self._positions[-2], self._texts[removed["id"]]
        self._added -= 1
        self._reconnected()
        return f"Remove the node {removed['id']}"

    def _reconnected(self) -> None:
        self._connect_output()
        self._draw()
        self._keep()  # a node's edge goes back only within one set of nodes

    def _keep(self) -> None:
        texts = {node_id: list(lines) for node_id, lines in self._texts.items()}
        self._snapshot = (list(self._nodes), list(self._json), texts)

    def _go_back(self) -> str:
        nodes, node_json, texts = self._snapshot
        self._nodes, self._json = list(nodes), list(node_json)
        self._texts = {node_id: list(lines) for node_id, lines in texts.items()}
        return "Back to how it was"

    def _move(self) -> str:
        index = self._rng.randrange(len(self._nodes))
        x, y = self._positions[index]
        self._positions[index] = (x, (y + 35) % 600)
        self._draw()
        return "Tidy up the canvas"

    def _draw(self) -> None:
        nodes = ",".join(
            f'{{"id":"{node["id"]}","type":"{node["type"]}","position":{{"x":{x},"y":{y}}}}}'
            for node, (x, y) in zip(self._nodes, self._positions, strict=True)
        )
        edges = ",".join(
            f'{{"id":"{edge["node"]}-{node["id"]}","source":"{edge["node"]}","target":"{node["id"]}"}}'
            for node in self._nodes
            for edge in node.get("depends", ())
        )
        self._flow_ui = f'{{"nodes":[{nodes}],"edges":[{edges}]}}'.encode()


_QUESTION: Mapping[str, str] = {"role": "user", "content": "{{ text }}"}


def _program(lines: Any) -> str:
    return "\n".join(["def run(input_data):", *lines, '    return {"content": input_data}', ""])
