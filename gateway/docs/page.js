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

/** The little Markdown that comments hold: paragraphs, lists, `code`. */
function prose(text) {
  const blocks = text.trim().split(/\n\n+|\n(?=- )/);
  const block = (each) =>
    each.startsWith("- ") ? make("li", {}, ...inline(each.slice(2))) : make("p", {}, ...inline(each));
  return make("div", {}, ...blocks.map(block));
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
    call.description ? prose(call.description) : null,
    make("div", { class: "examples" },
      copied("curl", curl(verb, path, parameters, body?.example)),
      content.example ? copied(`${status}, for example`, JSON.stringify(content.example, null, 2)) : null),
    given.length ? section("Parameters", table(given)) : null,
    body && rows(body.schema, asked).length ? section("Body", table(rows(body.schema, asked))) : null,
    section(`${status} ${type}`, prose(succeeded.description), table([...rows(content.schema, answered), ...headers])),
    section("Otherwise", table(failures(answers.filter(([each]) => !each.startsWith("2"))))),
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

function show() {
  const calls = Object.entries(api.paths).flatMap(([path, verbs]) =>
    Object.entries(verbs).map(([verb, call]) => ({ verb, path, call, text: `${verb} ${path} ${textOf(call)}`.toLowerCase() })));
  const main = document.getElementById("calls");
  const contents = document.getElementById("contents");
  main.replaceChildren(prose(api.info.description));
  for (const tag of api.tags) {
    const group = make("section", {}, make("h2", {}, tag.name), prose(tag.description));
    const entries = make("section", {}, make("b", {}, tag.name));
    for (const each of calls.filter(({ call }) => call.tags.includes(tag.name))) {
      each.card = card(each.verb, each.path, each.call);
      each.entry = make("a", { href: `#${each.call.operationId}` }, each.call.operationId);
      group.append(each.card);
      entries.append(each.entry);
    }
    main.append(group);
    contents.append(entries);
  }
  const nothing = make("p", { role: "status" });
  main.append(nothing);
  const search = document.getElementById("search");
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/);
    for (const each of calls) each.card.hidden = each.entry.hidden = !words.every((word) => each.text.includes(word));
    for (const group of document.querySelectorAll("main > section, nav > section")) {
      group.hidden = !group.querySelector("details:not([hidden]), a:not([hidden])");
    }
    nothing.textContent = calls.every((each) => each.card.hidden) ? `No call has “${search.value}”.` : "";
  });
}

function open() {
  const named = document.getElementById(location.hash.slice(1));
  if (named instanceof HTMLDetailsElement) {
    named.open = true;
    named.scrollIntoView();
    named.querySelector("summary").focus({ preventScroll: true });
  }
}

fetch("/openapi.json")
  .then((answer) => answer.json())
  .then((found) => {
    api = found;
    show();
    open();
    addEventListener("hashchange", open);
  })
  .catch((error) => document.getElementById("calls").replaceChildren(`Cannot show /openapi.json: ${error}`));
