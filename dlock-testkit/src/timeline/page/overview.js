// The entire run in a strip: how many held at each time, faults above, marks below, and the view.

const overview = {
  canvas: document.getElementById("overview"),
  ground: document.createElement("canvas"),
  stale: true,

  x(time) {
    return GUTTER + ((time - model.from) / (model.to - model.from)) * (this.canvas.clientWidth - GUTTER);
  },
  time(x) {
    return model.from + ((x - GUTTER) / (this.canvas.clientWidth - GUTTER)) * (model.to - model.from);
  },
};

function paintOverview() {
  const { canvas, ground } = overview;
  const ratio = devicePixelRatio;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (overview.stale || ground.width !== Math.round(width * ratio)) {
    ground.width = canvas.width = Math.round(width * ratio);
    ground.height = canvas.height = Math.round(height * ratio);
    paintStripGround(scaled(ground, ratio), width, height);
    overview.stale = false;
  }
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.drawImage(ground, 0, 0);
  context.scale(ratio, ratio);
  const left = overview.x(view.from);
  const right = Math.max(overview.x(view.to), left + 3);
  // What is not in view is dimmed, so that what is keeps its colours.
  context.fillStyle = theme.panel;
  context.globalAlpha = 0.6;
  context.fillRect(GUTTER, 0, left - GUTTER, height);
  context.fillRect(right, 0, width - right, height);
  context.globalAlpha = 1;
  paintStripMarks(context, height);
  context.strokeStyle = theme.focus;
  context.lineWidth = 2;
  context.strokeRect(left + 1, 1, right - left - 2, height - 2);
}

function scaled(canvas, ratio) {
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return context;
}

function paintStripGround(context, width, height) {
  context.fillStyle = theme.back;
  context.fillRect(0, 0, width, height);
  context.textBaseline = "middle";
  context.font = theme.bold;
  context.fillStyle = theme.text;
  context.fillText("entire run", 8, height / 2);
  context.fillStyle = theme.fault;
  for (const fault of shownFaults()) {
    const x = overview.x(fault.from);
    context.fillRect(x, 3, Math.max(overview.x(fault.to) - x, 1), 6);
  }
  const counts = holdsPerPixel(Math.ceil(width));
  const most = Math.max(1, ...counts);
  const floor = height - 12;
  context.fillStyle = theme.names[0];
  context.globalAlpha = 0.75;
  counts.forEach((count, x) => {
    const tall = (count / most) * (floor - 13);
    context.fillRect(x, floor - tall, 1, tall);
  });
  context.globalAlpha = 1;
  for (const moment of model.moments) {
    if (moment.kind === "healed") glyph.moment(context, overview.x(moment.at), 0, height, theme.good, [3, 2]);
  }
}

// Nothing may cover them, and of them nothing a violation.
function paintStripMarks(context, height) {
  for (const mark of [...model.marks].sort((a, b) => a.violation - b.violation)) {
    const x = overview.x(mark.from);
    context.fillStyle = markColours(mark).line;
    context.fillRect(x - 1, height - 11, Math.max(overview.x(mark.to) - x, 3), 8);
  }
}

// How many holds touch each pixel: a sum over where they begin and end.
function holdsPerPixel(width) {
  const changes = new Int32Array(width + 2);
  for (const op of model.ops) {
    if (op.outcome < HELD_FROM || !nameIsShown(op.name) || !lanes.owners.has(op.owner)) continue;
    const column = (time) => Math.min(Math.max(Math.floor(overview.x(time)), 0), width);
    changes[column(op.told)]++;
    changes[column(Math.max(op.noticed, op.told)) + 1]--;
  }
  let sum = 0;
  return Array.from(changes.subarray(0, width), (change) => (sum += change));
}
