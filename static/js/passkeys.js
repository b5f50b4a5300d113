// Passkeys: asks the browser to make one or to sign with one, and puts its answer into the form.
// Without it, or where the browser has none, codes do.
"use strict";

const CANCELLED = "That was cancelled, or took too long.";
const NO_PASSKEYS = "This browser offers no passkeys here.";

// ------------------------------------------------------------------ base64url and back

function bytesOf(text) {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (sign) => sign.charCodeAt(0));
}

function textOf(buffer) {
  const plain = btoa(String.fromCharCode(...new Uint8Array(buffer)));
  return plain.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

const withBytes = (list) => (list ?? []).map((one) => ({ ...one, id: bytesOf(one.id) }));

// ------------------------------------------------------------------ the two ceremonies

async function makePasskey(options) {
  const made = await navigator.credentials.create({
    publicKey: {
      ...options,
      challenge: bytesOf(options.challenge),
      user: { ...options.user, id: bytesOf(options.user.id) },
      excludeCredentials: withBytes(options.excludeCredentials),
    },
  });
  return {
    ...described(made),
    response: {
      clientDataJSON: textOf(made.response.clientDataJSON),
      attestationObject: textOf(made.response.attestationObject),
      transports: made.response.getTransports?.() ?? [],
    },
  };
}

async function signWithPasskey(options) {
  const signed = await navigator.credentials.get({
    publicKey: {
      ...options,
      challenge: bytesOf(options.challenge),
      allowCredentials: withBytes(options.allowCredentials),
    },
  });
  const { userHandle } = signed.response;
  return {
    ...described(signed),
    response: {
      clientDataJSON: textOf(signed.response.clientDataJSON),
      authenticatorData: textOf(signed.response.authenticatorData),
      signature: textOf(signed.response.signature),
      userHandle: userHandle ? textOf(userHandle) : null,
    },
  };
}

function described(credential) {
  return { id: credential.id, rawId: textOf(credential.rawId), type: credential.type };
}

// ------------------------------------------------------------------ the buttons

// What the server says the browser is to do; its form goes along, for it may hold the password.
async function askServer(button) {
  const reply = await fetch(button.dataset.address, {
    method: "POST",
    body: new FormData(button.form),
  });
  const isJson = reply.headers.get("Content-Type")?.startsWith("application/json");
  const found = isJson ? await reply.json() : {};
  if (!reply.ok) throw new Error(found.error ?? "The server did not answer. Try again.");
  return found;
}

function reasonOf(error) {
  if (error.name === "NotAllowedError" || error.name === "AbortError") return CANCELLED;
  if (error.name === "InvalidStateError") return "This device has a passkey of yours already.";
  return error.message;
}

async function usePasskey(button) {
  const form = button.form;
  const trouble = form.querySelector("[data-passkey-trouble]");
  const does = { make: makePasskey, sign: signWithPasskey }[button.dataset.passkey];
  trouble.textContent = "";
  if (button.dataset.passkey === "make" && !form.reportValidity()) return;
  button.disabled = true;
  try {
    form.elements.passkey.value = JSON.stringify(await does(await askServer(button)));
  } catch (error) {
    trouble.textContent = reasonOf(error);
    button.disabled = false;
    return;
  }
  if (button.dataset.then === "send") {
    form.submit();
    return;
  }
  // Which of the form's buttons is meant, a click on one of them says.
  button.lastElementChild.textContent = "Passkey shown";
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-passkey]");
  if (button) usePasskey(button);
});

if (window.PublicKeyCredential === undefined) {
  for (const button of document.querySelectorAll("button[data-passkey]")) {
    button.form.querySelector("[data-passkey-trouble]").textContent = NO_PASSKEYS;
    button.remove();
  }
}
