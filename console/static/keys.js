// Keys: / focuses the filter, g and a letter open a page, ? opens the help.
const TOGETHER_MS = 1500;
let wentAt = 0;

const typing = (element) => element.closest?.("input, textarea, select, [contenteditable]");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  if (event.key === "/") {
    const filter = document.querySelector("[data-slash]");
    if (filter) { event.preventDefault(); filter.focus(); filter.select(); }
  } else if (event.key === "?") {
    document.getElementById("help")?.togglePopover();
  } else if (event.key === "g") {
    wentAt = Date.now();
    return;
  } else if (Date.now() - wentAt < TOGETHER_MS) {
    document.querySelector(`[data-go="${CSS.escape(event.key)}"]`)?.click();
  }
  wentAt = 0;
});
