// The shapes that mean something. The legend draws with the same functions, so it cannot be wrong.

const BAR = 12;
const hatches = new Map();

// Strokes of a colour, with the ground showing between them.
function hatch(context, colour) {
  if (!hatches.has(colour)) {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 6;
    const pen = tile.getContext("2d");
    pen.fillStyle = theme.back;
    pen.fillRect(0, 0, 6, 6);
    pen.strokeStyle = colour;
    pen.lineWidth = 2;
    for (const x of [-6, 0, 6]) {
      pen.beginPath();
      pen.moveTo(x - 1, 7);
      pen.lineTo(x + 7, -1);
      pen.stroke();
    }
    hatches.set(colour, context.createPattern(tile, "repeat"));
  }
  return hatches.get(colour);
}

const glyph = {
  waiting(context, from, to, y, colour) {
    context.globalAlpha = 0.6;
    context.fillStyle = colour;
    context.fillRect(from, y + BAR / 2 - 1, Math.max(to - from, 0.5), 2);
    context.globalAlpha = 1;
  },
  valid(context, from, to, y, colour) {
    context.fillStyle = colour;
    context.fillRect(from, y, Math.max(to - from, 1), BAR);
  },
  past(context, from, to, y, colour) {
    const width = Math.max(to - from, 1);
    context.fillStyle = hatch(context, colour);
    context.fillRect(from, y, width, BAR);
    context.strokeStyle = colour;
    context.lineWidth = 1;
    if (width > 3) context.strokeRect(from + 0.5, y + 0.5, width - 1, BAR - 1);
  },
  unknown(context, from, to, y) {
    context.fillStyle = theme.grey;
    context.fillRect(from, y + 1, Math.max(to - from, 1), BAR - 2);
    if (to - from > 14) {
      context.fillStyle = theme.back;
      context.font = theme.bold;
      context.fillText("?", from + 4, y + BAR / 2 + 0.5);
    }
  },
  releasing(context, from, to, y, colour) {
    context.fillStyle = colour;
    for (let x = from; x < to; x += 4) context.fillRect(x, y + BAR / 2 - 1, Math.min(2, to - x), 2);
  },
  failed(context, x, y) {
    context.strokeStyle = theme.quiet;
    context.lineWidth = 1.5;
    cross(context, x, y + BAR / 2, 3);
  },
  released(context, x, y) {
    context.fillStyle = theme.text;
    context.fillRect(x - 1, y - 1, 1.5, BAR + 2);
  },
  releaseError(context, x, y) {
    glyph.released(context, x, y);
    context.font = theme.bold;
    context.fillText("!", x + 2, y + BAR / 2 + 0.5);
  },
  lost(context, x, y) {
    const middle = y + BAR / 2;
    context.fillStyle = theme.text;
    context.strokeStyle = theme.back;
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(x, middle - 6);
    context.lineTo(x + 6, middle);
    context.lineTo(x, middle + 6);
    context.lineTo(x - 6, middle);
    context.closePath();
    context.stroke();
    context.fill();
  },
  gone(context, x, y) {
    context.fillStyle = theme.back;
    context.strokeStyle = theme.text;
    context.lineWidth = 2;
    context.fillRect(x - 4, y + BAR / 2 - 4, 8, 8);
    context.strokeRect(x - 4, y + BAR / 2 - 4, 8, 8);
  },
  open(context, x, y) {
    context.fillStyle = theme.text;
    context.beginPath();
    context.moveTo(x - 7, y);
    context.lineTo(x, y + BAR / 2);
    context.lineTo(x - 7, y + BAR);
    context.fill();
  },
  accepted(context, x, middle, colour) {
    context.fillStyle = colour;
    context.beginPath();
    context.arc(x, middle, 2.6, 0, 7);
    context.fill();
  },
  refused(context, x, middle) {
    context.strokeStyle = theme.text;
    context.lineWidth = 1.8;
    cross(context, x, middle, 3.6);
  },
  refusedRead(context, x, middle) {
    glyph.refused(context, x, middle);
    context.lineWidth = 1;
    context.beginPath();
    context.arc(x, middle, 5.6, 0, 7);
    context.stroke();
  },
  fault(context, from, to, y) {
    const width = Math.max(to - from, 3);
    context.fillStyle = theme["fault-back"];
    context.fillRect(from, y, width, FAULT_ROW - 3);
    context.fillStyle = theme.fault;
    context.fillRect(from, y, Math.min(3, width), FAULT_ROW - 3);
    context.fillRect(from, y + FAULT_ROW - 5, width, 2);
  },
  flag(context, x, y, text, mark) {
    const colours = markColours(mark);
    context.font = theme.bold;
    const width = context.measureText(text).width + 8;
    context.fillStyle = colours.line;
    context.fillRect(x - width / 2, y, width, MARK_STRIP - 5);
    context.beginPath();
    context.moveTo(x - 4, y + MARK_STRIP - 5);
    context.lineTo(x, y + MARK_STRIP - 1);
    context.lineTo(x + 4, y + MARK_STRIP - 5);
    context.fill();
    context.fillStyle = colours.on;
    context.fillText(text, x - width / 2 + 4, y + (MARK_STRIP - 5) / 2 + 0.5);
    return width;
  },
  // The ground goes under the bars, the frame over them.
  bandGround(context, { left, width, y, height }, mark) {
    context.fillStyle = markColours(mark).band;
    context.fillRect(left, y, width, height);
  },
  bandFrame(context, { left, width, y, height }, mark) {
    context.strokeStyle = markColours(mark).line;
    context.lineWidth = 2;
    context.setLineDash(mark.violation ? [] : [3, 3]);
    context.strokeRect(left, y + 1, width, height - 2);
    context.setLineDash([]);
  },
  moment(context, x, from, to, colour, dash) {
    context.strokeStyle = colour;
    context.lineWidth = 1.5;
    context.setLineDash(dash);
    context.beginPath();
    context.moveTo(x, from);
    context.lineTo(x, to);
    context.stroke();
    context.setLineDash([]);
  },
};

function cross(context, x, y, size) {
  context.beginPath();
  context.moveTo(x - size, y - size);
  context.lineTo(x + size, y + size);
  context.moveTo(x + size, y - size);
  context.lineTo(x - size, y + size);
  context.stroke();
}
