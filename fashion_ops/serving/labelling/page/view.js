// The photo with its landmarks as SVG, what a pointer does on it, and the loupe. One pixel of the photo is
// one unit; a pixel's centre is at whole numbers, so the photo begins at -0.5.

import { HIDDEN, NONE, sideOf } from "./garments.js";

const REACH = { mouse: 14, pen: 16, touch: 28 }; // CSS pixels around a landmark
const START = 3; // CSS pixels that a drag needs
const OUTSIDE = 8; // CSS pixels from a corner of a box to its handle, which leaves landmarks free
const LARGEST = 0.04, LOUPE = 3; // units a CSS pixel; magnification

const NS = "http://www.w3.org/2000/svg";

function element(name, attributes, ...children) {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export class View {
  // `on` has the answers to pointers: choose(g, i), drag(g, i, x, y), corner(g, c, x, y), end().
  constructor(svg, loupe, on) {
    Object.assign(this, { svg, loupe, on, labels: null, pointers: new Map() });
    this.photo = element("image", { x: -0.5, y: -0.5 });
    this.layer = element("g", {});
    svg.append(this.photo, this.layer);
    svg.addEventListener("pointerdown", (event) => this.down(event));
    svg.addEventListener("pointermove", (event) => this.moved(event));
    for (const name of ["pointerup", "pointercancel"]) svg.addEventListener(name, (event) => this.up(event));
    svg.addEventListener("wheel", (event) => {
      if (!this.labels) return;
      event.preventDefault();
      this.zoom(Math.exp(event.deltaY / 400), this.at(event));
    }, { passive: false });
    new ResizeObserver(() => this.labels && this.place(true)).observe(svg);
  }

  open(labels, address) {
    this.labels = labels;
    this.fitted = true;
    for (const image of [this.photo]) {
      image.setAttribute("href", address);
      image.setAttribute("width", labels.width);
      image.setAttribute("height", labels.height);
    }
    this.address = address;
    this.place();
  }

  close() {
    this.labels = null;
    this.photo.removeAttribute("href");
    this.layer.replaceChildren();
  }

  whole() {
    this.fitted = true;
    this.place(true);
  }

  zoom(factor, [x, y] = [this.cx, this.cy]) {
    if (!this.labels) return;
    const unit = Math.min(Math.max(this.unit * factor, LARGEST), this.fit());
    this.fitted = unit === this.fit();
    const kept = unit / this.unit;
    [this.cx, this.cy, this.unit] = [x + (this.cx - x) * kept, y + (this.cy - y) * kept, unit];
    this.place(true);
  }

  fit() {
    const { clientWidth: width, clientHeight: height } = this.svg;
    return 1.06 * Math.max(this.labels.width / Math.max(width, 1), this.labels.height / Math.max(height, 1));
  }

  place(redraw) {
    const { clientWidth: width, clientHeight: height } = this.svg, { labels } = this;
    if (this.fitted) {
      [this.cx, this.cy, this.unit] = [(labels.width - 1) / 2, (labels.height - 1) / 2, this.fit()];
    }
    this.cx = Math.min(Math.max(this.cx, 0), labels.width);
    this.cy = Math.min(Math.max(this.cy, 0), labels.height);
    const [w, h] = [width * this.unit, height * this.unit];
    this.svg.setAttribute("viewBox", `${this.cx - w / 2} ${this.cy - h / 2} ${w} ${h}`);
    if (redraw) this.draw(this.current, this.unsure);
  }

  at(event) {
    const box = this.svg.getBoundingClientRect();
    return [
      this.cx + (event.clientX - box.x - box.width / 2) * this.unit,
      this.cy + (event.clientY - box.y - box.height / 2) * this.unit,
    ];
  }

  // Draw all garments; `current` is [garment, landmark].
  draw(current, unsure) {
    Object.assign(this, { current, unsure });
    const { garments } = this.labels, order = garments.map((_, g) => g);
    order.sort((a, b) => (a === current[0]) - (b === current[0])); // the current one on top
    this.layer.replaceChildren(...order.map((g) => this.garment(garments[g], g, g === current[0])));
  }

  garment(garment, g, isCurrent) {
    const names = this.labels.kind(garment).landmarks;
    const [x1, y1, x2, y2] = garment.box;
    const lines = this.labels.kind(garment).links.flatMap(([a, b]) => {
      const [p, q] = [garment.landmarks[a], garment.landmarks[b]];
      if (!p.v || !q.v) return [];
      const side = sideOf(names[a]) === sideOf(names[b]) ? sideOf(names[a]) : "centre";
      return [element("line", { x1: p.x, y1: p.y, x2: q.x, y2: q.y, class: side })];
    });
    const parts = [
      element("rect", { x: x1, y: y1, width: Math.max(x2 - x1, 0), height: Math.max(y2 - y1, 0), class: "box" }),
      element("g", { class: "skeleton" }, ...lines),
    ];
    if (isCurrent) parts.push(...this.handles(garment, g).map(([x, y, { corner }]) => this.corner(x, y, corner)));
    parts.push(...garment.landmarks.map((p, i) => this.point(p, names[i], g, i)));
    return element("g", { class: isCurrent ? "garment" : "garment other", "data-garment": g }, ...parts.filter(Boolean));
  }

  // Where the handles of a box are, and the corner that each moves.
  handles({ box: [x1, y1, x2, y2] }, g) {
    const out = OUTSIDE * this.unit;
    const corners = [[x1, y1, -1, -1], [x2, y1, 1, -1], [x1, y2, -1, 1], [x2, y2, 1, 1]];
    return corners.map(([x, y, dx, dy], corner) => [x + dx * out, y + dy * out, { g, corner, x, y }]);
  }

  corner(x, y, c) {
    const square = element("rect", { x: -4, y: -4, width: 8, height: 8 });
    return element("g", { class: "corner", "data-corner": c, transform: `translate(${x} ${y}) scale(${this.unit})` }, square);
  }

  point(p, name, g, i) {
    if (p.v === NONE) return null;
    const isCurrent = this.current[0] === g && this.current[1] === i;
    const low = p.score !== null && p.score < this.unsure;
    const classes = ["point", sideOf(name), low && "low", p.v === HIDDEN && "hidden", isCurrent && "current"];
    const dot = p.v === HIDDEN
      ? element("rect", { x: -4.6, y: -4.6, width: 9.2, height: 9.2, transform: "rotate(45)", class: "dot" })
      : element("circle", { r: 5.5, class: "dot" });
    return element("g", {
      class: classes.filter(Boolean).join(" "),
      "data-name": name,
      transform: `translate(${p.x} ${p.y}) scale(${this.unit})`,
    }, element("circle", { r: 10, class: "ring" }), dot);
  }

  // What is under a pointer: the chosen landmark, one of the same garment, a corner of its box, or another.
  under(event) {
    const [x, y] = this.at(event), reach = (REACH[event.pointerType] || REACH.mouse) * this.unit;
    const nearest = (points) => {
      let best = null, least = reach;
      for (const [px, py, what] of points) {
        const distance = Math.hypot(px - x, py - y);
        if (distance <= least) [best, least] = [{ x: px, y: py, ...what }, distance];
      }
      return best;
    };
    const of = (g) => this.labels.garments[g].landmarks.flatMap((p, i) => (p.v ? [[p.x, p.y, { g, i }]] : []));
    const [own, chosen] = this.current, garment = this.labels.garments[own];
    const mine = garment && garment.landmarks[chosen];
    if (mine && mine.v && Math.hypot(mine.x - x, mine.y - y) <= reach / 2) {
      return { g: own, i: chosen, x: mine.x, y: mine.y }; // also where others lie on it
    }
    const others = this.labels.garments.map((_, g) => g).filter((g) => g !== own);
    return (garment && nearest([...of(own), ...this.handles(garment, own)])) || nearest(others.flatMap(of));
  }

  down(event) {
    if (!this.labels || event.button > 0) return;
    this.svg.focus({ preventScroll: true });
    event.preventDefault();
    this.svg.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event);
    if (this.pointers.size > 1) {
      this.finish();
      return;
    }
    const found = this.under(event), [x, y] = this.at(event);
    this.held = { found, start: event, dx: found ? found.x - x : 0, dy: found ? found.y - y : 0, drags: false };
    if (found && found.i !== undefined) this.on.choose(found.g, found.i);
  }

  moved(event) {
    const last = this.pointers.get(event.pointerId);
    if (!last) return;
    const before = [...this.pointers.values()];
    this.pointers.set(event.pointerId, event);
    if (before.length > 1) {
      this.pinch(before, [...this.pointers.values()]);
      return;
    }
    const { held } = this;
    if (!held) return;
    const far = Math.hypot(event.clientX - held.start.clientX, event.clientY - held.start.clientY);
    if (!held.drags && far < START) return;
    held.drags = true;
    if (!held.found) {
      this.fitted = false;
      this.cx -= (event.clientX - last.clientX) * this.unit;
      this.cy -= (event.clientY - last.clientY) * this.unit;
      this.place();
      return;
    }
    const [x, y] = this.at(event);
    const { g, i, corner } = held.found;
    if (corner === undefined) this.on.drag(g, i, x + held.dx, y + held.dy);
    else this.on.corner(g, corner, x + held.dx, y + held.dy);
    this.magnify(x + held.dx, y + held.dy, event);
  }

  pinch(before, after) {
    const middle = ([a, b]) => [(a.clientX + b.clientX) / 2, (a.clientY + b.clientY) / 2];
    const apart = ([a, b]) => Math.max(Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY), 1);
    const [[x0, y0], [x1, y1]] = [middle(before), middle(after)];
    this.cx -= (x1 - x0) * this.unit;
    this.cy -= (y1 - y0) * this.unit;
    this.zoom(apart(before) / apart(after), this.at({ clientX: x1, clientY: y1 }));
  }

  up(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    this.finish();
  }

  finish() {
    if (this.held && this.held.drags && this.held.found) this.on.end();
    this.held = null;
    this.loupe.toggleAttribute("hidden", true);
  }

  // Show what is under the finger, larger.
  magnify(x, y, event) {
    const side = (132 * this.unit) / LOUPE;
    const cross = `M${x - side / 8} ${y}H${x + side / 8}M${x} ${y - side / 8}V${y + side / 8}`;
    const { width, height } = this.labels;
    this.loupe.replaceChildren(
      element("image", { x: -0.5, y: -0.5, width, height, href: this.address }),
      element("path", { d: cross, stroke: "#ffe14d", "stroke-width": side / 70, fill: "none" }),
    );
    this.loupe.setAttribute("viewBox", `${x - side / 2} ${y - side / 2} ${side} ${side}`);
    const box = this.svg.getBoundingClientRect();
    const near = event.clientX > box.right - 200 && event.clientY < box.y + 200;
    this.loupe.setAttribute("class", near ? "away" : "");
    this.loupe.toggleAttribute("hidden", false);
  }
}
