// The keyboard: one key for what people do often. The list that `?` shows is in shell.py.
(() => {
  "use strict";

  function isTyping() {
    return /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName || "");
  }

  function openHelp() {
    const help = document.getElementById("help");
    if (help && !help.open) help.showModal();
  }

  function goTo(order) {
    document.querySelectorAll("#nav a")[order - 1]?.click();
  }

  const actions = {
    "/": () => document.getElementById("search")?.focus(),
    "?": openHelp,
    "[": () => window.fleetgauge.move("earlier"),
    "]": () => window.fleetgauge.move("later"),
    "-": () => window.fleetgauge.move("out"),
    p: () => window.fleetgauge.move("pause"),
    t: () => window.fleetgauge.nextTheme(),
    w: () => document.getElementById("to-wall")?.click(),
    z: () => window.fleetgauge.nextZone(),
  };

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping()) return;
    if (document.getElementById("help")?.open) return;
    if (event.key === "Escape" && document.querySelector(".wall")) return void window.fleetgauge.go("/");
    const action = /^[1-8]$/.test(event.key) ? () => goTo(Number(event.key)) : actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  document.addEventListener("keydown", onKey);
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("#help-open")) openHelp();
    else if (event.target.closest?.("#help-close")) document.getElementById("help").close();
    else if (event.target.closest?.(".skip")) {
      event.preventDefault();
      document.getElementById("content").focus();
    }
  });
})();
