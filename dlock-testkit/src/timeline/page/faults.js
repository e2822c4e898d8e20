// The faults: on top, each in a row for itself as long as it lasts.

const FAULT_ROWS = Math.min(3, model.faults.length);

// Rows are taken in turn, which leaves the most room for labels; they do not depend on the zoom, so
// that a fault stays where it is.
function placeFaults() {
  const last = [];
  const places = shownFaults().map((fault) => {
    const from = view.x(fault.from);
    const place = { fault, from, to: Math.max(view.x(fault.to), from + 3), row: freeRow(last, fault), room: Infinity };
    // A label ends where the next bar of its row begins.
    const before = last[place.row];
    if (before) before.room = from - before.from;
    last[place.row] = place;
    return place;
  });
  return places;
}

function freeRow(last, fault) {
  const ends = Array.from({ length: FAULT_ROWS }, (_, row) => last[row]?.fault.to ?? -Infinity);
  const begins = Array.from({ length: FAULT_ROWS }, (_, row) => last[row]?.fault.from ?? -Infinity);
  const free = [...ends.keys()].filter((row) => ends[row] <= fault.from);
  // More at a time than there are rows: it covers the one that ends first.
  if (free.length === 0) return ends.indexOf(Math.min(...ends));
  return free.reduce((best, row) => (begins[row] < begins[best] ? row : best));
}

function paintFaults(context, top) {
  context.font = theme.font;
  const places = placeFaults();
  for (const place of places) {
    const { fault, from, to, row } = place;
    const y = top + row * FAULT_ROW + 1;
    const left = Math.max(from, GUTTER - 5);
    const text = labelOf(context, place, left);
    place.right = Math.max(to, text ? left + context.measureText(text).width + 6 : 0);
    if (place.right < GUTTER || from > view.width) continue;
    if (to >= GUTTER) glyph.fault(context, left, Math.min(to, view.width + 5), y);
    context.fillStyle = theme["fault-text"];
    context.fillText(text, Math.max(left, GUTTER) + 6, y + (FAULT_ROW - 3) / 2);
  }
  return places;
}

// Of a fault that began before the view only the bar is a reason to name it.
function labelOf(context, { fault, from, to, room }, left) {
  const space = Math.min(from < GUTTER ? to - left : room, view.width - left) - 9;
  const texts = [`${fault.kind}: ${fault.target}`, fault.kind];
  return texts.find((text) => context.measureText(text).width <= space) ?? "";
}

// What the faults lay over: a shade on all lanes.
function paintFaultShades(context, top, bottom) {
  context.fillStyle = theme["apart-band"];
  context.globalAlpha = 0.45;
  for (const fault of shownFaults()) {
    if (fault.to < view.from || fault.from > view.to) continue;
    const from = Math.max(view.x(fault.from), GUTTER);
    context.fillRect(from, top, Math.min(view.x(fault.to), view.width) - from, bottom - top);
  }
  context.globalAlpha = 1;
}

// Moments that concern whole lanes: processes that went, the end of all faults, new epochs.
function paintMoments(context, { shift, topEnd, bottom }) {
  for (const moment of model.moments) {
    const x = view.x(moment.at);
    if (x < GUTTER || x > view.width) continue;
    const colour = moment.kind === "healed" ? theme.good : theme.text;
    for (const lane of lanes.list) {
      if (!concerns(moment, lane)) continue;
      glyph.moment(context, x, lane.y + shift, lane.y + lane.height + shift, colour, [5, 3]);
      if (moment.kind === "gone" && lane.type === "process") glyph.gone(context, x, lane.y + shift + 3);
      if (moment.kind === "epoch") label(context, `epoch ${moment.detail}`, x + 3, lane.y + shift + 8, theme.text);
    }
    if (moment.kind === "healed") {
      glyph.moment(context, x, topEnd, bottom, colour, [5, 3]);
      label(context, "healed", x + 4, topEnd + 9, theme.good);
    }
  }
}

function concerns(moment, lane) {
  if (moment.kind === "gone") return (lane.owner?.process ?? lane.text) === moment.who;
  return moment.kind === "epoch" && lane.type === "register" && lane.fenced && lane.name.text === moment.who;
}

function label(context, text, x, y, colour) {
  context.font = theme.bold;
  context.lineWidth = 3;
  context.strokeStyle = theme.back;
  context.strokeText(text, x, y);
  context.fillStyle = colour;
  context.fillText(text, x, y);
}
