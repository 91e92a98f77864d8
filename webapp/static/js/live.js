// Around htmx's refresh: rest in a hidden tab, say when the line is down, keep a typed note, tell a new status once.

let status = null;
let notes = new Map();

function typedNotes() {
  const found = new Map();
  for (const form of document.querySelectorAll("#gates form[data-draft]")) {
    const note = form.querySelector("[data-keep]");
    if (note?.value.trim()) found.set(form.dataset.draft, note.value);
  }
  return found;
}

function keepNotes() {
  const place = document.getElementById("kept");
  if (!place) return;
  for (const [draft, text] of notes) {
    const form = [...document.querySelectorAll("#gates form[data-draft]")].find((one) => one.dataset.draft === draft);
    if (form || sessionStorage.getItem(`draft:${draft}`) === null) continue;
    const box = document.createElement("div");
    box.className = "notice refused";
    const inner = document.createElement("div");
    const told = document.createElement("p");
    told.textContent = "This gate changed while you were writing. Your note was not sent; here it is:";
    const quote = document.createElement("blockquote");
    quote.className = "text";
    quote.textContent = text;
    inner.append(told, quote);
    box.append(inner);
    place.append(box);
    sessionStorage.removeItem(`draft:${draft}`);
  }
}

function line(up) {
  const notice = document.getElementById("offline");
  if (!notice) return;
  notice.hidden = up;
  if (up) notice.textContent = "Reconnecting …";
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
      document.getElementById("offline").textContent = "This is no longer there. Reload to see what became of it.";
    } else {
      line(code < 500);
    }
  });

  document.addEventListener("htmx:before:swap", () => {
    notes = typedNotes();
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
