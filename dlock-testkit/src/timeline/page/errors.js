// Runs before everything else, so that an error of the page itself can be seen by whoever opens it,
// a test included.
"use strict";
document.body.dataset.errors = "0";
addEventListener("error", (event) => {
  const body = document.body;
  body.dataset.errors = String(Number(body.dataset.errors) + 1);
  body.dataset.error = `${event.message} (line ${event.lineno})`;
  document.getElementById("summary").textContent = `The picture could not be drawn: ${event.message}`;
});
