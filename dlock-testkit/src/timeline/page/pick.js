// What is under the pointer. `painted` is what the last frame put on top.

const REACH = 4;

function pick(x, y) {
  if (y < painted.topEnd) {
    const flag = painted.flags.find((flag) => inside(x, flag.x, flag.width) && y < AXIS + MARK_STRIP && y >= AXIS);
    if (flag) return flag.mark;
    const row = Math.floor((y - AXIS - painted.strip) / FAULT_ROW);
    const place = painted.faults.find(({ row: its, from, right }) => its === row && inside(x, from, right - from));
    return place?.fault ?? null;
  }
  if (x < GUTTER) return null;
  const inLanes = y - painted.shift;
  const lane = lanes.list.find((lane) => inLanes >= lane.y && inLanes < lane.y + lane.height);
  if (lane?.type === "owner") return pickOp(lane, x, inLanes - lane.y) ?? pickMoment(x, lane);
  if (lane?.type === "register") return nearestTouch(lane, x) ?? pickMoment(x, lane);
  return lane ? pickMoment(x, lane) : null;
}

function inside(x, from, width) {
  return x >= from - 1 && x <= from + width + 1;
}

function pickOp(lane, x, y) {
  const { rows } = lane.owner;
  const index = Math.min(Math.max(Math.floor((y - (lane.height - rows.length * ROW) / 2) / ROW), 0), rows.length - 1);
  const row = rows[index];
  let best = null;
  let bestDistance = REACH;
  const first = firstEndingAfter(row, view.time(x - REACH), (op) => op.reach);
  for (let i = first; i < row.length && view.x(row[i].invoked) <= x + REACH; i++) {
    const op = row[i];
    if (!nameIsShown(op.name)) continue;
    const distance = Math.max(view.x(op.invoked) - x, x - view.x(op.last), 0);
    if (distance < bestDistance) {
      best = op;
      bestDistance = distance;
    }
  }
  return best;
}

function nearestTouch(lane, x) {
  const { touches } = lane;
  const first = firstEndingAfter(touches, view.time(x - REACH - 1), (touch) => touch.at);
  let best = null;
  for (let i = first; i < touches.length && view.x(touches[i].at) <= x + REACH + 1; i++) {
    const distance = Math.abs(view.x(touches[i].at) - x) - (touches[i].accepted ? 0 : 2);
    if (!best || distance < best.distance) best = { distance, touch: touches[i] };
  }
  return best?.touch ?? null;
}

function pickMoment(x, lane) {
  return model.moments.find((moment) => (
    Math.abs(view.x(moment.at) - x) <= REACH && (moment.kind === "healed" || concerns(moment, lane))
  )) ?? null;
}
