// The public pages' one script: local times, what happened on a day, keeping the page fresh.
// Everything is there without it.
"use strict";

const REFRESH_MS = 60_000;
const language = document.documentElement.lang;
const format = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
const dayFormat = new Intl.DateTimeFormat(language, { dateStyle: "long", timeZone: "UTC" });

function showTimes() {
  for (const element of document.querySelectorAll("time[data-time]")) {
    if (!element.title) element.title = element.textContent;
    element.textContent = format.format(new Date(element.dateTime));
  }
}

// ------------------------------------------------------------------ days

const tip = document.getElementById("tip");
const wordsOf = (id) => document.getElementById(id).content.textContent;

function showDay(bars, event) {
  const svg = bars.querySelector("svg");
  const box = svg.getBoundingClientRect();
  const count = Number(bars.dataset.days);
  const place = Math.min(count - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * count)));
  const day = new Date(Date.parse(bars.dataset.first) + place * 86_400_000);
  const told = bars.parentElement.querySelector(`[data-day="${place}"]`);
  const isKnown = svg.dataset.unknown === undefined || !svg.dataset.unknown.split(" ").includes(String(place));
  const title = document.createElement("b");
  title.textContent = dayFormat.format(day);
  const words = told ? told.textContent.slice(told.textContent.indexOf(":") + 1).trim()
    : wordsOf(isKnown ? "calm-words" : "unknown-words");
  tip.replaceChildren(title, words);
  tip.hidden = false;
  const middle = box.left + ((place + 0.5) / count) * box.width;
  const width = tip.offsetWidth;
  const left = Math.min(Math.max(8, middle - width / 2), document.documentElement.clientWidth - width - 8);
  tip.style.left = `${left + window.scrollX}px`;
  tip.style.top = `${box.bottom + 6 + window.scrollY}px`;
}

document.addEventListener("pointermove", (event) => {
  const bars = event.target.closest?.(".bars");
  if (bars) showDay(bars, event);
  else if (tip) tip.hidden = true;
});
document.addEventListener("pointerdown", (event) => {
  const bars = event.target.closest?.(".bars");
  if (bars) showDay(bars, event);
});

// ------------------------------------------------------------------ freshness

function main() {
  return document.getElementById("main");
}

// Nothing is replaced under the hands of somebody who marks text or fills in a form.
function isBusy() {
  const selection = document.getSelection();
  if (selection && !selection.isCollapsed) return true;
  const { activeElement } = document;
  return main().contains(activeElement) && activeElement.matches("input, textarea, select");
}

// What is open stays open, and the focus stays where it is.
function replaceMain(wanted) {
  for (const details of main().querySelectorAll("details[id]")) {
    const twin = wanted.querySelector(`#${CSS.escape(details.id)}`);
    if (twin) twin.open = details.open;
  }
  const focused = document.activeElement;
  const holder = main().contains(focused) ? focused.closest("[id]") : null;
  const alike = (inside) => [...inside.querySelectorAll(focused.tagName)];
  const place = holder ? alike(holder).indexOf(focused) : -1;
  main().replaceWith(wanted);
  const twin = holder && document.getElementById(holder.id);
  if (twin) (alike(twin)[place] ?? twin).focus({ preventScroll: true });
}

async function refresh() {
  if (document.hidden || isBusy() || !main().dataset.asOf) return;
  try {
    const answer = await fetch(location.pathname, { cache: "no-cache" });
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const wanted = fresh.getElementById("main");
    if (!wanted) throw new Error("no page");
    replaceMain(wanted);
    document.title = fresh.title;
    const note = document.getElementById("stale-note");
    if (note) note.replaceChildren(...fresh.getElementById("stale-note").childNodes);
    showTimes();
  } catch {
    // told below, once it has lasted
  }
  tellIfStale();
}

function tellIfStale() {
  const { asOf, freshFor } = main().dataset;
  const note = document.getElementById("stale-note");
  if (!asOf || !note || note.firstElementChild) return;
  if (Date.now() - Date.parse(asOf) < Number(freshFor) * 1000 + REFRESH_MS) return;
  const words = document.createElement("p");
  words.className = "stale";
  words.setAttribute("role", "status");
  words.textContent = wordsOf("stale-words");
  note.replaceChildren(words);
}

showTimes();
setInterval(refresh, REFRESH_MS);
document.addEventListener("visibilitychange", refresh);
