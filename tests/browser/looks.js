// What is wrong with the looks of a page, as sentences; read by tests/fix_dashboard_looks.py.
// Rectangles are of text itself, not of boxes: a box may reach where no letter is.
() => {
  const found = [];
  const name = (node) => {
    const owner = node.closest('[id]');
    return `${owner ? '#' + owner.id : node.tagName} "${node.textContent.trim().slice(0, 40)}"`;
  };
  const wide = document.documentElement.scrollWidth - window.innerWidth;
  if (wide > 0) found.push(`the page is ${wide} px wider than the window`);

  // What is seen of a box: ancestors cut it.
  const seen = (box, holder) => {
    let { left, top, right, bottom } = box;
    for (let up = holder; up && up !== document.body; up = up.parentElement) {
      if (getComputedStyle(up).overflowX === 'visible') continue;
      const edge = up.getBoundingClientRect();
      [left, top] = [Math.max(left, edge.left), Math.max(top, edge.top)];
      [right, bottom] = [Math.min(right, edge.right), Math.min(bottom, edge.bottom)];
    }
    return { left, top, right, bottom, height: bottom - top };
  };

  const texts = [];
  const range = document.createRange();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const holder = node.parentElement;
    if (!node.data.trim() || holder.closest('script, style, noscript, .unseen, .skip, .menu > div, dialog')) continue;
    if (!holder.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) if (box.width > 1 && box.height > 1) texts.push({ box, holder });
  }
  // Text that ends at an edge which cuts it, and does not say so.
  for (const { box, holder } of texts) {
    const part = seen(box, holder);
    if (part.right <= part.left || part.height <= 0) continue; // a heading for those who listen
    for (let up = holder; up && up !== document.body; up = up.parentElement) {
      const style = getComputedStyle(up);
      const scrolls = /auto|scroll/.test(style.overflowX);
      if (scrolls) break;
      if (style.overflowX === 'visible') continue;
      const edge = up.getBoundingClientRect();
      const beyond = Math.max(box.right - edge.right, edge.left - box.left);
      if (beyond > 2 && style.textOverflow !== 'ellipsis') found.push(`${name(holder)} is cut by ${Math.round(beyond)} px`);
      if (beyond > 2) break;
    }
  }
  // Text over text: a line of it, not a pixel.
  const inRows = texts.map(({ box, holder }) => ({ box: seen(box, holder), holder }))
    .filter(({ box }) => box.height > 1 && box.right > box.left)
    .sort((a, b) => a.box.top - b.box.top);
  inRows.forEach(({ box, holder }, at) => {
    for (let next = at + 1; next < inRows.length && inRows[next].box.top < box.bottom - 4; next += 1) {
      const other = inRows[next];
      const across = Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left);
      const down = Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top);
      if (across < 4 || down < 0.5 * Math.min(box.height, other.box.height)) continue;
      if (other.holder === holder) continue; // lines of one text: those that are clamped
      if (holder.closest('header') !== other.holder.closest('header')) continue; // it stays while the page scrolls
      if (holder.closest('.banner') !== other.holder.closest('.banner')) continue;
      found.push(`${name(holder)} is under ${name(other.holder)}`);
    }
  });
  for (const graph of document.querySelectorAll('.timeline[data-drawn]')) {
    const drawn = graph.querySelector('.main-svg');
    if (!drawn) found.push(`#${graph.id} is not drawn yet`);
    else if (drawn.getBoundingClientRect().height > graph.getBoundingClientRect().height + 2) found.push(`#${graph.id} runs over what follows`);
    else if (Math.abs(drawn.getBoundingClientRect().width - graph.getBoundingClientRect().width) > 2) found.push(`#${graph.id} is not as wide as its place`);
  }
  for (const graph of document.querySelectorAll('.timeline:not([data-drawn])')) {
    if (graph.checkVisibility()) found.push(`#${graph.id} is an empty chart`);
  }
  return found.slice(0, 12);
}
