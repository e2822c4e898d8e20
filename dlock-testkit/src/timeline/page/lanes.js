// Where everything stands from top to bottom. Axis, marks and faults stay on top; the rest scrolls.

const AXIS = 20;
const MARK_STRIP = 17;
const FAULT_ROW = 16;
const MOST_FAULT_ROWS = 5;
const HEADING = 18;
const LANE = 20;
const ROW = 16;
const REGISTER = 17;

const filter = { names: new Set(), owners: "", kinds: new Set() };

let lanes = layOut();

function layOut() {
  let y = 6;
  const list = [];
  let process = null;
  for (const owner of model.owners) {
    if (!ownerIsShown(owner)) continue;
    if (owner.process !== process) {
      process = owner.process;
      list.push({ type: "process", y, height: HEADING, text: process });
      y += HEADING;
    }
    const height = Math.max(LANE, owner.rows.length * ROW + 4);
    list.push({ type: "owner", y, height, owner });
    y += height;
  }
  const touched = new Set(model.touches.map((touch) => touch.name));
  const names = model.names.filter((name) => touched.has(name) && nameIsShown(name));
  if (names.length > 0) {
    y += 8;
    list.push({ type: "process", y, height: HEADING, text: "resource" });
    y += HEADING;
  }
  for (const name of names) {
    for (const fenced of [true, false]) {
      const touches = model.touches.filter((touch) => touch.name === name && touch.fenced === fenced);
      if (touches.length === 0) continue;
      list.push({ type: "register", y, height: REGISTER, name, fenced, touches });
      y += REGISTER;
    }
  }
  const owners = new Map(list.filter((lane) => lane.owner).map((lane) => [lane.owner, lane]));
  return { list, owners, height: y + 10 };
}

function nameIsShown(name) {
  return !filter.names.has(name);
}

function ownerIsShown(owner) {
  const wanted = filter.owners.toLowerCase();
  return `${owner.process} ${owner.owner}`.toLowerCase().includes(wanted)
    && owner.rows.some((row) => row.some((op) => nameIsShown(op.name)));
}

function shownFaults() {
  return model.faults.filter((fault) => !filter.kinds.has(fault.kind));
}

// The place of the first in `list`, which is sorted by `end`, that ends at or after `time`.
function firstEndingAfter(list, time, end) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (end(list[middle]) < time) low = middle + 1;
    else high = middle;
  }
  return low;
}
