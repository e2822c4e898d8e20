// All that is known of one thing. Text goes in as text: names are not markup.

const detailsBox = document.getElementById("details");
let detailed;

function showDetails() {
  const thing = view.selected ?? view.hovered;
  if (thing === detailed) return;
  detailed = thing;
  const rows = thing ? describe(thing) : null;
  if (!rows) {
    const hint = document.createElement("p");
    hint.className = "hint";
    hint.textContent = "Point at a bar, a fault or a write; click to keep it.";
    detailsBox.replaceChildren(hint);
    return;
  }
  const list = document.createElement("dl");
  for (const [term, text, bad] of rows) {
    if (text === "" || text == null) continue;
    const dt = document.createElement("dt");
    dt.textContent = term;
    const dd = document.createElement("dd");
    dd.textContent = text;
    if (bad) dd.className = "bad";
    list.append(dt, dd);
  }
  detailsBox.replaceChildren(list);
}

function describe(thing) {
  if (thing.type === "op") return describeOp(thing);
  if (thing.type === "fault") {
    return [["fault", thing.kind], ["target", thing.target], ...stretch(thing.from, thing.to), ["number", thing.index]];
  }
  if (thing.type === "touch") return describeTouch(thing);
  if (thing.type === "moment") return describeMoment(thing);
  return [
    [thing.violation ? "violation" : "not promised", `${thing.index + 1}: ${thing.kind}`, thing.violation],
    ["what", thing.message], ["name", thing.name?.text], ...stretch(thing.from, thing.to),
    ["owners", [...thing.owners].map((owner) => owner.owner).join(", ")],
  ];
}

function describeOp(op) {
  const held = op.outcome >= HELD_FROM;
  const rows = [
    ["name", op.name.text],
    ["owner", op.owner.owner],
    ["process", `${op.owner.process}, operation ${op.number}`],
    ["outcome", OUTCOMES[op.outcome]],
    ["why", op.text],
    ["token", op.token && tokenText(op.token)],
    ["invoked", `${atMs(op.invoked)} ms`],
  ];
  if (!held && op.outcome !== PENDING) rows.push(["told", later(op.told, op.told - op.invoked)]);
  if (held) {
    rows.push(["held from", later(op.told, op.told - op.invoked, "waited")]);
    rows.push(["valid until", op.until > op.told ? later(op.until, op.until - op.told, "held") : "never valid"]);
    if (op.noticed > op.until) rows.push(["knew at", later(op.noticed, op.noticed - op.until, "stood still")]);
    if (op.answered !== null) rows.push(["released", later(op.answered, op.answered - op.noticed, "took")]);
  }
  for (const mark of op.marks) rows.push([mark.violation ? "violation" : "not promised", mark.message, mark.violation]);
  return rows;
}

function describeTouch(touch) {
  return [
    [touch.isRead ? "read" : "write", touch.accepted ? "accepted" : "refused"],
    ["register", `${touch.name.text}, ${touch.fenced ? "fenced" : "unfenced"}`],
    ["owner", touch.owner],
    ["token", touch.token && tokenText(touch.token)],
    ["value", touch.isRead ? "" : String(touch.value)],
    ["at", `${atMs(touch.at)} ms`],
  ];
}

function describeMoment(moment) {
  const at = ["at", `${atMs(moment.at)} ms`];
  if (moment.kind === "gone") return [["process", `${moment.who} is gone`], at];
  if (moment.kind === "healed") return [["healed", "the last fault is over"], at];
  return [["epoch", `${moment.detail} accepted`], ["name", moment.who], at];
}

function stretch(from, to) {
  return [["from", `${atMs(from)} ms`], ["to", later(to, to - from, "lasted")]];
}

function later(at, took, word = "after") {
  return `${atMs(at)} ms (${word} ${duration(took)})`;
}
