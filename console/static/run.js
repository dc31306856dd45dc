// Sends a form with data-run-form whose Stream box is checked, and shows the answer as it arrives, in events of
// console/trials.py. Without scripts or the box, the page contains the whole answer.
import { offer } from "./copying.js";

const frame = document.querySelector("[data-run]");
let calling = null;

function parsed(html) {
  return new DOMParser().parseFromString(html, "text/html");
}

function put(place, nodes) {
  place.replaceChildren(...nodes);
  offer(place);
}

const shown = {
  begin: ({ html }, answer) => put(answer, parsed(html).body.childNodes),
  text: ({ text }, answer) => answer.querySelector("[data-run-text]").append(text),
  nodes: ({ html }, answer) => put(answer.querySelector("[data-run-nodes]"), parsed(html).body.childNodes),
  done: ({ html }, answer) => put(answer, parsed(html).body.childNodes),
};

async function follow(answer, body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "", last = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return last === "done";
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const name = /^event: (.*)$/m.exec(block)?.[1];
      const data = [...block.matchAll(/^data: (.*)$/gm)].map((line) => line[1]).join("");
      if (name in shown) { shown[name](JSON.parse(data), answer); last = name; }
    }
  }
}

function say(answer, text) {
  const line = document.createElement("p");
  line.setAttribute("role", "alert");
  line.textContent = text;
  answer.append(line);
}

async function run(form) {
  const answer = frame.querySelector("[data-run-answer]");
  const button = form.querySelector("button:not([type])"), stop = form.querySelector("[data-run-stop]");
  calling = new AbortController();
  button.disabled = true;
  stop.hidden = false;
  try {
    const sent = {
      method: "POST", body: new URLSearchParams(new FormData(form)), headers: { "X-Part": "stream" }, signal: calling.signal,
    };
    const answered = await fetch(form.action, sent);
    if (answered.headers.get("Content-Type")?.startsWith("text/event-stream")) {
      if (!await follow(answer, answered.body)) say(answer, "The connection ended before the answer did.");
    } else {
      const fresh = parsed(await answered.text()).querySelector("[data-run]");
      if (fresh && !answered.redirected) put(frame, fresh.childNodes);
      else window.location.reload();
    }
  } catch (error) {
    say(answer, error.name === "AbortError" ? "Stopped: the run was canceled." : "The console does not answer. Try again.");
  }
  button.disabled = false;
  stop.hidden = true;
  calling = null;
}

document.addEventListener("submit", (event) => {
  const form = event.target.closest("[data-run-form]");
  if (!form?.querySelector("[data-stream]").checked) return;
  event.preventDefault();
  if (!calling) run(form);
});
document.addEventListener("click", (event) => {
  if (event.target.closest?.("[data-run-stop]")) calling?.abort();
});
