// Numbers and words for people.

// Milliseconds from the start, as fine as `step` (both in microseconds) needs.
function atMs(time, step = 1) {
  const digits = step >= 1000 ? 0 : step >= 100 ? 1 : step >= 10 ? 2 : 3;
  return (time / 1000).toFixed(digits);
}

function duration(micros) {
  const size = Math.abs(micros);
  if (size < 1000) return `${micros} µs`;
  if (size < 1e6) return `${(micros / 1000).toFixed(size < 1e5 ? 2 : 1)} ms`;
  return `${(micros / 1e6).toFixed(size < 1e7 ? 3 : 2)} s`;
}

function tokenText(token) {
  return model.epochs > 1 ? `${token.value} (epoch ${token.epoch})` : token.value;
}

function counted(count, what) {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

// As much of `text` as `width` has room for; nothing where that would say nothing.
function fitted(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let kept = text.length;
  while (kept > 0 && context.measureText(`${text.slice(0, kept)}…`).width > width) kept--;
  return kept < 3 ? "" : `${text.slice(0, kept)}…`;
}

// Of a token the last digits are those that differ.
function fittedToken(context, token, width) {
  const full = `#${token.value}`;
  if (context.measureText(full).width <= width) return full;
  const short = `…${token.value.slice(-4)}`;
  return token.value.length > 4 && context.measureText(short).width <= width ? short : "";
}
