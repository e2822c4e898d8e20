// The view in the address: #t=from,to in milliseconds from the start, or #v=3 for the third mark.

let linkTimer;

function readLink() {
  const link = new URLSearchParams(location.hash.slice(1));
  const mark = model.marks[Number(link.get("v")) - 1];
  const [from, to] = (link.get("t") ?? "").split(",").map((ms) => Number.parseFloat(ms) * 1000);
  if (mark) goTo(mark);
  if (Number.isFinite(from) && Number.isFinite(to) && to > from) view.show(from, to);
}

// Not at every frame: browsers refuse a page that rewrites its address too often.
function writeLink() {
  clearTimeout(linkTimer);
  linkTimer = setTimeout(() => {
    const whole = view.from <= model.from && view.to >= model.to;
    const mark = view.mark ? `v=${view.mark.index + 1}&` : "";
    const stretch = whole ? "" : `t=${atMs(view.from)},${atMs(view.to)}`;
    history.replaceState(null, "", `#${mark}${stretch}`);
  }, 300);
}
