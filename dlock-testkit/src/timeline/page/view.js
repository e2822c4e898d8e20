// Which part of the run is seen, and where a time is on the canvas.

const GUTTER = 150;
// No closer than this many microseconds over the whole width: times are no finer.
const CLOSEST = 50;

const view = {
  from: model.from,
  to: model.to,
  width: 800,
  height: 400,
  scroll: 0,
  hovered: null,
  selected: null,
  mark: null,

  x(time) {
    return GUTTER + ((time - this.from) / (this.to - this.from)) * (this.width - GUTTER);
  },
  time(x) {
    return this.from + ((x - GUTTER) / (this.width - GUTTER)) * (this.to - this.from);
  },
  // Microseconds of a pixel.
  pixel() {
    return (this.to - this.from) / (this.width - GUTTER);
  },
  show(from, to) {
    const room = model.to - model.from;
    const length = Math.min(Math.max(to - from, Math.min(CLOSEST, room)), room);
    // A stretch that was too short grows on both sides.
    const begin = from - (length - (to - from)) / 2;
    this.from = Math.min(Math.max(begin, model.from), model.to - length);
    this.to = this.from + length;
    requestPaint();
  },
  pan(share) {
    const by = (this.to - this.from) * share;
    this.show(this.from + by, this.to + by);
  },
  // What is at `around` stays where it is.
  zoom(factor, around = (this.from + this.to) / 2) {
    const room = model.to - model.from;
    const length = Math.min(Math.max((this.to - this.from) * factor, Math.min(CLOSEST, room)), room);
    const share = (around - this.from) / (this.to - this.from);
    this.show(around - length * share, around + length * (1 - share));
  },
  everything() {
    this.show(model.from, model.to);
  },
  // With as much again on both sides, so that one sees where it happened.
  focus(from, to) {
    const margin = Math.max((to - from) * 1.2, 2000);
    this.show(from - margin, to + margin);
  },
};
