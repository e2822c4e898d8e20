// What is left out: names, fault kinds, and owners that do not match.

function buildFilters() {
  const sheet = document.querySelector("#filters .sheet");
  const search = document.createElement("input");
  search.type = "search";
  search.placeholder = "part of an owner or a process";
  search.setAttribute("aria-label", "Owners");
  search.oninput = () => {
    filter.owners = search.value.trim();
    refilter();
  };
  sheet.append(fieldset("Owners", [search]));
  const names = model.names.map((name) => choice(name.text, filter.names, name, name.index));
  if (names.length > 0) sheet.append(fieldset("Names", names));
  const kinds = [...new Set(model.faults.map((fault) => fault.kind))].sort();
  if (kinds.length > 0) sheet.append(fieldset("Faults", kinds.map((kind) => choice(kind, filter.kinds, kind))));
}

function fieldset(title, children) {
  const set = document.createElement("fieldset");
  const legend = document.createElement("legend");
  legend.textContent = title;
  set.append(legend, ...children);
  return set;
}

// A box that is ticked as long as `key` is not among the `left out`.
function choice(text, leftOut, key, colour) {
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = true;
  box.onchange = () => {
    if (box.checked) leftOut.delete(key);
    else leftOut.add(key);
    refilter();
  };
  label.append(box);
  if (colour !== undefined) {
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.background = `var(--name-${colour % theme.names.length})`;
    label.append(swatch);
  }
  label.append(text);
  return label;
}

function refilter() {
  lanes = layOut();
  overview.stale = true;
  const active = filter.owners !== "" || filter.names.size + filter.kinds.size > 0;
  document.querySelector("#filters > summary").textContent = active ? "Filter (on)" : "Filter";
  requestPaint();
}
