// Closes an open menu when somebody clicks elsewhere or presses Escape, and opens the dialog that the address names.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// A link to what is in a dialog opens it.
document.getElementById(location.hash.slice(1))?.closest("[popover]")?.showPopover();
