// Every mark, drawn by the function that draws it in the lanes, and what it means.

function buildLegend() {
  const colour = theme.names[0];
  const mark = { violation: true };
  const apart = { violation: false };
  const rows = [
    ["waiting for the name", (c) => glyph.waiting(c, 4, 60, 6, colour)],
    ["holds it, and may believe so; the colour is that of the name, #7 the fencing token", (c) => {
      glyph.valid(c, 4, 60, 6, colour);
      c.fillStyle = theme["on-name"];
      c.font = theme.font;
      c.fillText("#7", 8, 12.5);
    }],
    ["stood still past the end of its validity, until it noticed", (c) => glyph.past(c, 4, 60, 6, colour)],
    ["released; dots: until the release was answered", (c) => {
      glyph.valid(c, 4, 34, 6, colour);
      glyph.releasing(c, 34, 60, 6, colour);
      glyph.released(c, 34, 6);
    }],
    ["released, and the answer was an error", (c) => {
      glyph.valid(c, 4, 48, 6, colour);
      glyph.releaseError(c, 48, 6);
    }],
    ["lost", (c) => {
      glyph.valid(c, 4, 48, 6, colour);
      glyph.lost(c, 48, 6);
    }],
    ["its process was gone", (c) => {
      glyph.valid(c, 4, 48, 6, colour);
      glyph.gone(c, 48, 6);
    }],
    ["held to the end of the history", (c) => {
      glyph.valid(c, 4, 58, 6, colour);
      glyph.open(c, 58, 6);
    }],
    ["did not get the name", (c) => {
      glyph.waiting(c, 4, 50, 6, theme.quiet);
      glyph.failed(c, 50, 6);
    }],
    ["nobody knows: an error that says nothing about the claim, or no answer", (c) => glyph.unknown(c, 4, 60, 6)],
    ["a fault, from its beginning to its end, with its target; its shade lies on all lanes", (c) => (
      glyph.fault(c, 4, 60, 5)
    )],
    ["a process was gone: a line through its lanes", (c) => {
      glyph.moment(c, 32, 0, 24, theme.text, [5, 3]);
      glyph.gone(c, 32, 6);
    }],
    ["an operator accepted a new epoch of tokens: a line through the register, with the epoch", (c) => (
      glyph.moment(c, 32, 1, 23, theme.text, [5, 3])
    )],
    ["the last fault is over (healed)", (c) => glyph.moment(c, 32, 1, 23, theme.good, [5, 3])],
    ["a write that the resource accepted", (c) => glyph.accepted(c, 32, 12, colour)],
    ["a write that it refused: the fence at work", (c) => glyph.refused(c, 32, 12)],
    ["a read that it refused", (c) => glyph.refusedRead(c, 32, 12)],
    ["a violation, numbered as in the list: flag, and frame around the lanes concerned", (c) => {
      band(c, mark);
      glyph.flag(c, 18, 4, "!1", mark);
    }],
    ["the same where nothing else was promised (under this fault, or without a fence): counted apart", (c) => {
      band(c, apart);
      glyph.flag(c, 18, 4, "~2", apart);
    }],
  ];
  const table = document.createElement("table");
  for (const [text, paint] of rows) {
    const row = table.insertRow();
    row.insertCell().append(sample(paint));
    row.insertCell().textContent = text;
  }
  const note = document.createElement("p");
  note.textContent = "Operations that are narrower than a pixel share it: of those the one is drawn that says most "
    + "(lost, then unknown, then held). Zoom in to see them all.";
  document.querySelector("#legend .sheet").replaceChildren(table, note);
}

function band(context, mark) {
  const place = { left: 38, width: 20, y: 3, height: 18 };
  glyph.bandGround(context, place, mark);
  glyph.bandFrame(context, place, mark);
}

function sample(paint) {
  const canvas = document.createElement("canvas");
  canvas.width = 66 * devicePixelRatio;
  canvas.height = 24 * devicePixelRatio;
  canvas.style.cssText = "width:66px;height:24px;display:block";
  canvas.setAttribute("aria-hidden", "true");
  const context = scaled(canvas, devicePixelRatio);
  context.textBaseline = "middle";
  paint(context);
  return canvas;
}
