// Writes to the registers, and reads that were refused.

// Dots that are nearer than this run into one another: one more would not be seen.
const DENSE = 2;

function paintTouches(context, lane, top) {
  const { touches } = lane;
  const middle = top + lane.height / 2;
  const colour = nameColour(lane.name);
  let last = -Infinity;
  const refused = [];
  for (let i = firstEndingAfter(touches, view.from, (touch) => touch.at); i < touches.length; i++) {
    const touch = touches[i];
    if (touch.at > view.to) break;
    const x = view.x(touch.at);
    if (!touch.accepted) {
      refused.push(touch);
    } else if (x - last >= DENSE) {
      glyph.accepted(context, x, middle, colour);
      last = x;
    }
  }
  // On top of the dots: few, and what one looks for.
  last = -Infinity;
  for (const touch of refused) {
    const x = view.x(touch.at);
    if (x - last < 1) continue;
    last = x;
    if (touch.isRead) glyph.refusedRead(context, x, middle);
    else glyph.refused(context, x, middle);
  }
}
