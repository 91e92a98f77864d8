// What htmx and HTML cannot do: the theme switch, copied links, forms that are sent once, details that are filled later.
import { startKeys } from "./keys.js";
import { isDown, startLive, whenUp } from "./live.js";
import { startNotes, wasSent } from "./notes.js";
import { nameZone, tick } from "./time.js";

document.documentElement.classList.add("script");

// ---------------------------------------------------------------- theme

document.getElementById("theme")?.addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `theme=${root.dataset.theme}; Path=${root.dataset.root || "/"}; Max-Age=31536000; SameSite=Lax${secure}`;
});

// ---------------------------------------------------------------- copy a link

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  const link = new URL(button.dataset.copy, location.href).href;
  try {
    await navigator.clipboard.writeText(link);
  } catch {
    window.prompt("Copy this link:", link);
    return;
  }
  button.classList.add("done");
  say("Link copied");
  setTimeout(() => button.classList.remove("done"), 1500);
});

function say(text) {
  const place = document.getElementById("announce");
  if (place) place.textContent = text;
}

// ---------------------------------------------------------------- forms: sent once, and only if the server answers

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-once]")) return;
  if (form.dataset.sent) {
    event.preventDefault();
  } else if (isDown()) {
    event.preventDefault();
    whenUp(() => form.requestSubmit(event.submitter));
  } else {
    form.dataset.sent = "1";
    if (form.dataset.draft) wasSent(form);
  }
});

function mayBeSentAgain() {
  for (const form of document.querySelectorAll("[data-sent]")) delete form.dataset.sent;
}

// A form may be sent again on a page that comes back from the browser's cache, or if sending was stopped (Escape).
window.navigation?.addEventListener("navigateerror", mayBeSentAgain);
window.addEventListener("pageshow", (event) => {
  mayBeSentAgain();
  if (event.persisted) document.getElementById("live")?.dispatchEvent(new CustomEvent("every"));
});

// ---------------------------------------------------------------- steps: fetched when they are opened

function fill(details) {
  const body = details.querySelector(":scope > .body[data-src]");
  if (!body || body.dataset.asked) return;
  body.dataset.asked = "1";
  window.htmx.ajax("GET", body.dataset.src, { source: body, target: body, swap: "innerHTML" });
}

document.addEventListener("toggle", (event) => {
  if (event.target.matches?.("details.step") && event.target.open) fill(event.target);
}, true);

document.addEventListener("htmx:after:swap", () => {
  for (const details of document.querySelectorAll("details.step[open]")) fill(details);
});

// Anybody can write the text after the #; what cannot be decoded (`#%`) is used unchanged.
function named() {
  const written = location.hash.slice(1);
  try {
    return decodeURIComponent(written);
  } catch {
    return written;
  }
}

function openTarget() {
  const id = named();
  const target = id ? document.getElementById(id) : null;
  if (target?.matches("details")) target.open = true;
  if (target?.matches("[data-search]")) target.focus();
}

window.addEventListener("hashchange", openTarget);

// A picture that is wider than its place is scrolled to where the run is.
function showWhereItStands() {
  const picture = document.querySelector(".picture");
  const node = picture?.querySelector(".node.suspended, .node.running, .node.failed");
  if (!node) return;
  const [whole, part] = [picture.getBoundingClientRect(), node.getBoundingClientRect()];
  picture.scrollLeft += part.left + part.width / 2 - whole.left - whole.width / 2;
}

// A menu closes when Escape or something else is pressed.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = event.target.closest?.("details.menu[open]");
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// ---------------------------------------------------------------- start

// An error in one of these goes to the console, and does not stop the others.
for (const start of [startNotes, openTarget, showWhereItStands, startKeys, () => startLive(say), nameZone, tick]) {
  try {
    start();
  } catch (error) {
    reportError(error);
  }
}
setInterval(tick, 1000);
document.addEventListener("htmx:after:swap", tick);
