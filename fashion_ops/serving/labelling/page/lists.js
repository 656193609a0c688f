// The lists beside the photo: photos, batches, garments, landmarks, sizes. Texts are set as text only.

import { imageOf } from "./api.js";
import { HIDDEN, NONE, sideOf, words } from "./garments.js";

export function make(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const part = (score) => score.toFixed(2);

// `on` has openPhoto(key) and openRanked(number).
export function showPhotos(list, { photos, offered }, current, upto, on) {
  const shown = photos.filter((p) => upto >= 1 || (p.lowest !== null && p.lowest <= upto));
  const rows = shown.map((p) => {
    const said = p.done ? `done · ${p.person}` : [p.lowest === null ? "" : part(p.lowest), p.corrected ? p.person : ""]
      .filter(Boolean).join(" · ");
    const image = make("img", { alt: "", width: 46, height: 46 });
    imageOf(p.photo, "small").then((address) => { image.src = address; }, () => {});
    const button = make("button", { type: "button", title: p.name, onclick: () => on.openPhoto(p.photo) },
      image, make("span", {}, p.name, make("small", { textContent: said || "—" })));
    button.dataset.photo = p.photo;
    if (p.photo === current) button.setAttribute("aria-current", "true");
    return make("li", {}, button);
  });
  const rest = upto < 1 ? [] : offered.map(({ number, name }) => make("li", {}, make("button",
    { type: "button", title: name, onclick: () => on.openRanked(number) },
    make("div", { className: "blank", textContent: `${number + 1}` }),
    make("span", {}, name, make("small", { textContent: "not opened" })))));
  list.replaceChildren(...rows, ...rest);
}

export function showBatches(place, batches, ready) {
  place.replaceChildren(...batches.map((name) => make("p", {}, `${name} waits `,
    make("button", { type: "button", textContent: "Mark as ready", onclick: () => ready(name) }))));
}

export function showGarments(list, labels, current, choose) {
  list.replaceChildren(...labels.garments.map((garment, g) => {
    const said = garment.score === null ? "added" : part(garment.score);
    const button = make("button", { type: "button", onclick: () => choose(g) },
      make("span", { textContent: words(garment.category) }), make("span", { textContent: said }));
    button.setAttribute("aria-pressed", String(g === current));
    return make("li", {}, button);
  }));
}

export function showLandmarks(list, labels, [g, i], unsure, choose) {
  const garment = labels.garments[g];
  if (!garment) return list.replaceChildren();
  const names = labels.kind(garment).landmarks;
  list.replaceChildren(...garment.landmarks.map((p, n) => {
    const low = p.score !== null && p.score < unsure;
    const states = [sideOf(names[n]), low && "low", p.v === HIDDEN && "hidden", p.v === NONE && "none"];
    const said = p.v === NONE ? "no label" : p.score === null ? "by hand" : part(p.score);
    const button = make("button",
      { type: "button", className: states.filter(Boolean).join(" "), onclick: () => choose(g, n) },
      make("i"), make("span", { textContent: words(names[n]) }),
      make("small", { textContent: p.v === HIDDEN ? `hidden · ${said}` : said }));
    button.setAttribute("aria-pressed", String(n === i));
    return make("li", {}, button);
  }));
  return undefined;
}

export function showSizes(table, unit, measured, g) {
  const garment = measured && measured.garments[g];
  const rows = garment ? Object.entries(garment.sizes) : [];
  unit.textContent = !measured ? "" : measured.unit === "cm" ? `in cm, by the ${measured.reference.name}` : "in pixels: no reference";
  table.replaceChildren(...rows.map(([name, size]) => {
    const half = (size.interval_95[1] - size.interval_95[0]) / 2;
    const text = size.value === null ? "—" : `${size.value.toFixed(1)} ± ${half.toFixed(1)}`;
    const row = make("tr", { className: size.shown ? "" : "soft" },
      make("td", { textContent: words(name) }), make("td", { textContent: text }));
    return row;
  }));
}

// One line of what is chosen, for the eye and for screen readers.
export function said(labels, [g, i]) {
  const garment = labels.garments[g], p = garment && garment.landmarks[i];
  if (!p) return garment ? words(garment.category) : "";
  const name = words(labels.kind(garment).landmarks[i]);
  if (p.v === NONE) return `${name}: no label`;
  const how = p.score === null ? "by hand" : `score ${part(p.score)}`;
  return `${name}: ${Math.round(p.x)}, ${Math.round(p.y)}, ${p.v === HIDDEN ? "hidden" : "visible"}, ${how}`;
}
