// Settles theme and time zone before the first paint: from the address, else what was chosen here
// before, else what the system prefers. Opens the live line, which takes as long as loading the rest.
// Loaded by itself in the document's head.
//
// Owns `window.fleetgauge`, to which the other files add what they offer to each other.
(() => {
  "use strict";

  const root = document.documentElement;
  const light = matchMedia("(prefers-color-scheme: light)");
  const ALLOWED = { theme: ["light", "dark"], zone: ["utc", "local"] };

  function remembered(name) {
    try {
      return localStorage.getItem(`fleetgauge-${name}`);
    } catch {
      return null; // Storage may be forbidden; the usual then stands.
    }
  }

  function remember(name, word) {
    try {
      if (word) localStorage.setItem(`fleetgauge-${name}`, word);
      else localStorage.removeItem(`fleetgauge-${name}`);
    } catch {
      // The choice then lasts as long as the page.
    }
  }

  function chosen(name) {
    const asked = new URLSearchParams(location.search).get(name);
    return [asked, remembered(name)].find((word) => ALLOWED[name].includes(word)) || "";
  }

  function settle(theme, zone) {
    root.dataset.chosen = theme;
    root.dataset.theme = theme || (light.matches ? "light" : "dark");
    root.dataset.zone = zone || "utc";
  }

  light.addEventListener("change", () => {
    settle(root.dataset.chosen, root.dataset.zone);
    document.dispatchEvent(new CustomEvent("fleetgauge-restyle"));
  });

  function openLine() {
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
    const line = { socket, heard: [] };
    const view = { path: location.pathname, search: location.search.slice(1) };
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send(JSON.stringify({ ...view, ask: 1, frames: "DecompressionStream" in window }));
    socket.onmessage = (event) => line.heard.push(event);
    return line;
  }

  window.fleetgauge = { figures: new Map(), line: openLine(), settle, remember };
  settle(chosen("theme"), chosen("zone"));
})();
