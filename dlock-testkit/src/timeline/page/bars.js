// The operations in the lanes of their owners.

// What is narrower shares the pixel with its neighbours.
const NARROW = 1.5;
// What is narrower shows no end, unless the end is news.
const SMALL = 5;

// Draws the operations of a lane, and answers how many of them are in the picture.
function paintBars(context, lane, shift) {
  let drawn = 0;
  lane.owner.rows.forEach((row, index) => {
    const y = rowTop(lane, index) + shift;
    const pile = { x: null, op: null };
    for (let i = firstEndingAfter(row, view.from, (op) => op.reach); i < row.length; i++) {
      const op = row[i];
      if (op.invoked > view.to) break;
      if (op.last < view.from || !nameIsShown(op.name)) continue;
      drawn++;
      if (view.x(op.last) - view.x(op.invoked) < NARROW) pileUp(context, pile, op, y);
      else paintOp(context, op, y);
    }
    flush(context, pile, y);
  });
  return drawn;
}

// Where the bars of a row of `lane` begin, before scrolling.
function rowTop(lane, row) {
  return lane.y + row * ROW + (lane.height - lane.owner.rows.length * ROW + ROW - BAR) / 2;
}

// Of all that fall on one pixel the one that says most is drawn.
function pileUp(context, pile, op, y) {
  const x = Math.floor(view.x(op.invoked));
  if (x !== pile.x) flush(context, pile, y);
  if (!pile.op || weight(op) > weight(pile.op)) pile.op = op;
  pile.x = x;
}

function flush(context, pile, y) {
  const { op, x } = pile;
  pile.op = null;
  if (!op) return;
  if (op.outcome === FAILED) {
    context.fillStyle = theme.quiet;
    context.fillRect(x, y + 4, 1, BAR - 8);
    return;
  }
  context.fillStyle = op.outcome >= HELD_FROM ? nameColour(op.name) : theme.grey;
  context.fillRect(x, y, 1, BAR);
  if (op.outcome === LOST) {
    context.fillStyle = theme.text;
    context.fillRect(x, y, 1.5, 4);
  }
}

function weight(op) {
  if (op.outcome === LOST) return 3;
  if (op.outcome === FAILED) return 0;
  return op.outcome < HELD_FROM ? 2 : 1;
}

function paintOp(context, op, y) {
  // Nothing is drawn far outside: huge coordinates make browsers slow, and wrong.
  const x = (time) => Math.min(Math.max(view.x(time), GUTTER - 20), view.width + 20);
  const invoked = x(op.invoked);
  const told = x(op.told);
  if (op.outcome < HELD_FROM) {
    if (op.outcome === FAILED) {
      glyph.waiting(context, invoked, told, y, theme.quiet);
      if (told - invoked > 5) glyph.failed(context, told - 3, y);
    } else {
      glyph.unknown(context, invoked, told, y);
      if (op.outcome === WAIT_GONE) glyph.gone(context, told, y);
      if (op.outcome === PENDING) glyph.open(context, told, y);
    }
  } else {
    paintHold(context, op, y, { x, invoked, told });
  }
}

function paintHold(context, op, y, { x, invoked, told }) {
  const colour = nameColour(op.name);
  const until = x(Math.max(op.until, op.told));
  const noticed = x(Math.max(op.noticed, op.told));
  glyph.waiting(context, invoked, told, y, colour);
  if (op.until > op.told) glyph.valid(context, told, until, y, colour);
  if (op.noticed > op.until) glyph.past(context, until, noticed, y, colour);
  // Of a hold of a few pixels only what it was can be told, and much time is saved by not trying.
  if (x(op.last) - told < SMALL && op.outcome === RELEASED) return;
  if (op.answered > op.noticed) glyph.releasing(context, noticed, x(op.answered), y, colour);
  paintText(context, op, { from: told, to: until, y });
  paintEnd(context, op, { x: noticed, y, room: noticed - told });
}

function paintText(context, op, { from, to, y }) {
  // What is to the left of the view would not be read.
  const left = Math.max(from, GUTTER) + 4;
  const room = Math.min(to, view.width) - left - 6;
  if (room < 14) return;
  context.fillStyle = theme["on-name"];
  context.font = theme.font;
  let text = op.token ? fittedToken(context, op.token, room) : "";
  const named = `${text} ${op.name.text}`.trim();
  if ((text || !op.token) && context.measureText(named).width <= room) text = named;
  if (text) context.fillText(text, left, y + BAR / 2 + 0.5);
}

function paintEnd(context, op, { x, y, room }) {
  // On a short bar only an end that is news is drawn.
  if (op.outcome === LOST) {
    if (room > 4) glyph.lost(context, x, y);
    else glyph.released(context, x, y);
  } else if (op.outcome === HOLD_GONE) glyph.gone(context, x, y);
  else if (op.outcome === OPEN) glyph.open(context, x, y);
  else if (op.outcome === RELEASE_ERROR) glyph.releaseError(context, x, y);
  else if (room > 6) glyph.released(context, x, y);
}
