// The colours of the style sheet, for the canvas. They change with the reader's light or dark mode.

const theme = {};
const dark = matchMedia("(prefers-color-scheme: dark)");

function readTheme() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  for (const name of ["back", "panel", "line", "text", "quiet", "grey", "stripe", "fault", "fault-back", "fault-text",
    "good", "violation", "on-violation", "band", "apart", "apart-band", "focus", "window", "on-name"]) {
    theme[name] = colour(name);
  }
  theme.names = Array.from({ length: 8 }, (_, i) => colour(`name-${i}`));
  theme.font = '11px system-ui, "DejaVu Sans", sans-serif';
  theme.bold = '600 11px system-ui, "DejaVu Sans", sans-serif';
}

function nameColour(name) {
  return theme.names[name.index % theme.names.length];
}

function markColours(mark) {
  return mark.violation
    ? { line: theme.violation, band: theme.band, on: theme["on-violation"] }
    : { line: theme.apart, band: theme["apart-band"], on: theme.back };
}

readTheme();
