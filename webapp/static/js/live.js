// Additions to htmx's refresh: pause in a hidden tab, report a lost connection, keep a typed note, announce a new status.
import { keepNotes } from "./notes.js";

let status = null;

function line(up) {
  const notice = document.getElementById("offline");
  if (!notice) return;
  notice.hidden = up;
  if (up) notice.textContent = "Reconnecting …";
}

export function isDown() {
  return document.getElementById("offline")?.hidden === false;
}

// Act if the server answers again. Otherwise say that nothing was sent, and stay on this page with all that was typed.
export async function whenUp(act) {
  try {
    await fetch(document.querySelector(".brand").href, { method: "HEAD" });
  } catch {
    document.getElementById("offline").textContent =
      "The server does not answer, so nothing was sent. Press the button again when it is back.";
    return;
  }
  line(true);
  act();
}

export function startLive(say) {
  const shown = () => document.getElementById("status")?.dataset.status ?? null;
  status = shown();

  document.addEventListener("htmx:config:request", (event) => {
    if (event.detail.ctx.sourceEvent?.type === "every" && document.hidden) event.preventDefault();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    for (const block of document.querySelectorAll("[hx-trigger^='every']")) block.dispatchEvent(new CustomEvent("every"));
  });

  document.addEventListener("htmx:error", () => line(false));
  document.addEventListener("htmx:after:request", (event) => {
    const code = event.detail.ctx.response?.status ?? 0;
    if (code === 404 || code === 410) {
      line(false);
      document.getElementById("offline").textContent = "This page no longer exists. Reload it to see what happened.";
    } else {
      line(code < 500);
    }
  });

  document.addEventListener("htmx:after:swap", (event) => {
    keepNotes();
    const now = shown();
    if (now !== status && now !== null) {
      say(`The run is now: ${now}`);
      document.title = document.title.replace(/\([^()]*\)( · [^·]*)$/, (_, end) => `(${now})${end}`);
    }
    status = now;
    const link = event.detail.ctx?.sourceElement;
    if (link?.matches?.("a[data-replace], a[data-all-steps]")) history.replaceState(history.state, "", link.href);
  });
}
