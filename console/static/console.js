// The scripts of every page. They are independent, and pages work without them.
import "./copying.js";
import "./filtering.js";
import "./keys.js";
import "./live.js";
import "./menus.js";
import "./times.js";
import "./unsaved.js";

for (const each of document.querySelectorAll("[data-no-script]")) each.hidden = true;
