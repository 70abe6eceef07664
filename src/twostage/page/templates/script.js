"use strict";
// ---- The claims board: filters and sorting
const form = document.querySelector(".filters");
const body = document.querySelector(".board tbody");
const rows = [...body.rows];
const none = document.querySelector(".none");

function filter() {
  const text = form.elements.text.value.trim().toLowerCase();
  const { paper, verdict } = Object.fromEntries(new FormData(form));
  let shown = 0;
  for (const row of rows) {
    const said = row.dataset;
    const fits = verdict === "" || (verdict === "decided" ? "decided" in said : verdict === "look" ? said.look !== "" : said.verdict === verdict);
    row.hidden = !(fits && (paper === "" || said.paper === paper) && row.textContent.toLowerCase().includes(text));
    shown += !row.hidden;
  }
  form.elements.shown.value = `${shown} of ${rows.length} claims`;
  none.hidden = shown > 0;
}
form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(filter));
none.querySelector("button").addEventListener("click", () => form.reset());
for (const link of document.querySelectorAll("a[data-verdict]"))
  link.addEventListener("click", () => { form.reset(); form.elements.verdict.value = link.dataset.verdict; setTimeout(filter); });

// Numbers before words; what has no number stays last in both directions.
function compared(one, other, sign) {
  if (one === "" || other === "") return (one === "") - (other === "");
  const [a, b] = [parseFloat(one), parseFloat(other)];
  if (!isNaN(a) && !isNaN(b)) return sign * (a - b);
  return sign * (isNaN(a) - isNaN(b) || one.localeCompare(other));
}
const heads = [...document.querySelectorAll(".board thead th")];
heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
  const down = head.getAttribute("aria-sort") === "ascending";
  heads.forEach((each) => each.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const key = (row) => row.cells[column].dataset.sort;
  body.append(...rows.sort((one, other) => compared(key(one), key(other), down ? -1 : 1)));
}));

// A link to a hidden claim shows it, one to closed details opens them.
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.matches("tr[hidden]")) { form.reset(); filter(); }
  if (target?.matches("details")) target.open = true;
  target?.scrollIntoView();
}
addEventListener("hashchange", reveal);
if (location.hash) reveal();

// ---- Sliders
for (const slider of document.querySelectorAll(".slider"))
  slider.querySelector("input").addEventListener("input", (event) =>
    slider.querySelector(".pair").style.setProperty("--at", `${event.target.value}%`));

// ---- Enlarged pictures
const dialog = document.querySelector("dialog");
const enlarged = dialog.querySelector("img");
const zoom = dialog.querySelector("input");
zoom.addEventListener("input", () => enlarged.style.setProperty("--zoom", zoom.value));
document.addEventListener("click", (event) => {
  const image = event.target.closest(".zoom")?.firstElementChild;
  if (!image) return;
  enlarged.src = image.src;
  enlarged.alt = dialog.querySelector("p").textContent = image.alt;
  enlarged.className = image.className;
  zoom.value = 1;
  enlarged.style.setProperty("--zoom", 1);
  dialog.showModal();
});
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

// ---- What plays: a button and a range of steps, of which `draw` shows one
function player(root, seconds, draw) {
  const [play, range] = [root.querySelector(".play"), root.querySelector("input")];
  const [first, last] = [Number(range.min), Number(range.max)];
  let timer = 0;
  const show = () => draw(Number(range.value));
  const stop = () => { clearInterval(timer); timer = 0; play.textContent = "Play"; };
  const next = () => { range.value = Number(range.value) + 1; show(); if (Number(range.value) === last) stop(); };
  const start = () => {
    if (Number(range.value) === last) { range.value = first; show(); }
    play.textContent = "Pause";
    timer = setInterval(next, (1000 * seconds) / (last - first));
  };
  play.addEventListener("click", () => (timer ? stop() : start()));
  range.addEventListener("input", () => { stop(); show(); });
  // Once, when it comes into view, for those who have not asked for less motion.
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches)
    new IntersectionObserver((seen, observer) => { if (seen.some((each) => each.isIntersecting)) { observer.disconnect(); start(); } },
      { threshold: 0.4 }).observe(root);
}

// The orders of the tokens, one token after the other
for (const orders of document.querySelectorAll(".orders")) {
  const paths = [...orders.querySelectorAll("svg")].map((svg) => {
    const line = svg.querySelector("polyline");
    return { cells: [...svg.querySelectorAll("rect")], line, points: line.getAttribute("points").trim().split(" ") };
  });
  player(orders, 9, (count) => {
    for (const { cells, line, points } of paths) {
      cells.forEach((cell, at) => { cell.classList.toggle("next", at >= count); cell.classList.toggle("now", at === count - 1 && count < cells.length); });
      line.setAttribute("points", points.slice(0, count).join(" "));
    }
  });
}

// Chains, each from its first to its last state, whatever their number
for (const films of document.querySelectorAll(".films")) {
  const last = Number(films.querySelector("input").max);
  player(films, 5, (at) => {
    for (const film of films.querySelectorAll("figure")) {
      const steps = film.dataset.steps.split(" ");
      const state = Math.round((at / last) * (steps.length - 1));
      film.style.setProperty("--state", state);
      film.querySelector("output").value = steps[state];
    }
  });
}
