// Times, from the start of the run.

// A step of 1, 2 or 5 times a power of ten that leaves room for labels.
function tickStep() {
  const wanted = view.pixel() * 110;
  const power = 10 ** Math.floor(Math.log10(wanted));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= wanted);
}

function ticks() {
  const step = tickStep();
  const list = [];
  for (let at = Math.ceil(view.from / step) * step; at <= view.to; at += step) list.push(at);
  return { step, list };
}

function tickText(at, step) {
  if (step >= 1e5) return `${(at / 1e6).toFixed(step >= 1e6 ? 0 : 1)} s`;
  return `${atMs(at, step)} ms`;
}

function paintGrid(context, { topEnd, bottom }) {
  context.fillStyle = theme.line;
  context.globalAlpha = 0.7;
  for (const at of ticks().list) context.fillRect(Math.round(view.x(at)), topEnd, 1, bottom - topEnd);
  context.globalAlpha = 1;
}

function paintAxis(context) {
  context.fillStyle = theme.panel;
  context.fillRect(0, 0, view.width, AXIS);
  context.font = theme.font;
  const { step, list } = ticks();
  for (const at of list) {
    const x = Math.round(view.x(at));
    context.fillStyle = theme.grey;
    context.fillRect(x, AXIS - 5, 1, 5);
    context.fillStyle = theme.quiet;
    const text = tickText(at, step);
    if (x + 4 + context.measureText(text).width < view.width) context.fillText(text, x + 4, AXIS / 2);
  }
}

// A line through all lanes under the pointer, with its time.
function paintPointer(context) {
  if (!view.pointer || view.pointer.x < GUTTER) return;
  const { x } = view.pointer;
  context.fillStyle = theme.quiet;
  context.fillRect(x, AXIS, 1, view.height - AXIS);
  const text = `${atMs(view.time(x), view.pixel())} ms`;
  context.font = theme.bold;
  const width = context.measureText(text).width + 8;
  const left = Math.min(x, view.width - width);
  context.fillStyle = theme.text;
  context.fillRect(left, 1, width, AXIS - 2);
  context.fillStyle = theme.back;
  context.fillText(text, left + 4, AXIS / 2);
}
