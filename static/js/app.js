// The pages' one script: local times, refreshing, the theme, copying, rows of rules.
// Everything works without it; it adds what HTML alone can't do.
"use strict";

const REFRESH_MS = 5000;
// With a live stream the server says when; the look now and then is for what it does not tell.
const LIVE_REFRESH_MS = 15000;
const REFRESH_TIMEOUT_MS = 10000;
const TOLD_MS = 1000;
const RECONNECT_MS = 10000;
const HURRY_MS = 1000;
const HURRY_FOR_MS = 15000;

// ------------------------------------------------------------------ times

const day = { day: "numeric", month: "short" };
const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
// The zone of the profile where one is chosen there, else the browser's.
const timeZone = document.documentElement.dataset.zone || undefined;
const formatOf = (parts) => new Intl.DateTimeFormat(undefined, { ...parts, timeZone });
const yearFormat = formatOf({ year: "numeric" });
const dayFormat = formatOf({ ...day, year: "numeric" });
const thisYearFormat = formatOf({ ...day, ...clock });
const otherYearFormat = formatOf({ ...day, year: "numeric", ...clock });

function momentText(at, now) {
  const isThisYear = yearFormat.format(at) === yearFormat.format(now);
  return (isThisYear ? thisYearFormat : otherYearFormat).format(at);
}

function durationText(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const units = [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]];
  for (const [size, unit, smaller, smallUnit] of units) {
    if (whole >= size) {
      const rest = Math.floor((whole % size) / smaller);
      return `${Math.floor(whole / size)} ${unit}` + (rest ? ` ${rest} ${smallUnit}` : "");
    }
  }
  return `${whole} s`;
}

// The server's clock counts, not the browser's: the page says when it was rendered.
let clockAhead = 0;

function setClock(root) {
  const stamp = root.querySelector("[data-now]");
  if (stamp) clockAhead = Date.now() - Date.parse(stamp.dataset.now);
}

function showTimes(root) {
  const now = Date.now() - clockAhead;
  for (const element of root.querySelectorAll("time[data-time]")) {
    const at = Date.parse(element.dateTime);
    const past = durationText((now - at) / 1000);
    const texts = {
      day: dayFormat.format(at),
      moment: momentText(at, now),
      ago: `${past} ago`,
      lasting: past,
    };
    const text = texts[element.dataset.time];
    if (element.textContent !== text) element.textContent = text;
  }
}

// ------------------------------------------------------------------ refreshing

let hurryUntil = 0;
let lastRefresh = Date.now();

function refresh() {
  connect();
  if (document.hidden) return;
  if (Date.now() - lastRefresh < pause()) return;
  lastRefresh = Date.now();
  wasTold = false;
  for (const element of document.querySelectorAll("[data-refresh]")) {
    if (!isBusy(element)) htmx.trigger(element, "refresh");
  }
}

function pause() {
  if (wasTold) return TOLD_MS;
  if (isHurried()) return HURRY_MS;
  return isLive ? LIVE_REFRESH_MS : REFRESH_MS;
}

// Something is expected: what was just asked for, or what the server says the page waits for.
function isHurried() {
  return Date.now() < hurryUntil || document.querySelector("[data-refresh=often]") !== null;
}

// Nothing is replaced under the hands of somebody who marks text, types, has opened or ticked
// something.
function isBusy(element) {
  const selection = document.getSelection();
  const marks = selection && !selection.isCollapsed && element.contains(selection.anchorNode);
  const types = element.contains(document.activeElement) &&
    document.activeElement.matches("input, textarea, select, [data-chart]");
  return marks || types || element.querySelector("details[open], .tick:checked") !== null;
}

// Somebody may have begun while the answer was on its way.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { requestConfig, target } = event.detail;
  if (requestConfig.triggeringEvent?.type === "refresh" && isBusy(target)) {
    event.detail.shouldSwap = false;
  }
});

// ------------------------------------------------------------------ live

// The stream of what the page shows: each event brings a refresh, at most one a second. A page that
// nobody sees has none, for a browser opens only six connections to a server.
let stream = null;
let streamAddress = "";
let isLive = false;
let wasTold = false;
let brokeAt = 0;

function connect() {
  const shown = document.hidden ? null : document.querySelector("[data-live]");
  const address = shown ? `/api/v1/events/${shown.dataset.live}` : "";
  const isBroken = stream !== null && stream.readyState === EventSource.CLOSED;
  if (address === streamAddress && !isBroken) return;
  if (isBroken && Date.now() - brokeAt < RECONNECT_MS) return;
  if (stream !== null) stream.close();
  isLive = false;
  streamAddress = address;
  stream = address ? openStream(address) : null;
}

function openStream(address) {
  const opened = new EventSource(address);
  opened.onopen = () => {
    isLive = true;
    wasTold = true; // whatever changed since the page was made
  };
  opened.onerror = () => {
    isLive = false;
    brokeAt = Date.now();
  };
  for (const name of ["check.update", "monitor.status", "incident.update", "resync"]) {
    opened.addEventListener(name, () => { wasTold = true; });
  }
  return opened;
}

function setStale(isStale) {
  const bar = document.getElementById("stale");
  if (bar) bar.hidden = !isStale;
}

document.addEventListener("htmx:afterOnLoad", () => setStale(false));
document.addEventListener("htmx:sendError", () => setStale(true));
document.addEventListener("htmx:responseError", () => setStale(true));
document.addEventListener("htmx:timeout", () => setStale(true));
// A connection that is gone without a word answers nothing: a refresh is not waited for for ever.
document.addEventListener("htmx:configRequest", (event) => {
  if (event.detail.triggeringEvent?.type === "refresh") event.detail.timeout = REFRESH_TIMEOUT_MS;
});
// The title says what matters of a page; a screen reader hears it when it changes.
let titleSaid = document.title;

function announce() {
  if (document.title === titleSaid) return;
  titleSaid = document.title;
  document.getElementById("announcement").textContent = titleSaid;
}

document.addEventListener("htmx:afterSettle", announce);
document.addEventListener("htmx:afterSwap", () => {
  setClock(document);
  revealScripted();
  equipCharts();
  showTimes(document);
  placeErrors();
});
document.addEventListener("submit", (event) => {
  if (event.target.matches("[data-hurry]")) hurryUntil = Date.now() + HURRY_FOR_MS;
});
document.addEventListener("visibilitychange", refresh);

// ------------------------------------------------------------------ theme

function themeShown() {
  const chosen = document.documentElement.dataset.theme;
  if (chosen) return chosen;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

function switchTheme() {
  const theme = themeShown() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  document.cookie = `theme=${theme}; path=/; max-age=31536000; samesite=lax`;
}

// ------------------------------------------------------------------ clicks

async function copyText(button) {
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent.trim());
    button.lastElementChild.textContent = "Copied";
  } catch {
    // no clipboard without HTTPS: mark the text, so that a keystroke copies it
    document.getSelection().selectAllChildren(source);
    button.lastElementChild.textContent = "Press Ctrl+C";
  }
}

// A row's fields carry its number; a new row takes the next one that was never used.
function addRow(button) {
  const rows = document.getElementById(button.dataset.addRow);
  const blank = document.getElementById(`${button.dataset.addRow}-blank`);
  const number = Number(rows.dataset.next);
  rows.dataset.next = number + 1;
  const holder = document.createElement("div");
  holder.innerHTML = blank.innerHTML.replaceAll("__row__", number);
  const row = holder.firstElementChild;
  rows.append(row);
  row.querySelector("select, input").focus();
}

function removeRow(button) {
  const rows = button.closest("[data-rows]");
  button.closest("[data-row]").remove();
  document.querySelector(`[data-add-row="${rows.id}"]`).focus();
}

function switchFullscreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen();
}

// The box in the head ticks its page; ticking one of the page's by hand shows in the head.
document.addEventListener("change", (event) => {
  const form = event.target.closest("[data-many]");
  if (!form) return;
  const boxes = [...form.querySelectorAll(".tick[name=monitor]")];
  const head = form.querySelector("[data-tick-all]");
  if (event.target === head) {
    for (const box of boxes) box.checked = head.checked;
  }
  const ticked = boxes.filter((box) => box.checked).length;
  head.checked = ticked === boxes.length;
  head.indeterminate = ticked > 0 && ticked < boxes.length;
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.theme !== undefined) switchTheme();
  else if (button.dataset.fullscreen !== undefined) switchFullscreen();
  else if (button.dataset.copy) copyText(button);
  else if (button.dataset.addRow) addRow(button);
  else if (button.dataset.removeRow !== undefined) removeRow(button);
});

// A switch of the team or a filter takes effect at once; its button is for those without a script.
document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-at-once]");
  if (form) form.requestSubmit();
});

// ------------------------------------------------------------------ charts

// A chart is read step by step: by pointing, or with the arrow keys once it has the focus. What a
// step says stands below it, and is what a screen reader says.
function equipCharts() {
  for (const frame of document.querySelectorAll("[data-chart]:not([tabindex])")) {
    const last = frame.querySelectorAll(".chart-hit").length - 1;
    const readout = document.createElement("p");
    readout.className = "chart-readout";
    readout.setAttribute("aria-hidden", "true");
    frame.after(readout);
    frame.tabIndex = 0;
    frame.setAttribute("role", "slider");
    frame.setAttribute("aria-label", frame.dataset.chart);
    frame.setAttribute("aria-valuemin", 0);
    frame.setAttribute("aria-valuemax", last);
    readStep(frame, last, false);
  }
}

function readStep(frame, place, isShown = true) {
  const steps = [...frame.querySelectorAll(".chart-hit")];
  const step = Math.min(Math.max(place, 0), steps.length - 1);
  const text = steps[step].querySelector("title").textContent;
  frame.setAttribute("aria-valuenow", step);
  frame.setAttribute("aria-valuetext", text);
  if (!isShown) return;
  frame.nextElementSibling.textContent = text;
  for (const one of steps) one.classList.toggle("is-read", one === steps[step]);
}

document.addEventListener("focusin", (event) => {
  const frame = event.target;
  if (frame.matches("[data-chart]")) readStep(frame, Number(frame.getAttribute("aria-valuenow")));
});

document.addEventListener("mouseover", (event) => {
  if (!event.target.matches("[data-chart] .chart-hit")) return;
  const frame = event.target.closest("[data-chart]");
  readStep(frame, [...frame.querySelectorAll(".chart-hit")].indexOf(event.target));
});

document.addEventListener("keydown", (event) => {
  const frame = event.target;
  if (!frame.matches("[data-chart]")) return;
  const place = Number(frame.getAttribute("aria-valuenow"));
  const places = {
    ArrowLeft: place - 1,
    ArrowDown: place - 1,
    ArrowRight: place + 1,
    ArrowUp: place + 1,
    PageDown: place - 10,
    PageUp: place + 10,
    Home: 0,
    End: Infinity,
  };
  if (places[event.key] === undefined) return;
  event.preventDefault();
  readStep(frame, places[event.key]);
});

// ------------------------------------------------------------------ forms

// Of several ways to go on, only the fields of the chosen one are shown.
function showChosen(root) {
  for (const box of root.querySelectorAll("[data-options]")) {
    const chosen = box.querySelector("select").value;
    for (const option of box.querySelectorAll("[data-option]")) {
      option.hidden = option.dataset.option !== chosen;
    }
  }
  for (const form of root.querySelectorAll("form[data-reach]")) {
    const chosen = form.querySelector("[name=reach]:checked")?.value;
    for (const part of form.querySelectorAll("[data-when]")) {
      part.hidden = part.dataset.when !== chosen;
    }
  }
}

document.addEventListener("change", () => showChosen(document));

// Blank rows are for those without a script: with it, rows are added when they are wanted.
function dropBlankRows() {
  for (const row of document.querySelectorAll("[data-row]")) {
    if (!row.querySelector("select, input").value && !row.querySelector(".error")) row.remove();
  }
}

// What is wrong with fields that the server was shown without saving them, beside each of them.
function placeErrors() {
  for (const placed of document.querySelectorAll("[data-placed]")) {
    placed.parentElement.classList.remove("has-errors");
    placed.remove();
  }
  for (const one of document.querySelectorAll("[data-error-of]")) {
    const field = document.getElementById(one.dataset.errorOf)?.closest(".field");
    if (!field) continue;
    const text = document.createElement("p");
    text.className = "error";
    text.dataset.placed = "";
    text.textContent = one.textContent;
    field.append(text);
    field.classList.add("has-errors");
    for (let fold = field.closest("details"); fold; fold = fold.parentElement.closest("details")) {
      fold.open = true;
    }
  }
}

// The server learns by whose clocks times are typed where the profile names no zone.
function tellZone() {
  const zone = new Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) document.cookie = `zone=${zone}; path=/; max-age=31536000; samesite=lax`;
}

// ------------------------------------------------------------------ start

// What needs the script appears, what stands in for it goes.
function revealScripted() {
  for (const element of document.querySelectorAll("[data-script]")) element.hidden = false;
  for (const element of document.querySelectorAll("[data-no-script]")) element.remove();
}

function start() {
  revealScripted();
  dropBlankRows();
  tellZone();
  equipCharts();
  showChosen(document);
  setClock(document);
  showTimes(document);
  setInterval(() => showTimes(document), 1000);
  setInterval(refresh, 250);
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
