// Changes a part of the page in place, so that it looks as its new description says.
//
// Owns the step from {t: tag, a: attributes, c: children} to elements. What did not change is not
// touched: focus, open menus and painted canvases stay. Attributes that others have set on an
// element are theirs. Text is only ever set as text.
(() => {
  "use strict";

  const described = new WeakMap(); // element -> its description
  const LINKS = /^(\/|#|https?:)/;

  function flat(children) {
    const list = Array.isArray(children) ? children.flat(Infinity) : [children];
    return list.filter((child) => child !== null && child !== undefined && child !== "" && child !== false);
  }

  function isElement(child) {
    return typeof child === "object";
  }

  function build(child) {
    if (!isElement(child)) return document.createTextNode(String(child));
    const element = document.createElement(child.t);
    setAttributes(element, {}, child.a);
    for (const inner of flat(child.c)) element.append(build(inner));
    described.set(element, child);
    return element;
  }

  function setAttributes(element, before, after) {
    for (const name of Object.keys(before)) {
      if (!(name in after)) element.removeAttribute(name);
    }
    for (const [name, value] of Object.entries(after)) {
      if (name === "style") setStyle(element, before.style || {}, value);
      else if (before[name] !== value) setAttribute(element, name, value);
    }
  }

  function setAttribute(element, name, value) {
    if (/^on/i.test(name) || (name === "href" && !LINKS.test(value))) return;
    if (value === false) element.removeAttribute(name);
    else element.setAttribute(name, value === true ? "" : String(value));
  }

  function setStyle(element, before, after) {
    for (const name of Object.keys(before)) if (!(name in after)) element.style[name] = "";
    for (const [name, value] of Object.entries(after)) {
      if (before[name] !== value) element.style[name] = value;
    }
  }

  // Children are matched by their order; one of another kind is replaced.
  function morph(parent, children) {
    const wanted = flat(children);
    wanted.forEach((child, n) => {
      const node = parent.childNodes[n];
      if (!node) parent.append(build(child));
      else if (!fits(node, child)) parent.replaceChild(build(child), node);
      else if (!isElement(child)) {
        if (node.data !== String(child)) node.data = String(child);
      } else {
        setAttributes(node, described.get(node).a, child.a);
        described.set(node, child);
        morph(node, child.c);
      }
    });
    while (parent.childNodes.length > wanted.length) parent.lastChild.remove();
  }

  function fits(node, child) {
    if (!isElement(child)) return node.nodeType === Node.TEXT_NODE;
    return described.has(node) && described.get(node).t === child.t;
  }

  window.fleetgauge.morph = (slot, children) => {
    morph(slot, children);
    slot.classList.add("filled");
  };
})();
