// What is under the pointer, what is selected, and the stretch that is being chosen.

function paintHighlight(context, thing, colour) {
  const place = thing && placeOf(thing);
  if (!place) return;
  context.strokeStyle = colour;
  context.lineWidth = 2;
  context.strokeRect(place.from, place.y, Math.max(place.to - place.from, 4), place.height);
}

// Where an operation or a fault is, if it is in view.
function placeOf(thing) {
  let place = null;
  if (thing.type === "op") {
    const lane = lanes.owners.get(thing.owner);
    if (!lane || !laneIsSeen(lane)) return null;
    const y = rowTop(lane, thing.row) + painted.shift - 2;
    // A lane that is partly scrolled away would have its frame among the faults.
    if (y < painted.topEnd) return null;
    place = { from: view.x(thing.invoked) - 1, to: view.x(thing.last) + 1, y, height: BAR + 4 };
  } else if (thing.type === "fault") {
    const found = painted.faults.find(({ fault }) => fault === thing);
    if (!found) return null;
    const y = AXIS + painted.strip + found.row * FAULT_ROW;
    place = { from: found.from - 1, to: found.to + 1, y, height: FAULT_ROW - 1 };
  }
  if (!place || place.to < GUTTER || place.from > view.width) return null;
  return { ...place, from: Math.max(place.from, GUTTER), to: Math.min(place.to, view.width + 5) };
}

function paintRubber(context) {
  if (!view.rubber) return;
  context.fillStyle = theme.window;
  const from = view.x(view.rubber.from);
  context.fillRect(from, painted.topEnd, view.x(view.rubber.to) - from, painted.bottom - painted.topEnd);
}
