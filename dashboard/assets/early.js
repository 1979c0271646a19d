// Settles theme, time zone and wall mode before the first paint: from the address, else what was
// chosen here before, else what the system prefers. Loaded by itself in the document's head.
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
  window.fleetgauge = { figures: new Map(), settle, remember };
  settle(chosen("theme"), chosen("zone"));
})();
