// Sets the theme before the first paint: from the address, else what was chosen here before.
// Loaded by itself in the document's head; 05-page.js has the switch.
(() => {
  "use strict";
  const asked = new URLSearchParams(location.search).get("theme");
  let chosen = null;
  try {
    chosen = localStorage.getItem("fleetgauge-theme");
  } catch {
    // Storage may be forbidden; the system's own preference then stands.
  }
  const theme = [asked, chosen].find((word) => word === "light" || word === "dark");
  if (theme) document.documentElement.dataset.theme = theme;
})();
