// Shows /openapi.json: every call with what it takes, what it answers and how it fails. Needs nothing from elsewhere.
"use strict";

let api;

/** An element: `make("a", { href: "#x" }, "text", child, …)`. All text is text, never markup. */
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

const follow = (part) => (part.$ref ? part.$ref.slice(2).split("/").reduce((found, key) => found[key], api) : part);

const inline = (line) => line.split("`").map((part, index) => (index % 2 ? make("code", {}, part) : part));

const cells = (kind, line) => make("tr", {}, ...line.split("|").slice(1, -1).map((cell) => make(kind, {}, ...inline(cell.trim()))));

/** The little Markdown that comments hold: paragraphs, headings, lists, tables, blocks of code, `code`. */
function prose(text) {
  const block = (each) => {
    if (each.startsWith("- ")) return make("li", {}, ...inline(each.slice(2)));
    if (each.startsWith("## ")) return make("h2", {}, each.slice(3));
    if (each.startsWith("```")) return make("pre", { tabindex: "0" }, each.slice(4, -4));
    if (!each.startsWith("|")) return make("p", {}, ...inline(each));
    const [head, , ...lines] = each.split("\n");
    return make("table", {}, make("thead", {}, cells("th", head)), make("tbody", {}, ...lines.map((line) => cells("td", line))));
  };
  return make("div", {}, ...text.trim().split(/\n\n+|\n(?=- )/).map(block));
}

/** A schema resolved as far as it names things, without the null that optional fields take. */
function plain(schema) {
  const found = follow((schema.anyOf || []).find((each) => each.$ref) || schema);
  const [type] = [found.type].flat();
  return { ...found, type, name: type === "object" ? nameOf(schema) : "" };
}

const nameOf = (schema) => ((schema.anyOf || [schema]).find((each) => each.$ref)?.$ref || "").split("/").pop();

function typeOf(schema) {
  const found = plain(schema);
  if (found.type === "array") return `list of ${typeOf(found.items)}`;
  if (found.enum) return found.enum.join(" | ");
  const limits = [
    found.format,
    found.pattern,
    found.maxLength && `up to ${found.maxLength} characters`,
    found.maximum < 2 ** 31 - 1 && `${found.minimum} to ${found.maximum}`,
    found.default !== undefined && `default ${found.default}`,
  ];
  return [found.type ?? "any value", ...limits.filter(Boolean)].join(", ");
}

/** A path that may break after its dots. */
const breakable = (name) => name.split(/(?<=\.)/).flatMap((part) => [make("wbr", {}), part]);

function row(name, mark, type, description) {
  const marked = mark && make("span", { class: mark === "required" ? "must" : "may" }, ` ${mark}`);
  const first = make("td", {}, make("code", {}, ...breakable(name)), marked || null, make("span", { class: "type" }, type));
  return make("tr", {}, first, make("td", {}, prose(description || "")));
}

const asked = (required) => (required ? "required" : "");
const answered = (required) => (required ? "" : "optional");

/** A row for each field, those of objects inside below it, as `latest_version.id`. `mark` says what stands at a field. */
function rows(schema, mark, prefix = "", above = []) {
  const found = plain(schema);
  if (found.type === "array") return rows(found.items, mark, prefix.replace(/\.$/, "[]."), above);
  if (above.includes(found.name) && found.name) return [];
  return Object.entries(found.properties || {}).flatMap(([name, field]) => [
    row(prefix + name, mark(found.required?.includes(name)), typeOf(field), field.description),
    ...rows(field, mark, `${prefix}${name}.`, [...above, found.name]),
  ]);
}

const section = (title, ...content) => make("section", {}, make("h3", {}, title), ...content);
const table = (found) => make("table", {}, make("tbody", {}, ...found));

function copied(title, text) {
  const button = make("button", { type: "button" }, "copy");
  button.hidden = !navigator.clipboard; // browsers have it over https and on localhost only
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "copied";
  });
  return make("div", {}, make("h3", {}, title, button), make("pre", { tabindex: "0" }, text));
}

function curl(verb, path, parameters, body) {
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => parameters.find((each) => each.name === name).example);
  const query = parameters.filter((each) => each.in === "query" && each.required).map((each) => `${each.name}=${each.example}`);
  const lines = [`curl "$FLOWPIN_URL${filled}${query.length ? `?${query.join("&")}` : ""}"`, '-H "Authorization: Bearer $FLOWPIN_TOKEN"'];
  if (verb !== "get") lines.splice(1, 0, `-X ${verb.toUpperCase()}`);
  if (parameters.some((each) => each.name === "Idempotency-Key")) lines.push('-H "Idempotency-Key: $(uuidgen)"');
  if (body && Object.keys(body).length) lines.push(`-d '${JSON.stringify(body).replaceAll("'", "'\\''")}'`);
  return lines.join(" \\\n  ");
}

/** The same over gRPC: what the RPC and its messages are called, and a call with grpcurl. */
function overGrpc(rpc) {
  const [, service, name] = rpc.match(/(.*)\.(.*)/);
  const targets = { deploy: "$FLOWPIN_DEPLOY_GRPC", run: "$FLOWPIN_RUN_GRPC" };
  const target = targets[service.split(".")[1]] || "$FLOWPIN_WORKFLOW_GRPC";
  const lines = ["grpcurl -plaintext", '-H "authorization: Bearer $FLOWPIN_TOKEN"', `"${target}" ${service}/${name}`];
  return [
    make("p", {}, make("code", {}, rpc), " takes a ", make("code", {}, `${name}Request`),
      ". Without ", make("code", {}, "-d"), " grpcurl sends an empty one; ",
      make("code", {}, `grpcurl … describe ${service.replace(/\w+$/, "")}${name}Request`), " lists its fields."),
    copied("grpcurl", lines.join(" \\\n  ")),
  ];
}

function failures(answers) {
  return answers.flatMap(([status, answer]) =>
    answer.description.split("\n").map((line) => {
      const [, reason, when] = line.match(/^- `(\w+)`: (.*)/) || [null, "", line];
      return row(status, "", reason, when);
    }),
  );
}

function inside(verb, path, call) {
  const parameters = call.parameters.map(follow);
  const [body] = Object.values(call.requestBody?.content || {});
  const answers = Object.entries(call.responses).map(([status, answer]) => [status, follow(answer)]);
  const [status, succeeded] = answers.find(([each]) => each.startsWith("2"));
  const [[type, content]] = Object.entries(succeeded.content);
  const headers = Object.entries(succeeded.headers).map(([name, header]) => row(name, "", "header", follow(header).description));
  const given = parameters.map((each) =>
    row(each.name, asked(each.required), `${each.in}, ${typeOf(each.schema)}`, each.description));
  return make(
    "div",
    { class: "inside" },
    prose(call.description.replace(/\s*Over gRPC: \S+$/, "") || call.summary),
    make("div", { class: "examples" },
      copied("curl", curl(verb, path, parameters, body?.example)),
      content.example ? copied(`${status}, for example`, JSON.stringify(content.example, null, 2)) : null),
    given.length ? section("Parameters", table(given)) : null,
    body && rows(body.schema, asked).length ? section("Body", table(rows(body.schema, asked))) : null,
    section(`${status} ${type}`, prose(succeeded.description), table([...rows(content.schema, answered), ...headers])),
    section("Otherwise", table(failures(answers.filter(([each]) => !each.startsWith("2"))))),
    section("gRPC", ...overGrpc(call["x-grpc-method"])),
  );
}

function card(verb, path, call) {
  const details = make("details", { class: "call", id: call.operationId },
    make("summary", {},
      make("code", { class: `verb ${verb}` }, verb.toUpperCase()), make("code", {}, path),
      make("span", { class: "said" }, ...inline(call.summary))));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(inside(verb, path, call));
  });
  return details;
}

/** All that search looks at: the call, and what it refers to. */
function textOf(part, seen = new Set()) {
  if (part === null || typeof part !== "object") return String(part);
  if (part.$ref && seen.has(part.$ref)) return "";
  seen.add(part.$ref);
  const words = Object.entries(part.$ref ? follow(part) : part).filter(([key]) => key !== "links" && key !== "example");
  return words.map(([key, value]) => `${key} ${textOf(value, seen)}`).join(" ");
}

/** How well a call fits the words of a search: 3 by its name or path, 2 by what is said of it, 1 by a field; 0 not. */
function rank(each, words) {
  if (words.every((word) => each.names.includes(word))) return 3;
  if (words.every((word) => each.said.includes(word))) return 2;
  return words.every((word) => each.text.includes(word)) ? 1 : 0;
}

/** Shows what a search finds, the best first and without sections; with nothing to search for, everything. */
function find(calls, groups, results, wanted) {
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  const found = calls.map((each) => [words.length ? rank(each, words) : 1, each]).sort(([one], [other]) => other - one);
  for (const [fits, each] of found) {
    each.card.hidden = each.entry.hidden = !fits;
    (words.length ? results.cards : each.group).append(each.card);
    (words.length ? results.entries : each.entries).append(each.entry);
  }
  for (const group of groups) group.hidden = words.length > 0;
  const count = found.filter(([fits]) => fits).length;
  results.status.textContent = words.length === 0 ? "" : count ? `${count} of ${calls.length} calls` : `No call has “${wanted}”.`;
}

function show() {
  const calls = Object.entries(api.paths).flatMap(([path, verbs]) =>
    Object.entries(verbs).map(([verb, call]) => {
      const names = `${call.operationId} ${verb} ${path}`.toLowerCase();
      const said = `${names} ${call.summary} ${call.description}`.toLowerCase();
      return { verb, path, call, names, said, text: `${names} ${textOf(call)}`.toLowerCase() };
    }));
  const main = document.getElementById("calls");
  const contents = document.getElementById("contents");
  const results = { cards: make("section", {}), entries: make("section", {}), status: make("p", { role: "status" }) };
  const about = prose(api.info.description);
  main.replaceChildren(results.status, results.cards, about);
  contents.append(results.entries);
  const groups = [about];
  for (const { name, description } of api.tags) {
    const id = name.replaceAll(" ", "-");
    const group = make("section", {}, make("h2", { id }, name), prose(description));
    const entries = make("section", {}, make("b", {}, make("a", { href: `#${id}` }, name)));
    for (const each of calls.filter(({ call }) => call.tags.includes(name))) {
      each.card = card(each.verb, each.path, each.call);
      each.entry = make("a", { href: `#${each.call.operationId}`, class: "call" }, each.call.operationId);
      [each.group, each.entries] = [group, entries];
      group.append(each.card);
      entries.append(each.entry);
    }
    main.append(group);
    contents.append(entries);
    groups.push(group, entries);
  }
  const search = document.getElementById("search");
  const inOrder = groups.flatMap((group) => calls.filter((each) => each.group === group));
  search.addEventListener("input", () => find(inOrder, groups, results, search.value));
}

/** On a small screen the contents are behind a button. */
function toggle(shown) {
  document.body.classList.toggle("menu", shown);
  document.getElementById("menu").setAttribute("aria-expanded", String(shown));
}

/** Shows, opens and marks what the address names. */
function open() {
  toggle(false);
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!named || !document.getElementById("calls").contains(named)) return;
  if (named.hidden || named.closest("[hidden]")) {
    const search = document.getElementById("search");
    search.value = "";
    search.dispatchEvent(new Event("input"));
  }
  for (const each of document.querySelectorAll(".marked")) each.classList.remove("marked");
  named.classList.add("marked");
  if (named instanceof HTMLDetailsElement) named.open = true;
  named.scrollIntoView();
  named.querySelector("summary")?.focus({ preventScroll: true });
}

document.getElementById("menu").addEventListener("click", () => toggle(!document.body.classList.contains("menu")));
document.getElementById("contents").addEventListener("click", (event) => {
  if (event.target.hash === location.hash) open(); // the address does not change
});

fetch("/openapi.json")
  .then((answer) => answer.json())
  .then((found) => {
    api = found;
    show();
    open();
    addEventListener("hashchange", open);
  })
  .catch((error) => document.getElementById("calls").replaceChildren(`Cannot show /openapi.json: ${error}`));
