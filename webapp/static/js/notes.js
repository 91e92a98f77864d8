// Keep notes that people type: over a reload, while the server is down, and if somebody else decides first.
import { tab } from "./kept.js";

const field = (form) => form.querySelector("[data-keep]");
const draft = (form) => `draft:${form.dataset.draft}`;
const forms = () => [...document.querySelectorAll("#gates form[data-draft]")];

// A form that was sent is marked beside its draft: the next page then shows what happened to the note.
const sent = (key) => key.replace("draft:", "sent:");

function forget(key) {
  tab.remove(key);
  tab.remove(sent(key));
}

export function wasSent(form) {
  if (tab.get(draft(form)) !== null) tab.put(sent(draft(form)), "1");
}

// Show the notes whose forms no longer exist, once; not the note of a form that was sent from here.
export function keepNotes() {
  const gates = document.getElementById("gates");
  const run = gates?.dataset.run;
  if (!run) return;
  const there = new Set(forms().map(draft));
  const gone = tab.keys().filter((key) => key.startsWith(`draft:${run}/`) && !there.has(key));
  for (const key of gone) {
    if (tab.get(sent(key)) === null) show(tab.get(key));
    forget(key);
  }
}

function show(text) {
  const box = document.createElement("div");
  box.className = "notice refused";
  const inner = document.createElement("div");
  const told = document.createElement("p");
  told.textContent = "This gate changed while you were writing. Your note was not sent. Here it is:";
  const quote = document.createElement("blockquote");
  quote.className = "text";
  quote.textContent = text;
  inner.append(told, quote);
  box.append(inner);
  document.getElementById("kept").append(box);
}

function restore() {
  for (const form of forms()) {
    const note = field(form);
    if ("answered" in form.dataset && tab.get(sent(draft(form))) !== null) {
      forget(draft(form)); // it was recorded, and the gate waits for more answers
      continue;
    }
    const text = tab.get(draft(form));
    if (note && text && !note.value) note.value = text;
    tab.remove(sent(draft(form)));
  }
}

export function startNotes() {
  document.addEventListener("input", (event) => {
    const form = event.target.closest?.("form[data-draft]");
    if (!form || event.target !== field(form)) return;
    if (event.target.value.trim()) tab.put(draft(form), event.target.value);
    else forget(draft(form));
  });
  window.addEventListener("pageshow", restore);
  restore();
  keepNotes();
}
