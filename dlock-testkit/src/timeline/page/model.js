// The history, unpacked from the columns that data.rs writes. Times are microseconds from the start.

const HELD_FROM = 4;
const OUTCOMES = [
  "not acquired", "unknown", "process gone while waiting", "never answered",
  "released", "released, with an error", "lost", "process gone while holding", "held to the end",
];
const [FAILED, UNKNOWN, WAIT_GONE, PENDING, RELEASED, RELEASE_ERROR, LOST, HOLD_GONE, OPEN] = OUTCOMES.keys();
// Lanes show operations of one owner that overlap in rows, up to so many.
const MOST_ROWS = 4;

const model = unpack(JSON.parse(document.getElementById("history").textContent));

function unpack(data) {
  const string = (place) => (place < 0 ? "" : data.strings[place]);
  const token = (place) => {
    if (place < 0) return null;
    const [epoch, value] = data.tokens[place];
    return { epoch: string(epoch), value: String(value) };
  };
  const names = data.names.map((name, index) => ({ text: string(name), index, shown: true }));
  const owners = data.owners.map(([process, owner]) => ({ process: string(process), owner: string(owner), rows: [] }));
  const ops = unpackOps(data, { string, token, names, owners });
  const marks = data.marks.map((mark, index) => ({
    ...mark,
    index,
    ops: mark.ops.map((op) => ops[op]),
    owners: new Set(mark.ops.map((op) => ops[op].owner)),
    name: names[mark.name],
  }));
  for (const mark of marks) for (const op of mark.ops) op.marks.push(mark);
  return {
    startNs: data.start_ns,
    from: data.from,
    // A history of one moment still has a width to draw.
    to: Math.max(data.to, data.from + 1),
    store: data.store,
    seed: data.seed,
    command: data.command,
    epochs: new Set(data.tokens.map(([epoch]) => epoch)).size,
    names,
    owners,
    ops,
    marks,
    touches: unpackTouches(data, { string, token, names }),
    faults: data.faults.map(([from, to, kind, target], index) => (
      { type: "fault", index, from, to, kind: string(kind), target: string(target) }
    )),
    moments: data.moments.map(([kind, at, who, detail]) => (
      { type: "moment", kind, at, who: string(who), detail: string(detail) }
    )),
  };
}

function unpackOps(data, { string, token, names, owners }) {
  const columns = data.ops;
  const ops = [];
  let invoked = 0;
  for (let i = 0; i < columns.number.length; i++) {
    invoked += columns.invoked[i];
    const outcome = columns.outcome[i];
    const told = outcome === PENDING ? data.to : invoked + columns.told[i];
    const until = told + columns.until[i];
    const noticed = until + columns.noticed[i];
    const answered = columns.answered[i] < 0 ? null : noticed + columns.answered[i];
    const op = {
      type: "op", number: columns.number[i], owner: owners[columns.owner[i]], name: names[columns.name[i]],
      invoked, outcome, told, until, noticed, answered,
      token: token(columns.token[i]), text: string(columns.text[i]), marks: [],
    };
    op.last = Math.max(told, until, noticed, answered ?? 0);
    ops.push(op);
    putIntoRow(op);
  }
  return ops;
}

// The first row whose operations are over; where there are too many, the last one takes the rest.
// `reach` only grows along a row, so that what is visible can be found by bisection.
function putIntoRow(op) {
  const { rows } = op.owner;
  let row = rows.find((row) => row.at(-1).reach <= op.invoked);
  if (!row && rows.length < MOST_ROWS) rows.push(row = []);
  row ??= rows.at(-1);
  op.row = rows.indexOf(row);
  op.reach = Math.max(op.last, row.at(-1)?.reach ?? 0);
  row.push(op);
}

function unpackTouches(data, { string, token, names }) {
  const columns = data.touches;
  let at = 0;
  return columns.at.map((later, i) => {
    at += later;
    const flags = columns.flags[i];
    return {
      type: "touch", at, accepted: (flags & 1) > 0, fenced: (flags & 2) > 0, isRead: (flags & 4) > 0,
      name: names[columns.name[i]], owner: string(columns.owner[i]),
      token: token(columns.token[i]), value: columns.value[i],
    };
  });
}
