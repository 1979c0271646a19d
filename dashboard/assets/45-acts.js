// What an operator does about an incident, and the end of a login.
//
// Owns the controls in #acts, which the server lays out for operators only, the buttons that end a
// silence, and asking the server to act. The server checks everything again.
(() => {
  "use strict";

  const ACTS = [
    ["acknowledge", "Acknowledge", [["comment", "comment"]]],
    ["comment", "Comment", [["comment", "what is to be known"]]],
    ["assign", "Assign", [["to", "to whom"]]],
    ["silence", "Silence", [["comment", "why"], ["hours", "hours, at most 720"]]],
  ];

  function element(tag, properties, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  async function post(path, body) {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    return { ok: answer.ok, ...(await answer.json()) };
  }

  function form([act, label, fields], place, told) {
    const inputs = fields.map(([name, hint]) =>
      element("input", { name, placeholder: hint, ariaLabel: `${label}: ${hint}`, maxLength: 1000 }),
    );
    const made = element("form", { className: "act" }, ...inputs, element("button", { textContent: label }));
    made.addEventListener("submit", async (event) => {
      event.preventDefault();
      const body = {};
      for (const key of ["incident", "alert"]) {
        if (place.dataset[key]) body[key] = Number(place.dataset[key]);
      }
      for (const input of inputs) {
        body[input.name] = input.name === "hours" ? Number(input.value) : input.value;
      }
      try {
        const answer = await post(`/act/${act}`, body);
        told.textContent = answer.told || answer.error;
        if (answer.ok) made.reset();
      } catch {
        told.textContent = "the dashboard does not answer";
      }
    });
    return made;
  }

  // Who looks: asked once, since pages are alike for all who see the same data.
  let me;
  const whoLooks = () => (me ??= fetch("/me").then((answer) => (answer.ok ? answer.json() : {})));

  async function offerEnds() {
    if (!document.querySelector(".end-silence:empty")) return;
    if (!["operator", "admin"].includes((await whoLooks()).role)) return;
    for (const place of document.querySelectorAll(".end-silence:empty")) {
      const button = element("button", { textContent: "End", title: "End this silence now" });
      button.addEventListener("click", async () => {
        button.disabled = true;
        const told = element("span", { role: "status" });
        place.append(told);
        try {
          const answer = await post("/act/end-silence", { silence: Number(place.dataset.silence) });
          told.textContent = answer.told || answer.error;
          button.disabled = answer.ok;
        } catch {
          told.textContent = "the dashboard does not answer";
          button.disabled = false;
        }
      });
      place.append(button);
    }
  }

  function fill() {
    offerEnds();
    const place = document.getElementById("acts");
    if (!place || place.childElementCount) return;
    const told = element("p", { className: "told", role: "status" });
    place.append(...ACTS.map((act) => form(act, place, told)), told);
  }

  async function nameWhoLooks() {
    const header = document.querySelector("header.top");
    if (!header || document.getElementById("who")) return;
    const { name, role, can_log_out: canLogOut } = await whoLooks();
    if (!name || name === "local" || document.getElementById("who")) return;
    const button = element("button", { id: "who", className: "icon-button", textContent: name });
    button.title = canLogOut ? `${role}: log out` : role;
    button.addEventListener("click", async () => {
      if (canLogOut) location.href = (await post("/logout", {})).next;
    });
    header.append(button);
  }

  // A page that is cut off may be so because its login is over: then there is one to be had.
  async function lookAgain() {
    if (!document.documentElement.classList.contains("not-live")) return;
    try {
      if ((await fetch("/me")).status === 401) location.reload();
    } catch {
      // Not reachable: `10-live.js` goes on trying.
    }
  }

  setInterval(fill, 500);
  setInterval(lookAgain, 15000);
  window.addEventListener("load", () => setTimeout(nameWhoLooks, 1000));
})();
