// Pans and zooms a graph, and shows a node's settings without reloading the page.

const MOST = 2.5;
const STEP = 1.25;
const READABLE = 0.6;
const NODE_WIDTH = 220;

class Canvas {
  constructor(frame) {
    this.element = frame.querySelector("[data-graph-canvas]");
    this.svg = frame.querySelector("[data-graph-svg]");
    this.sync = frame.dataset.graphSync;
    const { x, y, width, height } = this.svg.viewBox.baseVal;
    this.box = { x, y, width, height };
    this.pointers = new Map();
    this.wasDragged = false;
    this.element.classList.add("is-live");
    this.element.scrollTo(0, 0);
    this.view = { x, y, scale: 1 };
    this.nodes = this.svg.classList.contains("is-large") ? [...this.svg.querySelectorAll("[data-graph-node]")].map(place) : [];
    this.start();
    this.listen(frame);
  }

  get size() {
    return { width: this.element.clientWidth || 1, height: this.element.clientHeight || 1 };
  }

  get fitting() {
    const { width, height } = this.size;
    return Math.min(width / this.box.width, height / this.box.height, 1.15);
  }

  get least() {
    return Math.min(this.fitting, READABLE) / 2;
  }

  // Show the whole graph if it is readable, otherwise start at the selected, changed or first node.
  start() {
    if (this.fitting >= READABLE) return this.fit();
    const node = this.svg.querySelector("[aria-current]") ?? this.svg.querySelector(".is-marked") ?? this.first();
    if (!node) return this.fit();
    const { width, height } = this.size;
    const scale = Math.min(0.85, width / (NODE_WIDTH + 80));
    const { x, y, height: tall } = place(node);
    this.show({ x: x - Math.min(60 / scale, 0.1 * width / scale), y: y + tall / 2 - height / 2 / scale, scale });
  }

  first() {
    let best = null;
    for (const node of this.svg.querySelectorAll("[data-graph-node]")) {
      const { x } = place(node);
      if (!best || x < best.x) best = { x, node };
    }
    return best?.node;
  }

  fit() {
    const scale = this.fitting;
    const { width, height } = this.size;
    const middle = { x: this.box.x + this.box.width / 2, y: this.box.y + this.box.height / 2 };
    this.show({ x: middle.x - width / 2 / scale, y: middle.y - height / 2 / scale, scale });
  }

  show(view, { isSynced = false } = {}) {
    this.view = view;
    if (this.sync && !isSynced) {
      window.dispatchEvent(new CustomEvent("graph-view", { detail: { from: this, view } }));
    }
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      const { width, height } = this.size;
      const { x, y, scale } = this.view;
      this.svg.setAttribute("viewBox", `${x} ${y} ${width / scale} ${height / scale}`);
      this.drawNear(x, y, width / scale, height / scale);
      this.element.classList.toggle("is-far", scale < 0.4);
      this.element.classList.toggle("is-furthest", scale < 0.2);
    });
  }

  // In a large graph only visible and nearby nodes are drawn in detail.
  drawNear(x, y, width, height) {
    for (const item of this.nodes) {
      const isNear = item.x + item.width > x - width / 2 && item.x < x + 1.5 * width
        && item.y + item.height > y - height / 2 && item.y < y + 1.5 * height;
      if (isNear !== item.isNear) item.node.classList.toggle("is-near", isNear);
      item.isNear = isNear;
    }
  }

  pan(x, y) {
    const { scale } = this.view;
    this.show({ x: this.view.x + x / scale, y: this.view.y + y / scale, scale });
  }

  // Zooms around the point (x, y), in pixels from the corner.
  zoom(factor, x = this.size.width / 2, y = this.size.height / 2) {
    const before = this.view.scale;
    const scale = Math.min(MOST, Math.max(this.least, before * factor));
    this.show({ x: this.view.x + x / before - x / scale, y: this.view.y + y / before - y / scale, scale });
  }

  reveal(node) {
    const { x, y, width, height } = place(node);
    const { width: wide, height: tall } = this.size;
    const { scale } = this.view;
    const isShown = x >= this.view.x && y >= this.view.y
      && x + width <= this.view.x + wide / scale && y + height <= this.view.y + tall / scale;
    if (isShown) return;
    const readable = Math.max(scale, Math.min(READABLE, wide / (width + 40)));
    this.show({ x: x + width / 2 - wide / 2 / readable, y: y + height / 2 - tall / 2 / readable, scale: readable });
  }

  listen(frame) {
    const { element } = this;
    const tools = frame.querySelector("[data-graph-tools]");
    tools.hidden = false;
    tools.addEventListener("click", ({ target }) => this.act(target.closest("button")?.dataset.graphZoom));
    element.addEventListener("keydown", (event) => this.key(event));
    element.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    element.addEventListener("pointerdown", (event) => this.down(event));
    element.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, (event) => this.up(event));
    element.addEventListener("dragstart", (event) => event.preventDefault());
    element.addEventListener("click", (event) => this.wasDragged && event.preventDefault(), { capture: true });
    element.addEventListener("focusin", ({ target }) => {
      const node = target.closest("[data-graph-node]");
      element.scrollTo(0, 0);
      if (node?.matches(":focus-visible")) this.reveal(node);
    });
    let before = this.size;
    new ResizeObserver(() => {
      const now = this.size;
      if (now.width !== before.width || now.height !== before.height) this.show(this.view);
      before = now;
    }).observe(element);
    window.addEventListener("graph-view", ({ detail }) => {
      if (detail.from !== this && detail.from.sync === this.sync) this.show(detail.view, { isSynced: true });
    });
  }

  act(action) {
    if (action === "in") this.zoom(STEP);
    if (action === "out") this.zoom(1 / STEP);
    if (action === "fit") this.fit();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const actions = {
      ArrowLeft: () => this.pan(-80, 0),
      ArrowRight: () => this.pan(80, 0),
      ArrowUp: () => this.pan(0, -80),
      ArrowDown: () => this.pan(0, 80),
      "+": () => this.act("in"),
      "=": () => this.act("in"),
      "-": () => this.act("out"),
      0: () => this.act("fit"),
    };
    if (!Object.hasOwn(actions, event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    actions[event.key]();
  }

  // Browsers report a pinch on a touchpad as a wheel with Ctrl. Without Ctrl the wheel scrolls the page.
  wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const { left, top } = this.element.getBoundingClientRect();
    const change = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? event.deltaY * 16 : event.deltaY;
    this.zoom(Math.exp(-Math.max(-60, Math.min(60, change)) / 120), event.clientX - left, event.clientY - top);
  }

  down(event) {
    if (event.button !== 0) return;
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.pointers.size === 1) {
      this.wasDragged = false;
      this.travelled = 0;
    }
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY };
    const others = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
    this.pointers.set(event.pointerId, now);
    this.travelled += Math.hypot(now.x - before.x, now.y - before.y);
    if (this.travelled < 4) return;
    if (!this.wasDragged) {
      this.wasDragged = true;
      this.element.setPointerCapture(event.pointerId);
      this.element.classList.add("is-dragged");
    }
    const share = 1 / this.pointers.size;
    this.pan((before.x - now.x) * share, (before.y - now.y) * share);
    if (others.length === 1) {
      const [other] = others;
      const { left, top } = this.element.getBoundingClientRect();
      const distance = (point) => Math.hypot(point.x - other.x, point.y - other.y) || 1;
      this.zoom(distance(now) / distance(before), (now.x + other.x) / 2 - left, (now.y + other.y) / 2 - top);
    }
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    if (!this.pointers.size) this.element.classList.remove("is-dragged");
  }
}

// Read from the attributes, because asking the browser for boxes makes it lay out the whole graph.
function place(node) {
  const [x, y] = node.getAttribute("transform").slice("translate(".length, -1).split(" ").map(Number);
  const box = node.firstElementChild.matches(".graph-box") ? node.firstElementChild : node.querySelector(".graph-box");
  return { node, x, y, width: Number(box.getAttribute("width")), height: Number(box.getAttribute("height")) };
}

const canvases = [];
let asked = 0;

async function select(href, ref, isByKeyboard) {
  const request = ++asked;
  let panel = null;
  try {
    const answer = await fetch(href, { headers: { "X-Part": "node" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    panel = answer.ok ? page.querySelector("[data-graph-panel]") : null;
  } catch {
    // The loaded page then says what is wrong.
  }
  if (request !== asked) return;
  if (!panel) {
    window.location.assign(href);
    return;
  }
  document.querySelector("[data-graph-panel]").replaceWith(panel);
  history.replaceState(history.state, "", href);
  for (const canvas of canvases) mark(canvas, ref);
  if (isByKeyboard) (panel.querySelector("[data-graph-heading]") ?? focused(ref))?.focus();
}

function mark(canvas, ref) {
  canvas.svg.querySelector("[aria-current]")?.removeAttribute("aria-current");
  const node = ref && canvas.svg.querySelector(`[data-graph-node="${CSS.escape(ref)}"]`);
  if (!node) return;
  node.setAttribute("aria-current", "true");
  canvas.reveal(node);
}

function focused() {
  return document.querySelector("[data-graph-canvas]");
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-graph-node], [data-graph-link], [data-graph-close]");
  const isPlain = event.button === 0 && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
  if (!link || event.defaultPrevented || !isPlain || !document.querySelector("[data-graph-panel]")) return;
  event.preventDefault();
  const href = link.getAttribute("href");
  select(href, link.dataset.graphNode ?? link.dataset.graphLink ?? "", event.detail === 0);
});

function draw(root) {
  for (const frame of root.querySelectorAll("[data-graph]")) {
    if (frame.querySelector("[data-graph-svg]")) canvases.push(new Canvas(frame));
  }
}

// Set up a graph that replaced an older one.
document.addEventListener("live", ({ target }) => {
  for (let index = canvases.length - 1; index >= 0; index--) {
    if (!canvases[index].element.isConnected) canvases.splice(index, 1);
  }
  draw(target);
});
draw(document);
