// Forms that need a passkey: fetch the options, let the browser ask its owner, and send the answer as a plain form.

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));

function text(buffer) {
  const letters = Array.from(new Uint8Array(buffer), (one) => String.fromCharCode(one)).join("");
  return btoa(letters).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

// What went wrong in the browser, in words. It says no more than "not allowed" of what its owner refused or let pass.
const SAID = {
  NotAllowedError: "Nothing was done: it was cancelled, took too long, or this device has no passkey for this site.",
  InvalidStateError: "This device has a passkey for your account already.",
  SecurityError: "Passkeys of this site do not work at this address; open the address that your admin gave you.",
  NotSupportedError: "This device cannot keep such a passkey.",
  ConstraintError: "This device cannot check who you are; set up a PIN, a finger or a face first.",
};

const named = (list) => (list ?? []).map((one) => ({ ...one, id: bytes(one.id) }));

async function made(options) {
  const publicKey = {
    ...options,
    challenge: bytes(options.challenge),
    user: { ...options.user, id: bytes(options.user.id) },
    excludeCredentials: named(options.excludeCredentials),
  };
  return navigator.credentials.create({ publicKey });
}

async function asked(options) {
  const publicKey = {
    ...options,
    challenge: bytes(options.challenge),
    allowCredentials: named(options.allowCredentials),
  };
  return navigator.credentials.get({ publicKey });
}

function written(credential) {
  const response = { clientDataJSON: text(credential.response.clientDataJSON) };
  for (const part of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[part]) response[part] = text(credential.response[part]);
  }
  return JSON.stringify({ id: credential.id, rawId: text(credential.rawId), type: credential.type, response });
}

function show(form, sentence, link) {
  const place = form.querySelector("[role=alert]");
  place.textContent = sentence;
  place.hidden = !sentence;
  if (link) {
    const there = document.createElement("a");
    there.href = link;
    there.textContent = "Sign in again";
    place.append(" ", there);
  }
}

// Returns the options, or null after it said why there are none.
async function fetched(form) {
  const answer = await fetch(form.dataset.options, { method: "POST", body: new FormData(form) });
  if (answer.ok) return answer.json();
  const isProblem = answer.headers.get("Content-Type")?.includes("problem+json");
  const problem = isProblem ? await answer.json() : { detail: "You are signed out, or this page is old; reload it." };
  show(form, problem.detail, problem.sign_in);
  return null;
}

// Returns whether the form was sent.
async function send(form) {
  let options;
  try {
    options = await fetched(form);
  } catch {
    show(form, "The server does not answer, so nothing was done; try again when it is back.");
  }
  if (!options) return false;
  try {
    const credential = await (form.dataset.passkey === "create" ? made(options) : asked(options));
    form.elements.credential.value = written(credential);
  } catch (error) {
    show(form, SAID[error.name] ?? `This browser could not do it: ${error.message}`);
    return false;
  }
  form.submit();
  return true;
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  const button = form.querySelector("button");
  if (!window.PublicKeyCredential) {
    show(form, "This browser has no passkeys.");
    continue;
  }
  button.disabled = "stale" in button.dataset;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    show(form, "");
    button.disabled = await send(form);
  });
}
