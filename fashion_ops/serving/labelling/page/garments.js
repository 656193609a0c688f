// Labels as plain data: landmarks, boxes, categories, and the history of changes. Nothing here draws.

export const VISIBLE = 2, HIDDEN = 1, NONE = 0;
const ANCHOR = 0.05; // weight of the box's corners beside landmarks that are known

export const sideOf = (name) =>
  name.startsWith("left_") ? "left" : name.startsWith("right_") ? "right" : "centre";
export const words = (name) => name.replaceAll("_", " ");

export class Labels {
  constructor(setup, draft) {
    this.kinds = new Map(setup.categories.map((kind) => [kind.name, kind]));
    this.width = draft.width;
    this.height = draft.height;
    this.garments = draft.garments;
    this.past = [];
    this.future = [];
  }

  kind(garment) { return this.kinds.get(garment.category); }

  // Do a change that can be undone; `merge` joins it with the last one of the same name, as in a drag.
  change(edit, merge = "") {
    const before = structuredClone(this.garments);
    edit(this.garments);
    if (!merge || this.merged !== merge) this.past.push(before);
    this.merged = merge;
    this.future = [];
  }

  endMerge() { this.merged = ""; }

  undo() { return this.travel(this.past, this.future); }
  redo() { return this.travel(this.future, this.past); }

  travel(from, to) {
    if (!from.length) return false;
    to.push(this.garments);
    this.garments = from.pop();
    this.merged = "";
    return true;
  }

  inside(x, y) {
    const round = (value, limit) => Math.round(100 * Math.min(Math.max(value, 0), limit - 1)) / 100;
    return [round(x, this.width), round(y, this.height)];
  }

  move(g, i, x, y, merge) {
    this.change((garments) => {
      const point = garments[g].landmarks[i];
      [point.x, point.y] = this.inside(x, y);
      if (point.v === NONE) point.v = VISIBLE;
      point.score = null;
    }, merge);
  }

  show(g, i, v) {
    this.change((garments) => {
      const garment = garments[g], point = garment.landmarks[i];
      if (point.v === NONE) {
        const [tx, ty] = this.kind(garment).shape[i], [x1, y1, x2, y2] = garment.box;
        [point.x, point.y] = this.inside(x1 + tx * (x2 - x1), y1 + ty * (y2 - y1));
        point.score = 0; // a guess
      }
      point.v = v;
      if (v === NONE) point.x = point.y = 0;
    });
  }

  moveCorner(g, corner, x, y, merge) {
    this.change((garments) => {
      const box = garments[g].box, [column, row] = [corner % 2, corner >> 1];
      const limit = (value, other, low) => (low ? Math.min(value, other - 2) : Math.max(value, other + 2));
      const [px, py] = this.inside(x, y);
      box[2 * column] = limit(px, box[2 - 2 * column], column === 0);
      box[1 + 2 * row] = limit(py, box[3 - 2 * row], row === 0);
    }, merge);
  }

  // A garment of typical shape in the middle of the photo; its landmarks are guesses.
  add(category) {
    const [x1, y1] = this.inside(this.width * 0.25, this.height * 0.2);
    const [x2, y2] = this.inside(this.width * 0.75, this.height * 0.8);
    const landmarks = this.kinds.get(category).shape.map(([tx, ty]) => {
      const [x, y] = this.inside(x1 + tx * (x2 - x1), y1 + ty * (y2 - y1));
      return { x, y, v: VISIBLE, score: 0 };
    });
    this.change((garments) => {
      garments.push({ category, box: [x1, y1, x2, y2], landmarks, score: null, found: null });
    });
  }

  delete(g) { this.change((garments) => garments.splice(g, 1)); }

  recategorize(g, category) {
    this.change((garments) => {
      const garment = garments[g];
      garment.landmarks = follow(this.kind(garment), this.kinds.get(category), garment)
        .map((p) => (p.v === NONE ? p : { ...p, ...point(this.inside(p.x, p.y)) }));
      garment.category = category;
    });
  }
}

const point = ([x, y]) => ({ x, y });

// The landmarks of another category. One of the same name, else of the same meaning, stays where it is;
// the others are guessed from those by the typical shape of the category.
export function follow(from, to, garment) {
  const known = to.landmarks.map((name, i) => {
    let j = from.landmarks.indexOf(name);
    for (let m = 0; j < 0 && m < to.meanings.length; m++) j = from.meanings[m].indexOf(to.meanings[m][i]);
    return j < 0 ? null : garment.landmarks[j];
  });
  const place = placing(to.shape, known, garment.box);
  return known.map((p, i) => {
    if (p) return { ...p };
    const [x, y] = place(to.shape[i]);
    return { x, y, v: VISIBLE, score: 0 };
  });
}

// The affine map from the typical shape to the photo that fits the known landmarks best; the corners of
// the box count a little, so that few landmarks give a map too.
function placing(shape, known, [x1, y1, x2, y2]) {
  const rows = [[0, 0, x1, y1, ANCHOR], [1, 0, x2, y1, ANCHOR], [0, 1, x1, y2, ANCHOR], [1, 1, x2, y2, ANCHOR]];
  known.forEach((p, i) => { if (p && p.v) rows.push([...shape[i], p.x, p.y, 1]); });
  const A = [[0, 0, 0], [0, 0, 0], [0, 0, 0]], bx = [0, 0, 0], by = [0, 0, 0];
  for (const [tx, ty, x, y, w] of rows) {
    const t = [tx, ty, 1];
    for (let r = 0; r < 3; r++) {
      for (let c = 0; c < 3; c++) A[r][c] += w * t[r] * t[c];
      bx[r] += w * t[r] * x;
      by[r] += w * t[r] * y;
    }
  }
  const [u, v] = [solve(A, bx), solve(A, by)];
  return ([tx, ty]) => [u[0] * tx + u[1] * ty + u[2], v[0] * tx + v[1] * ty + v[2]];
}

// The solution of three linear equations, by Cramer's rule.
function solve(A, b) {
  const det = (m) =>
    m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
    + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]);
  const all = det(A);
  return [0, 1, 2].map((k) => det(A.map((row, r) => row.map((value, c) => (c === k ? b[r] : value)))) / all);
}

// The landmark of a garment with the lowest score, and that score; one that a person placed is not among
// them, and comes last.
export function leastSureOf(garment) {
  const scores = garment.landmarks.map((p) => (p.v && p.score !== null ? p.score : 2));
  const least = Math.min(...scores);
  return [scores.indexOf(least), least];
}
