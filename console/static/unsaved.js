// Asks before typed text in a form with data-guard is lost: with the page's dialog for a link of the page, otherwise with
// the browser's dialog.
for (const form of document.querySelectorAll("form[data-guard]")) {
  const state = () => JSON.stringify([...new FormData(form)].map(([name, value]) => [name, value.name ?? value]));
  const atFirst = form.dataset.guard === "changed" ? null : state();
  const dialog = document.getElementById(form.dataset.leave);
  let leaves = false;
  form.addEventListener("submit", () => { leaves = true; });
  const changed = () => !leaves && state() !== atFirst;

  window.addEventListener("beforeunload", (event) => { if (changed()) event.preventDefault(); });
  window.addEventListener("pageshow", (event) => { if (event.persisted) leaves = false; });
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href], [data-leaves]");
    if (!link || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if ("leaves" in link.dataset) { leaves = true; return; }
    if (!dialog || link.target || link.getAttribute("href").startsWith("#") || !changed()) return;
    event.preventDefault();
    const onward = dialog.querySelector("[data-target]");
    if (onward) onward.href = link.href;
    dialog.showPopover();
  });
}
