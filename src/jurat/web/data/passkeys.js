// Passkeys in the browser: asks our server, asks the device, answers our server. No library, nothing from elsewhere.

const problem = document.getElementById("problem");

async function ask(path, body) {
  const answer = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers: body === undefined ? {} : { "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
    credentials: "same-origin",
  });
  const found = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(sentence(found.detail, found.hint)), { status: answer.status, code: found.code });
  return found.data;
}

function sentence(detail, hint) {
  const said = detail ? detail[0].toUpperCase() + detail.slice(1) : "Something went wrong";
  return hint ? `${said}. What to do: ${hint}.` : `${said}.`;
}

function toBytes(text) {
  const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(plain, (c) => c.charCodeAt(0));
}

function toText(buffer) {
  return btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

function known(list) {
  return (list ?? []).map((each) => ({ ...each, id: toBytes(each.id) }));
}

async function makeKey(options) {
  const made = await navigator.credentials.create({
    publicKey: {
      ...options,
      challenge: toBytes(options.challenge),
      user: { ...options.user, id: toBytes(options.user.id) },
      excludeCredentials: known(options.excludeCredentials),
    },
  });
  return {
    id: made.id,
    rawId: toText(made.rawId),
    type: made.type,
    response: { clientDataJSON: toText(made.response.clientDataJSON), attestationObject: toText(made.response.attestationObject) },
  };
}

async function useKey(options) {
  const used = await navigator.credentials.get({
    publicKey: { ...options, challenge: toBytes(options.challenge), allowCredentials: known(options.allowCredentials) },
  });
  return {
    id: used.id,
    rawId: toText(used.rawId),
    type: used.type,
    response: {
      clientDataJSON: toText(used.response.clientDataJSON),
      authenticatorData: toText(used.response.authenticatorData),
      signature: toText(used.response.signature),
      userHandle: used.response.userHandle ? toText(used.response.userHandle) : null,
    },
  };
}

// Run one step for a button: it rests meanwhile, and what goes wrong is said where everybody hears it.
async function step(button, doing) {
  problem.textContent = "";
  button.disabled = true;
  try {
    await doing();
  } catch (error) {
    problem.textContent = error instanceof DOMException ? deviceSaid(error) : error.message;
  } finally {
    button.disabled = false;
  }
}

async function signIn() {
  const { options } = await ask("/auth/sign-in/begin", {});
  await ask("/auth/sign-in/finish", { credential: await useKey(options) });
}

function deviceSaid(error) {
  if (error.name === "InvalidStateError") return "This device has a passkey for you already: sign in with it.";
  if (error.name === "NotAllowedError") return "The device did not answer, or you told it not to. Try again.";
  if (error.name === "SecurityError") return "Passkeys do not work at this address. Open the page under the name that you were given.";
  return `The device refused: ${error.message}`;
}

const pages = {
  async "sign-in"() {
    document.getElementById("sign-in").addEventListener("click", (event) =>
      step(event.currentTarget, async () => {
        await signIn();
        location.assign("/account");
      }),
    );
    const { providers } = await ask("/auth/ways");
    for (const provider of providers) {
      const link = Object.assign(document.createElement("a"), { href: `/login/${encodeURIComponent(provider)}`, textContent: provider });
      link.className = "button plain";
      document.getElementById("providers").append(link);
    }
    document.getElementById("ways").hidden = providers.length === 0;
  },

  async enrol() {
    const link = location.hash.slice(1);
    history.replaceState(null, "", location.pathname); // the secret is neither in the history nor in a screenshot
    const form = document.getElementById("enrol");
    const make = document.getElementById("make");
    let begun = null;
    await step(make, async () => {
      begun = await ask("/auth/enrol/begin", { link });
      document.getElementById("greeting").textContent = `Welcome, ${begun.name}`;
    });
    form.hidden = begun === null;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      step(make, async () => {
        begun ??= await ask("/auth/enrol/begin", { link });
        const { options } = begun;
        begun = null; // a challenge is answered once
        const credential = await makeKey(options);
        await ask("/auth/enrol/finish", { link, credential, label: document.getElementById("label").value });
        location.assign("/account");
      });
    });
  },

  async account() {
    try {
      await showAccount();
    } catch (error) {
      if (error.status === 401) return location.assign("/sign-in");
      problem.textContent = error.message;
    }
    document.getElementById("add").addEventListener("click", (event) =>
      step(event.currentTarget, async () => {
        const { options } = await ask("/auth/passkeys/begin", {}).catch(async (error) => {
          if (error.code !== "sign_in_again") throw error;
          await signIn();
          return ask("/auth/passkeys/begin", {});
        });
        await ask("/auth/passkeys/finish", { credential: await makeKey(options), label: "" });
        await showAccount();
      }),
    );
    document.getElementById("sign-out").addEventListener("click", (event) =>
      step(event.currentTarget, async () => {
        await ask("/logout", {});
        location.assign("/sign-in");
      }),
    );
  },
};

async function showAccount() {
  const me = await ask("/auth/me");
  document.getElementById("greeting").textContent = me.name;
  document.getElementById("standing").textContent = me.roles.length ? `You hold: ${me.roles.join(", ")}.` : "You hold no role yet.";
  const list = document.getElementById("passkeys");
  list.replaceChildren(...me.passkeys.map(shown));
  if (me.passkeys.length === 0) list.append(Object.assign(document.createElement("li"), { textContent: "You have no passkey." }));
}

function shown(passkey) {
  const used = passkey.used_at ? `last used ${when(passkey.used_at)}` : "not used yet";
  const text = document.createElement("span");
  const about = `added ${when(passkey.created_at)}, ${used}${passkey.synced ? ", on your other devices too" : ""}`;
  text.append(
    Object.assign(document.createElement("strong"), { textContent: passkey.label }),
    Object.assign(document.createElement("span"), { className: "quiet", textContent: about }),
  );
  const remove = Object.assign(document.createElement("button"), { type: "button", className: "plain small", textContent: "Remove" });
  remove.setAttribute("aria-label", `Remove ${passkey.label}`);
  remove.addEventListener("click", () =>
    step(remove, async () => {
      if (!confirm(`Remove ${passkey.label}? Nobody can sign in with it any more.`)) return;
      await ask("/auth/passkeys/remove", { passkey: passkey.passkey });
      await showAccount();
    }),
  );
  const item = document.createElement("li");
  item.append(text, remove);
  return item;
}

function when(text) {
  return new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

pages[document.body.dataset.page]().catch((error) => { problem.textContent = error.message; });
