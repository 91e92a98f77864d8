// Keys: / searches, j and k move, Enter opens the focused link, g and a letter go to a page, ? shows the keys. People who
// control the computer by voice, or press keys by accident, can switch them off (WCAG 2.1.4).
import { browser } from "./kept.js";

const PLACES = { h: "/", r: "/runs", a: "/approvals", b: "/blueprints" };
let going = 0;

function typing(target) {
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}

function walk(step) {
  const items = [...document.querySelectorAll("[data-item]")].filter((item) => item.getClientRects().length);
  if (!items.length) return;
  const at = items.indexOf(document.activeElement);
  const next = items[Math.min(items.length - 1, Math.max(0, at < 0 ? (step > 0 ? 0 : items.length - 1) : at + step))];
  for (const marked of document.querySelectorAll(".at")) marked.classList.remove("at");
  (next.closest("tr") ?? next).classList.add("at");
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}

const unused = () => browser.get("keys") === "unused";

export function startKeys() {
  const dialog = document.getElementById("keys");
  const use = document.getElementById("use-keys");
  use.checked = !unused();
  use.addEventListener("change", () => {
    if (use.checked) browser.remove("keys");
    else browser.put("keys", "unused");
  });
  document.getElementById("show-keys").addEventListener("click", () => dialog.showModal());
  const root = document.querySelector(".brand").getAttribute("href").replace(/\/$/, "");
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (document.querySelector("dialog[open]") || unused()) return;
    if (going && event.timeStamp - going < 1200 && PLACES[event.key]) {
      location.assign(root + PLACES[event.key]);
    } else if (event.key === "/") {
      const search = document.querySelector("[data-search]");
      if (search) search.focus();
      else location.assign(`${root}/runs#f-q`);
    } else if (event.key === "j" || event.key === "k") {
      walk(event.key === "j" ? 1 : -1);
    } else if (event.key === "?") {
      dialog.showModal();
    } else if (event.key === "g") {
      going = event.timeStamp;
      return;
    } else {
      going = 0;
      return;
    }
    going = 0;
    event.preventDefault();
  });
}
