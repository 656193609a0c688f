// The page: which photo, garment and landmark are open, and what buttons, keys and pointers do to them.

import * as api from "./api.js";
import { HIDDEN, Labels, NONE, VISIBLE, leastSureOf, words } from "./garments.js";
import { Keeper } from "./keeping.js";
import { listenToKeys } from "./keys.js";
import * as lists from "./lists.js";
import { View } from "./view.js";

const $ = (id) => document.getElementById(id);
const MEASURED = 500; // milliseconds after the last change
let started = null, setup = null, listing = { photos: [], offered: [], batches: [] };
let labels = null, draft = null, current = [0, 0], measured = null, measuring = 0;

const keeper = new Keeper((text) => { $("status").textContent = text; }, refused);
const view = new View($("view"), $("loupe"), {
  choose: (g, i) => choose(g, i),
  drag: (g, i, x, y) => changed(() => labels.move(g, i, x, y, `drag ${g} ${i}`)),
  corner: (g, c, x, y) => changed(() => labels.moveCorner(g, c, x, y, `corner ${g} ${c}`)),
  end: () => labels.endMerge(),
});

function message(text, bad, ...buttons) {
  $("message").hidden = !text;
  $("message").className = bad ? "bad" : "";
  $("message").querySelector("p").textContent = text || "";
  const actions = buttons.map(([name, act]) => lists.make("button", { type: "button", textContent: name, onclick: act }));
  const close = lists.make("button", { type: "button", className: "quiet", textContent: "Close", onclick: () => message() });
  $("message").querySelector(".actions").replaceChildren(...actions, close);
}

// Say what the service refuses, and offer what can be done about it.
function refused(error) {
  if (!(error instanceof api.Refused)) throw error;
  $("status").textContent = error.code === "offline" ? "not kept" : "";
  if (error.status === 401 || error.code === "person") {
    enter(error.status === 401 && api.who.token ? error.message : "", error.status === 401);
  } else if (error.code === "changed" && draft) {
    const { photo } = draft;
    message(error.message, true,
      ["Load it again", () => run(async () => { keeper.open(null, null); await openPhoto(photo); })],
      ["Replace it by mine", () => run(async () => { await keeper.replace(); message(); await refresh(); })]);
  } else if (error.code === "offline") {
    message(error.message, true, ["Try again", () => run(async () => { await keeper.keep(); message(); })]);
  } else {
    message(error.message, true);
    if (error.code === "saved" || error.code === "no_photo") closePhoto();
  }
}

async function run(work) {
  try {
    return await work();
  } catch (error) {
    return refused(error);
  }
}

// Photos.

async function refresh() {
  listing = await api.photos();
  showQueue();
}

function showQueue() {
  const upto = Number($("lowest").value);
  $("upto").textContent = upto.toFixed(2);
  lists.showPhotos($("photos"), listing, draft && draft.photo, upto, {
    openPhoto: (key) => run(() => openPhoto(key)),
    openRanked: (number) => run(async () => { await keeper.keep(); await show(await api.openRanked(number)); }),
  });
  lists.showBatches($("batches"), listing.batches, (name) => run(async () => {
    await api.markReady(name);
    message(`${name} is ready: “fashion-ops batches” takes it.`);
    await refresh();
  }));
  $("save").disabled = !setup.saves;
  $("save").title = setup.saves ? "" : "start the service in a workspace to save batches";
}

async function openPhoto(key) {
  await keeper.keep();
  await show(await api.openPhoto(key));
}

async function show(opened) {
  const address = await api.imageOf(opened.photo, "large");
  [draft, labels, measured] = [opened, new Labels(setup, opened), null];
  keeper.open(draft, labels);
  current = [0, leastSure(0)];
  $("empty").hidden = true;
  message();
  view.open(labels, address);
  redraw();
  $("status").textContent = `${draft.name}, by ${draft.model}`;
  measure(0);
  await refresh();
  $("view").focus({ preventScroll: true });
}

function closePhoto() {
  [draft, labels, measured] = [null, null, null];
  keeper.open(null, null);
  view.close();
  $("empty").hidden = false;
  redraw();
  run(refresh);
}

async function drop(files) {
  let waited = null;
  while (!setup && waited !== started) await (waited = started); // for somebody to say who labels
  if (!setup) return;
  let last = null, number = 0;
  const failures = [];
  for (const file of files) {
    $("status").textContent = `photo ${++number} of ${files.length} …`;
    try {
      last = await api.addPhoto(file);
    } catch (error) {
      if (!(error instanceof api.Refused) || error.status === 401) throw error;
      failures.push(`${file.name}: ${error.message}`);
    }
  }
  $("status").textContent = "";
  await refresh();
  if (last && !draft) await show(await api.openPhoto((listing.photos[0] || last).photo));
  if (failures.length) message(failures.join("; "), true);
}

async function done() {
  if (!labels) return;
  await keeper.keep(true);
  const finished = draft.photo;
  await refresh();
  const next = listing.photos.find((p) => !p.done && p.photo !== finished);
  if (next) await openPhoto(next.photo);
  else if (listing.offered.length) await show(await api.openRanked(listing.offered[0].number));
  else message("All photos are done.", false, ["Save a batch", () => saveDialog()]);
}

async function saveDialog() {
  await keeper.keep();
  await refresh();
  const chosen = listing.photos.filter((p) => p.done);
  const plural = chosen.length === 1 ? "photo is" : "photos are";
  $("what").textContent = chosen.length
    ? `${chosen.length} ${plural} done: ${chosen.map((p) => p.name).join(", ")}.`
    : "No photo is done. Look at one, then press “Done”.";
  $("confirm").disabled = !chosen.length;
  $("saving").showModal();
  answered("saving", () => run(async () => {
    const ready = $("ready").checked;
    const { batch, photos } = await api.saveBatch(chosen.map(({ photo, revision }) => ({ photo, revision })), ready);
    closePhoto();
    const many = photos === 1 ? "photo" : "photos";
    message(`${photos} ${many} saved as ${batch}${ready ? ": “fashion-ops batches” takes it." : ", not marked as ready yet."}`);
  }));
}

// What a dialog's main button does, at once: the event `close` comes after the next key.
function answered(dialog, act) {
  $(dialog).querySelector("form").onsubmit = (event) => { if (event.submitter.value) act(); };
}

// Labels.

function redraw() {
  const open = Boolean(labels), garment = open && labels.garments[current[0]];
  if (open) {
    view.draw(current, setup.unsure);
    lists.showGarments($("garments"), labels, current[0], (g) => choose(g, leastSure(g)));
    lists.showLandmarks($("landmarks"), labels, current, setup.unsure, choose);
    lists.showSizes($("sizes").tBodies[0], $("unit"), measured, current[0]);
  } else {
    $("garments").replaceChildren();
  }
  $("garment").hidden = !garment;
  if (garment) $("category").value = garment.category;
  $("said").textContent = open ? lists.said(labels, current) : "";
  const point = garment && garment.landmarks[current[1]];
  $("hide").setAttribute("aria-pressed", String(Boolean(point) && point.v === HIDDEN));
  $("clear").setAttribute("aria-pressed", String(Boolean(point) && point.v === NONE));
  for (const id of ["previous", "next", "unsure", "hide", "clear"]) $(id).disabled = !garment;
  for (const id of ["done", "add", "in", "out", "remove"]) $(id).disabled = !open;
  $("undo").disabled = !open || !labels.past.length;
  $("redo").disabled = !open || !labels.future.length;
}

function choose(g, i) {
  current = [g, i];
  redraw();
  const chosen = $("landmarks").children[i];
  if (chosen && matchMedia("(min-width: 821px)").matches) chosen.scrollIntoView({ block: "nearest" });
}

function changed(edit) {
  if (!labels || edit() === false) return;
  const last = labels.garments.length - 1;
  if (current[0] > last) current = [Math.max(last, 0), 0];
  redraw();
  keeper.changed();
  measure(MEASURED);
}

function measure(wait) {
  clearTimeout(measuring);
  const { photo } = draft, garments = labels.garments;
  measuring = setTimeout(async () => {
    try {
      const found = await api.sizes(photo, garments);
      if (draft && draft.photo === photo) measured = found;
    } catch {
      measured = null; // sizes are a help, not the work
    }
    if (labels) lists.showSizes($("sizes").tBodies[0], $("unit"), measured, current[0]);
  }, wait);
}

const leastSure = (g) => (labels.garments[g] ? leastSureOf(labels.garments[g])[0] : 0);

function step(by) {
  const [g, i] = current, count = labels.garments[g].landmarks.length;
  choose(g, (i + by + count) % count);
}

function nextLeastSure() {
  const found = labels.garments.map((garment, g) => [g, ...leastSureOf(garment)]);
  const [g, i] = found.sort((a, b) => a[2] - b[2])[0];
  choose(g, i);
}

function toggle(v) {
  const [g, i] = current, point = labels.garments[g].landmarks[i];
  changed(() => labels.show(g, i, point.v === v ? VISIBLE : v));
}

function nudge(dx, dy) {
  const [g, i] = current, p = labels.garments[g].landmarks[i];
  if (p.v !== NONE) changed(() => labels.move(g, i, p.x + dx, p.y + dy, `nudge ${g} ${i}`));
}

function addDialog() {
  $("adding").showModal();
  answered("adding", () => changed(() => {
    labels.add($("new-category").value);
    current = [labels.garments.length - 1, 0];
  }));
}

// Buttons and keys.

const acts = {
  undo: () => changed(() => labels.undo()),
  redo: () => changed(() => labels.redo()),
  previous: () => step(-1),
  next: () => step(1),
  unsure: nextLeastSure,
  hide: () => toggle(HIDDEN),
  clear: () => toggle(NONE),
  in: () => view.zoom(0.7),
  out: () => view.zoom(1 / 0.7),
  add: addDialog,
  delete: () => changed(() => labels.delete(current[0])),
  done: () => run(done),
  save: () => run(saveDialog),
  remove: () => confirm(`Remove ${draft.name} and its labels?`) && run(async () => {
    await keeper.keep();
    await api.remove(draft.photo, draft.revision);
    closePhoto();
  }),
  keys: () => $("help").showModal(),
  person: () => enter("", Boolean(api.who.token)),
};
for (const [id, act] of Object.entries(acts)) $(id).addEventListener("click", () => !$(id).disabled && act());

listenToKeys({
  act: (id) => !$(id).disabled && (id !== "delete" || !$("garment").hidden) && acts[id](),
  nudge: (dx, dy) => labels && labels.garments.length && nudge(dx, dy),
  endNudge: () => labels && labels.endMerge(),
  turn: (by) => {
    const count = labels ? labels.garments.length : 0, g = (current[0] + by + count) % count;
    if (count) choose(g, leastSure(g));
  },
  category: () => !$("garment").hidden && $("category").focus(),
  whole: () => labels && view.whole(),
});

$("category").addEventListener("change", (event) => {
  changed(() => labels.recategorize(current[0], event.target.value));
  current = [current[0], leastSure(current[0])];
  redraw();
  $("view").focus({ preventScroll: true });
});
$("new-category").addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault(); // else the browser opens the list
  const { form } = event.target;
  form.requestSubmit(form.querySelector("button.main"));
});
$("lowest").addEventListener("input", showQueue);
$("files").addEventListener("change", (event) => {
  const files = [...event.target.files];
  event.target.value = "";
  if (files.length) run(() => drop(files));
});
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    $("stage").classList.toggle("over", name === "dragover");
    if (name === "drop" && event.dataTransfer.files.length) run(() => drop([...event.dataTransfer.files]));
  });
}
document.addEventListener("visibilitychange", () => document.hidden && run(() => keeper.keep()));
window.addEventListener("pagehide", () => keeper.leave());
window.addEventListener("pageshow", (event) => event.persisted && location.reload());

// The beginning.

// Ask who labels; `started` then waits for the answer, and photos that are dropped meanwhile wait for it.
function enter(why, withToken) {
  if ($("enter").open) return started;
  $("name").value = api.who.person;
  $("with-token").hidden = !withToken;
  $("refused").textContent = why;
  $("enter").showModal();
  started = new Promise((resolve) => {
    $("enter").onclose = () => {
      api.who.person = $("name").value.trim();
      if (!$("with-token").hidden) api.who.token = $("token").value.trim();
      $("token").value = "";
      resolve(start());
    };
  });
  return started;
}

async function start() {
  $("person").textContent = api.who.person;
  if (!api.who.person) return enter("", false);
  return run(async () => {
    setup = await api.setup();
    for (const id of ["category", "new-category"]) {
      $(id).replaceChildren(...setup.categories.map(({ name }) => lists.make("option", { value: name, textContent: words(name) })));
    }
    $("unsure-below").textContent = setup.unsure;
    if (keeper.draft) await keeper.keep();
    redraw();
    await refresh();
  });
}

started = start();
