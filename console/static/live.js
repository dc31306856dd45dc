// Updates a page with data-watch: on each event it requests the page again and replaces the data-live parts. A part with the
// same data-mark is not replaced, so a graph keeps its position. The event `live` announces a replaced part. A hidden page
// closes its stream, because browsers allow few. If streams fail, it polls every few seconds.
import { offer } from "./copying.js";
import { refresh as tellTimes } from "./times.js";

const POLL_MS = 4_000, TOGETHER_MS = 60, AGAIN_MS = 30_000, CLICKED_MS = 1_500, LONGEST_PRESS_MS = 10_000;
const NAMES = [
  "position", "asked_for", "deploying", "live", "failed", "canceled", "ended", "marked",
  "saved", "archived", "unarchived", "deleted", "noted", "labeled", "unlabeled",
];
const address = document.querySelector("[data-watch]")?.dataset.watch;
let source, polling, waiting, running = false, again = false, pressedAt = -Infinity, clickedAt = -Infinity;

async function refresh() {
  if (running) { again = true; return; }
  running = true;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.redirected) return location.reload();
    if (answer.ok) put(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch { /* The next event or poll will update it. */ }
  running = false;
  if (again) { again = false; await refresh(); }
}

// While a button of the mouse is pressed, a replaced part would lose the click. After it, the part shows what it did.
function isClicking() {
  const now = performance.now();
  return now - clickedAt < CLICKED_MS || (pressedAt > clickedAt && now - pressedAt < LONGEST_PRESS_MS);
}

function put(page) {
  if (isClicking()) return soon(CLICKED_MS);
  for (const shown of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(shown.id);
    if (!fresh || (shown.dataset.mark ? fresh.dataset.mark === shown.dataset.mark : fresh.innerHTML === shown.innerHTML)) continue;
    const focused = shown.contains(document.activeElement) ? document.activeElement : null;
    if (focused?.matches("input, textarea, select")) continue;
    const link = focused?.getAttribute("href");
    if (shown.querySelector("details.menu[open]")) fresh.querySelector("details.menu")?.setAttribute("open", "");
    shown.replaceWith(fresh);
    offer(fresh);
    tellTimes(fresh);
    fresh.dispatchEvent(new CustomEvent("live", { bubbles: true }));
    if (link) fresh.querySelector(`[href="${CSS.escape(link)}"]`)?.focus();
  }
}

const soon = (ms) => { clearTimeout(waiting); waiting = setTimeout(refresh, ms); };

function poll() {
  if (polling) return;
  polling = setInterval(refresh, POLL_MS);
  setTimeout(() => { if (!document.hidden) open(); }, AGAIN_MS);
}

function open() {
  close();
  source = new EventSource(address);
  source.onopen = () => { clearInterval(polling); polling = undefined; };
  for (const name of NAMES) source.addEventListener(name, () => soon(TOGETHER_MS));
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) poll(); };
}

function close() {
  source?.close();
  clearInterval(polling);
  polling = undefined;
}

if (address) {
  document.addEventListener("pointerdown", () => { pressedAt = performance.now(); }, true);
  for (const end of ["pointerup", "pointercancel", "click"]) {
    document.addEventListener(end, () => { clickedAt = performance.now(); }, true);
  }
  if (!document.hidden) open();
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);
}
// A select with data-choose submits its form immediately. Without scripts the form has a button.
document.addEventListener("change", (event) => event.target.closest?.("[data-choose]")?.form.requestSubmit());
