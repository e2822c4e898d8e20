// Hands for a page under test: they do something to it, and write on its body what it then tells.

const find = (selector) => document.querySelector(selector);
// A change is drawn with the next frame.
const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));

function on(selector, x, y) {
  const { left, top } = find(selector).getBoundingClientRect();
  return { clientX: left + x, clientY: top + y, bubbles: true, cancelable: true };
}

function wheel(selector, x, deltaY) {
  find(selector).dispatchEvent(new WheelEvent("wheel", { ...on(selector, x, 50), deltaY }));
}

function point(selector, x, y) {
  find(selector).dispatchEvent(new PointerEvent("pointermove", on(selector, x, y)));
}

function key(selector, key) {
  find(selector).dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
}

/* what they do */
document.body.dataset.told = find("#details").textContent;
