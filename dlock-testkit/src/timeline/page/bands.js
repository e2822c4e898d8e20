// What the checker marked: a flag on top, and a band across the lanes of the owners concerned.

// Where the bands of the marks in view are.
function placeBands({ shift, topEnd, bottom }) {
  const seen = model.marks.filter((mark) => mark.to >= view.from && mark.from <= view.to);
  return seen.map((mark) => {
    const from = Math.max(view.x(mark.from), GUTTER - 5);
    const to = Math.min(view.x(mark.to), view.width + 5);
    const width = Math.max(to - from, 3);
    const left = (from + to - width) / 2;
    const concerned = lanes.list.filter((lane) => isConcerned(mark, lane));
    const bands = concerned.map((lane) => ({ left, width, y: lane.y + shift, height: lane.height }));
    // One that concerns nobody who is shown goes through all lanes.
    if (bands.length === 0) bands.push({ left, width, y: topEnd, height: bottom - topEnd });
    return { mark, middle: left + width / 2, bands };
  });
}

function paintBandGrounds(context, places) {
  for (const { mark, bands } of places) {
    for (const band of bands) glyph.bandGround(context, band, mark);
  }
}

function paintBandFrames(context, places, topEnd) {
  for (const { mark, middle, bands } of places) {
    for (const band of bands) glyph.bandFrame(context, band, mark);
    connect(context, mark, middle, topEnd, bands.at(-1).y);
  }
}

function isConcerned(mark, lane) {
  if (lane.type !== "register") return mark.owners.has(lane.owner);
  const register = lane.fenced ? "fenced" : "unfenced";
  return lane.name === mark.name && (mark.register ?? register) === register;
}

// From the flag to the last lane, so that the eye finds all of them.
function connect(context, mark, x, top, bottom) {
  context.globalAlpha = 0.7;
  glyph.moment(context, x, top, bottom, markColours(mark).line, [1, 4]);
  context.globalAlpha = 1;
}

// The flags; where they would cover each other, one tells how many it stands for.
function paintFlags(context, top) {
  const flags = [];
  for (const mark of model.marks) {
    if (mark.to < view.from || mark.from > view.to) continue;
    const middle = view.x((Math.max(mark.from, view.from) + Math.min(mark.to, view.to)) / 2);
    // One at the edge of the view is to be read, too.
    const x = Math.min(Math.max(middle, GUTTER + 14), view.width - 20);
    const near = flags.find((flag) => Math.abs(flag.x - x) < 26);
    if (near) near.marks.push(mark);
    else flags.push({ x, marks: [mark] });
  }
  return flags.map(({ x, marks }) => {
    const shown = marks.find((mark) => mark.violation) ?? marks[0];
    const more = marks.length > 1 ? ` +${marks.length - 1}` : "";
    const width = glyph.flag(context, x, top + 1, `${shown.violation ? "!" : "~"}${shown.index + 1}${more}`, shown);
    return { x: x - width / 2, width, mark: shown };
  });
}
