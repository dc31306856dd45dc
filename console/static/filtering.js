// Filters a list while somebody types: it requests the page that the form would request, and inserts its results.
import { offer } from "./copying.js";

const PAUSE_MS = 200;

for (const form of document.querySelectorAll("form[data-filter]")) {
  let timer, asked = 0;
  const run = async () => {
    const query = new URLSearchParams(new FormData(form));
    for (const [name, value] of [...query]) if (!value) query.delete(name);
    const address = `${form.getAttribute("action")}?${query}`, number = ++asked;
    try {
      const answer = await fetch(address, { headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const found = page.querySelector("[data-results]"), shown = document.querySelector("[data-results]");
      if (number !== asked) return;
      if (!answer.ok || !found || !shown) return form.submit();
      shown.replaceWith(found);
      offer(found);
      history.replaceState(null, "", address);
    } catch {
      form.submit();
    }
  };
  form.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(run, PAUSE_MS); });
}
