// Updates relative times while a page is open, with the words of shown.py.
const MINUTE = 60, HOUR = 3600, DAY = 86400, EVERY_MS = 10_000;

function words(seconds) {
  if (seconds < 10) return "just now";
  if (seconds < MINUTE) return `${Math.floor(seconds)} s ago`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min ago`;
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)} h ago`;
  if (seconds < 2 * DAY) return "yesterday";
  if (seconds < 31 * DAY) return `${Math.floor(seconds / DAY)} days ago`;
  return null;
}

export function refresh(root = document) {
  for (const time of root.querySelectorAll("time[data-ago]")) {
    const text = words((Date.now() - Date.parse(time.dateTime)) / 1000);
    if (text !== null && text !== time.textContent) time.textContent = text;
  }
}

setInterval(() => document.hidden || refresh(), EVERY_MS);
