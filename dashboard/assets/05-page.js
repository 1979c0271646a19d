// The page around the live parts: colours by name, theme, navigation, search, links.
(() => {
  "use strict";

  const colours = new Map(); // by name, of the present theme

  function colour(name) {
    if (!colours.get(name)) {
      colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
    }
    return colours.get(name);
  }

  // Figures name their colours (`@busy`); the style sheet has the values for both themes.
  function tinted(part) {
    if (typeof part === "string") {
      if (!part.includes("@")) return part;
      const said = window.fleetgauge.timed(part);
      if (said[0] === "@") return colour(said.slice(1)) || said;
      return said.replace(/color:@([a-z-]+)/g, (_, name) => `color:${colour(name)}`);
    }
    if (Array.isArray(part)) return part.length && typeof part[0] === "number" ? part : part.map(tinted);
    if (part && typeof part === "object") {
      return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, tinted(value)]));
    }
    return part;
  }

  const narrow = matchMedia("(max-width: 720px)");
  narrow.addEventListener("change", () => {
    document.dispatchEvent(new CustomEvent("fleetgauge-restyle"));
    document.querySelectorAll("#nav [aria-current]").forEach(bringIntoSight);
  });

  const LETTER_PX = 6.2; // of a title on a phone, on the safe side

  // A title in two lines: what it is, and as many names of lines as there is room for.
  function inTwoLines(text) {
    const [head, ...names] = text.split("   ");
    if (!names.length) return text;
    let room = window.innerWidth - 80;
    const fits = (name) => (room -= LETTER_PX * (name.replace(/<[^>]+>/g, "").length + 3)) > 0;
    const kept = names.filter(fits);
    const rest = names.length - kept.length;
    return `${head}<br>${[...kept, ...(rest ? [`+ ${rest}`] : [])].join("   ")}`;
  }

  // What a label begins with: a stretch that has no room for all of it may have room for that.
  function shortened(trace) {
    if (!trace.insidetextanchor) return trace;
    return { ...trace, text: trace.text.map((text) => text.split(" · ")[0].replace(/^job /, "")) };
  }

  // On a phone a panel's title takes two lines, what stands at its right has no room, and labels are short.
  function fitted(whole) {
    if (!narrow.matches) return whole;
    const { annotations = [] } = whole.layout;
    const figure = { ...whole, data: (whole.data || []).map(shortened) };
    if (!annotations.some(({ name }) => name === "title")) return figure;
    const kept = annotations.filter(({ name }) => name !== "aside").map((note) => (note.name === "title"
      ? { ...note, text: inTwoLines(note.text), align: "left", font: { ...note.font, size: 10.5 } }
      : note));
    return { ...figure, layout: { ...figure.layout, annotations: kept } };
  }

  // A figure as the server sends it, in the colours of the theme, the times of the zone, the room
  // that there is.
  function dressed(figure) {
    return window.fleetgauge.zoned(tinted(fitted(figure)));
  }

  function restyle() {
    colours.clear();
    for (const [name, figure] of window.fleetgauge.figures) {
      if (document.getElementById(name)?.matches("[data-drawn]")) {
        window.dash_clientside.set_props(name, { figure: dressed(figure) });
      }
    }
    const button = document.getElementById("theme");
    if (button) button.title = `Theme: ${document.documentElement.dataset.chosen || "automatic"}`;
  }

  function nextTheme() {
    const root = document.documentElement;
    const order = ["", "light", "dark"];
    const next = order[(order.indexOf(root.dataset.chosen) + 1) % order.length];
    window.fleetgauge.settle(next, root.dataset.zone);
    window.fleetgauge.remember("theme", next);
    document.dispatchEvent(new CustomEvent("fleetgauge-restyle"));
  }

  function go(href) {
    history.pushState({}, "", href);
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
    window.scrollTo(0, 0);
  }

  // On a phone the navigation is wider than the window: this page is in its middle.
  function bringIntoSight(link) {
    const nav = link.closest("#nav");
    nav.scrollLeft = link.offsetLeft - nav.offsetLeft - (nav.clientWidth - link.offsetWidth) / 2;
  }

  // Links of the navigation keep the time range, and say which page this is.
  function markNavigation(view) {
    const kept = new URLSearchParams();
    for (const [key, value] of new URLSearchParams(view.search)) {
      if (["range", "from", "to", "facility", "racks"].includes(key)) kept.set(key, value);
    }
    for (const link of document.querySelectorAll("#nav a")) {
      const path = new URL(link.href).pathname;
      if (path === view.path) {
        link.setAttribute("aria-current", "page");
        if (narrow.matches) bringIntoSight(link);
      } else link.removeAttribute("aria-current");
      const own = new URLSearchParams(kept);
      if (path === "/") ["facility", "racks"].forEach((key) => own.delete(key));
      const query = own.toString();
      const href = path + (query ? `?${query}` : "");
      if (link.closest("#first")) link.href = href;
      else window.dash_clientside.set_props(link.id, { href });
    }
  }

  // The search box is ours alone: a framework's echo of what was typed a moment ago disturbs typing.
  const searching = { timer: null, asked: 0 };

  function addSearch() {
    const box = document.getElementById("search-box");
    if (!box || document.getElementById("search")) return;
    const input = document.createElement("input");
    Object.assign(input, { id: "search", type: "search", autocomplete: "off", maxLength: 80 });
    input.placeholder = "host, GPU UUID, serial, rack …";
    input.setAttribute("aria-label", "Search");
    input.addEventListener("input", () => {
      clearTimeout(searching.timer);
      searching.timer = setTimeout(() => find(input.value), 120);
    });
    box.append(input);
  }

  async function find(words) {
    searching.asked += 1;
    const mine = searching.asked;
    const answer = await fetch(`/find?${new URLSearchParams({ q: words })}`);
    if (!answer.ok || mine !== searching.asked) return;
    window.fleetgauge.morph(document.getElementById("found"), (await answer.json()).children);
  }

  // In the search box: arrows go to what was found, Enter takes the first, Escape leaves.
  function onSearchKey(event) {
    const search = document.getElementById("search");
    const found = [...document.querySelectorAll("#found a")];
    const at = found.indexOf(document.activeElement);
    if (document.activeElement !== search && at < 0) return;
    if (event.key === "Escape") document.activeElement.blur();
    else if (event.key === "Enter" && at < 0 && found.length) found[0].click();
    else if (event.key === "ArrowDown") (found[at + 1] || found[at])?.focus();
    else if (event.key === "ArrowUp") (found[at - 1] || search).focus();
    else return;
    event.preventDefault();
  }

  function onClick(event) {
    if (event.target.closest?.("#theme")) nextTheme();
    if (event.target.closest?.("#zone")) window.fleetgauge.nextZone();
    const link = event.target.closest?.(".slot a[href^='/']");
    const plain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
    if (link && plain && !event.defaultPrevented && !link.target && !link.hasAttribute("download")) {
      event.preventDefault();
      go(link.getAttribute("href"));
    }
    if (event.target.closest?.("#found a")) document.activeElement.blur();
  }

  Object.assign(window.fleetgauge, { addSearch, colour, dressed, go, markNavigation, nextTheme, tinted });

  document.addEventListener("keydown", onSearchKey);
  document.addEventListener("click", onClick);
  document.addEventListener("fleetgauge-restyle", restyle);
})();
