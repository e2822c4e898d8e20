// Draws a frame when something changed, and says on <body> what is in it, for tests and other tools.

const painted = { flags: [], faults: [], topEnd: 0, strip: 0, shift: 0, bottom: 0 };
// What changes with the view only. What follows the pointer is drawn over a copy of it, so that
// pointing is quick however much there is to draw.
const layer = document.createElement("canvas");
let layerIsStale = true;
let asked = false;

function requestPaint() {
  layerIsStale = true;
  requestOverlay();
}

function requestOverlay() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(paint);
}

function paint() {
  asked = false;
  if (layerIsStale) paintLayer();
  // The view may have moved under a pointer at rest.
  if (layerIsStale && view.pointer) view.hovered = pick(view.pointer.x, view.pointer.y);
  layerIsStale = false;
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.drawImage(layer, 0, 0);
  context.scale(devicePixelRatio, devicePixelRatio);
  context.textBaseline = "middle";
  paintHighlight(context, view.hovered, theme.quiet);
  paintHighlight(context, view.selected, theme.focus);
  paintRubber(context);
  paintPointer(context);
  showDetails();
}

function paintLayer() {
  const context = fitCanvas();
  painted.strip = model.marks.length > 0 ? MARK_STRIP : 0;
  painted.topEnd = AXIS + painted.strip + FAULT_ROWS * FAULT_ROW + 3;
  painted.shift = painted.topEnd - lanesBox.scrollTop;
  painted.bottom = Math.min(view.height, lanes.height + painted.shift);
  context.fillStyle = theme.back;
  context.fillRect(0, 0, view.width, view.height);
  const drawn = paintLanes(context);
  paintGutter(context);
  paintTop(context);
  paintOverview();
  document.getElementById("span").textContent =
    `${atMs(view.from, view.pixel())} to ${atMs(view.to, view.pixel())} ms (${duration(Math.round(view.to - view.from))})`;
  tellState(drawn);
  writeLink();
}

function fitCanvas() {
  const ratio = devicePixelRatio;
  const [width, height] = [lanesBox.clientWidth, lanesBox.clientHeight];
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    layer.width = canvas.width = Math.round(width * ratio);
    layer.height = canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    overview.stale = true;
  }
  view.width = width;
  view.height = height;
  document.getElementById("height").style.height = `${lanes.height + painted.topEnd}px`;
  const context = layer.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.textBaseline = "middle";
  return context;
}

function laneIsSeen(lane) {
  const y = lane.y + painted.shift;
  return y + lane.height > painted.topEnd && y < view.height;
}

function paintLanesGround(context) {
  let odd = false;
  for (const lane of lanes.list) {
    odd = lane.type === "process" ? false : !odd;
    if (!laneIsSeen(lane) || !odd) continue;
    context.fillStyle = theme.stripe;
    context.fillRect(GUTTER, lane.y + painted.shift, view.width - GUTTER, lane.height);
  }
  paintFaultShades(context, painted.topEnd, painted.bottom);
  paintGrid(context, painted);
}

function paintLanes(context) {
  let drawn = 0;
  context.save();
  context.beginPath();
  context.rect(GUTTER, painted.topEnd, view.width - GUTTER, view.height - painted.topEnd);
  context.clip();
  paintLanesGround(context);
  const bands = placeBands(painted);
  paintBandGrounds(context, bands);
  paintMoments(context, painted);
  for (const lane of lanes.list.filter(laneIsSeen)) {
    if (lane.type === "owner") drawn += paintBars(context, lane, painted.shift);
    if (lane.type === "register") paintTouches(context, lane, lane.y + painted.shift);
  }
  paintBandFrames(context, bands, painted.topEnd);
  context.restore();
  return drawn;
}

function paintGutter(context) {
  for (const lane of lanes.list.filter(laneIsSeen)) {
    const middle = lane.y + painted.shift + lane.height / 2;
    const isHeading = lane.type === "process";
    context.font = isHeading ? theme.bold : theme.font;
    context.fillStyle = isHeading ? theme.text : theme.quiet;
    if (isHeading) context.fillText(fitted(context, lane.text, GUTTER - 14), 8, middle + 2);
    else if (lane.owner) context.fillText(fitted(context, lane.owner.owner, GUTTER - 24), 18, middle);
    else {
      context.fillStyle = nameColour(lane.name);
      context.fillRect(8, middle - 4, 7, 8);
      context.fillStyle = theme.quiet;
      const kind = lane.fenced ? " fenced" : " unfenced";
      const room = GUTTER - 24 - context.measureText(kind).width;
      context.fillText(fitted(context, lane.name.text, room) + kind, 18, middle);
    }
  }
  context.fillStyle = theme.line;
  context.fillRect(GUTTER - 1, painted.topEnd, 1, painted.bottom - painted.topEnd);
}

function paintTop(context) {
  context.fillStyle = theme.back;
  context.fillRect(0, 0, view.width, painted.topEnd);
  context.save();
  context.beginPath();
  context.rect(GUTTER - 1, AXIS, view.width, painted.topEnd);
  context.clip();
  painted.faults = paintFaults(context, AXIS + painted.strip);
  painted.flags = paintFlags(context, AXIS);
  context.restore();
  paintAxis(context);
  context.font = theme.bold;
  context.fillStyle = theme.text;
  if (FAULT_ROWS > 0) context.fillText("faults", 8, AXIS + painted.strip + FAULT_ROW / 2);
  if (painted.strip > 0) context.fillText("violations", 8, AXIS + painted.strip / 2);
  context.fillStyle = theme.line;
  context.fillRect(0, painted.topEnd - 1, view.width, 1);
}

function tellState(drawn) {
  Object.assign(document.body.dataset, {
    ops: model.ops.length,
    drawn,
    touches: model.touches.length,
    faults: model.faults.length,
    violations: model.marks.filter((mark) => mark.violation).length,
    apart: model.marks.filter((mark) => !mark.violation).length,
    from: atMs(view.from),
    to: atMs(view.to),
    ready: "true",
  });
}

function describeRun() {
  const parts = [model.store && `${model.store}, seed ${model.seed}`, model.command].filter(Boolean);
  const run = document.getElementById("run");
  run.textContent = parts[0] ?? "history";
  run.title = [parts[1], `begins at ${model.startNs} ns of the recorded clock`].filter(Boolean).join("; ");
}

describeRun();
listMarks();
buildFilters();
buildLegend();
listen();
readLink();
// At once and not with the next frame: what cannot be drawn is to fail while the page loads.
paint();
