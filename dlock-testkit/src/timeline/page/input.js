// Mouse, touch and keys.

const lanesBox = document.getElementById("lanes");
const canvas = document.getElementById("canvas");

function select(thing) {
  view.selected = thing;
  requestOverlay();
}

function bringIntoSight(lane) {
  const room = lanesBox.clientHeight - painted.topEnd;
  if (lane.y < lanesBox.scrollTop || lane.y + lane.height > lanesBox.scrollTop + room) {
    lanesBox.scrollTop = Math.max(0, lane.y - room / 3);
  }
}

function listen() {
  lanesBox.addEventListener("wheel", onWheel, { passive: false });
  lanesBox.addEventListener("scroll", requestPaint);
  lanesBox.addEventListener("keydown", onKey);
  document.addEventListener("keydown", onKeyAnywhere);
  canvas.addEventListener("pointermove", onHover);
  canvas.addEventListener("pointerleave", () => {
    view.pointer = view.hovered = null;
    requestOverlay();
  });
  canvas.addEventListener("pointerdown", onDrag);
  canvas.addEventListener("dblclick", onDoubleClick);
  overview.canvas.addEventListener("pointerdown", onOverviewDrag);
  const buttons = {
    earlier: () => view.pan(-0.3),
    later: () => view.pan(0.3),
    closer: () => view.zoom(0.5),
    wider: () => view.zoom(2),
    everything: () => view.everything(),
    "previous-mark": () => step(-1),
    "next-mark": () => step(1),
  };
  for (const [id, action] of Object.entries(buttons)) document.getElementById(id).onclick = action;
  new ResizeObserver(requestPaint).observe(lanesBox);
  dark.addEventListener("change", () => {
    readTheme();
    hatches.clear();
    buildLegend();
    overview.stale = true;
    requestPaint();
  });
  addEventListener("hashchange", readLink);
}

function onWheel(event) {
  const x = event.clientX - canvas.getBoundingClientRect().left;
  // Over the labels the wheel scrolls the lanes, as everywhere.
  if (x < GUTTER) return;
  event.preventDefault();
  const { deltaX, deltaY, shiftKey } = event;
  if (shiftKey || Math.abs(deltaX) > Math.abs(deltaY)) view.pan((shiftKey && !deltaX ? deltaY : deltaX) / 1200);
  else view.zoom(Math.exp(Math.max(-300, Math.min(300, deltaY)) / 400), view.time(x));
}

function onHover(event) {
  view.pointer = { x: event.offsetX, y: event.offsetY };
  view.hovered = pick(event.offsetX, event.offsetY);
  canvas.style.cursor = view.hovered ? "pointer" : "crosshair";
  requestOverlay();
}

function onDrag(event) {
  if (event.button !== 0) return;
  const begin = { x: event.offsetX, y: event.offsetY, from: view.from, to: view.to, scroll: lanesBox.scrollTop };
  const pixel = view.pixel();
  let moved = false;
  drag(canvas, event, (x, y) => {
    moved ||= Math.abs(x - begin.x) + Math.abs(y - begin.y) > 4;
    if (!moved) return;
    if (event.shiftKey) {
      view.rubber = { from: view.time(Math.min(x, begin.x)), to: view.time(Math.max(x, begin.x)) };
      requestOverlay();
      return;
    }
    const by = (begin.x - x) * pixel;
    view.show(begin.from + by, begin.to + by);
    lanesBox.scrollTop = begin.scroll + begin.y - y;
  }, () => {
    const { rubber } = view;
    view.rubber = null;
    if (rubber) {
      view.show(rubber.from, rubber.to);
    } else if (!moved) {
      const thing = pick(begin.x, begin.y);
      if (model.marks.includes(thing)) goTo(thing);
      else select(thing);
    }
  });
}

function onDoubleClick(event) {
  const thing = pick(event.offsetX, event.offsetY);
  if (thing?.type === "op") view.focus(thing.invoked, thing.last);
  else if (thing?.type === "fault") view.focus(thing.from, thing.to);
  else view.zoom(0.4, view.time(event.offsetX));
}

// In the strip a drag moves the view; one that begins beside the view takes it there first.
function onOverviewDrag(event) {
  const { canvas: strip } = overview;
  const length = view.to - view.from;
  const at = overview.time(event.offsetX);
  const grip = at >= view.from && at <= view.to && length < model.to - model.from ? at - view.from : length / 2;
  const move = (x) => view.show(overview.time(x) - grip, overview.time(x) - grip + length);
  move(event.offsetX);
  drag(strip, event, move, () => {});
}

function drag(element, event, onMove, onEnd) {
  element.setPointerCapture(event.pointerId);
  const { left, top } = element.getBoundingClientRect();
  const move = (event) => onMove(event.clientX - left, event.clientY - top);
  const end = () => {
    element.removeEventListener("pointermove", move);
    element.removeEventListener("pointerup", end);
    element.removeEventListener("pointercancel", end);
    onEnd();
  };
  element.addEventListener("pointermove", move);
  element.addEventListener("pointerup", end);
  element.addEventListener("pointercancel", end);
}

const KEYS = {
  "+": () => view.zoom(0.6),
  "=": () => view.zoom(0.6),
  "-": () => view.zoom(1 / 0.6),
  0: () => view.everything(),
  n: () => step(1),
  p: () => step(-1),
};

const LANE_KEYS = {
  ArrowLeft: () => view.pan(-0.15),
  ArrowRight: () => view.pan(0.15),
  Home: () => view.show(model.from, model.from + view.to - view.from),
  End: () => view.show(model.to - view.to + view.from, model.to),
  ",": () => stepOp(-1),
  ".": () => stepOp(1),
  "[": () => stepLane(-1),
  "]": () => stepLane(1),
  Escape: () => select(null),
};

function onKeyAnywhere(event) {
  const typing = event.target instanceof HTMLInputElement && event.target.type === "search";
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (Object.hasOwn(KEYS, event.key)) KEYS[event.key]();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(LANE_KEYS, event.key)) return;
  event.preventDefault();
  LANE_KEYS[event.key]();
}

function stepOp(by) {
  const op = view.selected?.type === "op" ? view.selected : null;
  if (!op) return stepLane(0);
  const row = op.owner.rows[op.row];
  selectOp(row[row.indexOf(op) + by]);
}

// The operation of the lane that is nearest to the selected one, or to the middle of the view.
function stepLane(by) {
  const list = lanes.list.filter((lane) => lane.owner);
  const op = view.selected?.type === "op" ? view.selected : null;
  const current = op ? list.indexOf(lanes.owners.get(op.owner)) + by : 0;
  const lane = list[Math.min(Math.max(current, 0), list.length - 1)];
  if (!lane) return;
  const time = op ? op.told : (view.from + view.to) / 2;
  const row = lane.owner.rows[0];
  selectOp(row[firstEndingAfter(row, time, (op) => op.reach)] ?? row.at(-1));
}

function selectOp(op) {
  if (!op) return;
  select(op);
  bringIntoSight(lanes.owners.get(op.owner));
  const length = view.to - view.from;
  if (op.last < view.from || op.invoked > view.to) view.show(op.invoked - length / 2, op.invoked + length / 2);
}
