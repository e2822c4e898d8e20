// The list of what the checker marked, and stepping through it.

// A store without any lock gives thousands: nobody reads on, and the page would be slow.
const MOST_LISTED = 500;
const marksBox = document.getElementById("marks");

function listMarks() {
  const violations = model.marks.filter((mark) => mark.violation).length;
  const apart = model.marks.length - violations;
  const more = apart > 0 ? `, and ${apart} where nothing else was promised` : "";
  document.getElementById("marks-title").textContent = `${counted(violations, "violation")}${more}`;
  marksBox.replaceChildren(...model.marks.slice(0, MOST_LISTED).map(markItem));
  if (model.marks.length > MOST_LISTED) {
    const rest = document.createElement("li");
    rest.textContent = `and ${model.marks.length - MOST_LISTED} more: n and p go to all of them`;
    marksBox.append(rest);
  }
  for (const id of ["previous-mark", "next-mark"]) document.getElementById(id).disabled = model.marks.length === 0;
}

function markItem(mark) {
  const item = document.createElement("li");
  if (!mark.violation) item.className = "apart";
  const button = document.createElement("button");
  const title = document.createElement("b");
  title.textContent = `${mark.violation ? "!" : "~"}${mark.index + 1} ${mark.kind}`;
  const place = document.createElement("small");
  const name = mark.name ? `${mark.name.text}, ` : "";
  const lasting = mark.to > mark.from ? ` for ${duration(mark.to - mark.from)}` : "";
  place.textContent = `${name}at ${atMs(mark.from)} ms${lasting}`;
  button.append(title, ` ${mark.message}`, place);
  button.onclick = () => goTo(mark);
  mark.button = button;
  item.append(button);
  return item;
}

function goTo(mark) {
  view.mark?.button?.removeAttribute("aria-current");
  if (mark.button) {
    mark.button.setAttribute("aria-current", "true");
    scrollList(mark.button);
  }
  view.mark = mark;
  select(mark);
  view.focus(mark.from, mark.to);
  const lane = lanes.list.find((lane) => isConcerned(mark, lane));
  if (lane) bringIntoSight(lane);
}

// Only the list: on small screens the page would leave the picture.
function scrollList(button) {
  const list = marksBox.parentElement;
  const top = button.offsetTop - list.offsetTop;
  if (top < list.scrollTop || top + button.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = top - 40;
}

// To the next one of the list, or with -1 to the one before, and around its ends.
function step(by) {
  const { marks } = model;
  if (marks.length === 0) return;
  const current = view.mark ? view.mark.index : by > 0 ? -1 : 0;
  goTo(marks[(current + by + marks.length) % marks.length]);
}
