// The keys of the page. None counts while a dialog is open or a field is being filled in.

const BUTTONS = {
  h: "hide", x: "clear", a: "add", z: "undo", y: "redo", ",": "previous", ".": "next", l: "unsure", "+": "in",
  "=": "in", "-": "out", s: "save", "?": "keys", Enter: "done", Delete: "delete", Backspace: "delete",
};
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const WITH_CONTROL = ["z", "y", "s"]; // the browser has the others
const FAR = 10; // pixels, with Shift

// `on` has act(button), nudge(dx, dy), endNudge(), turn(by), category(), whole().
export function listenToKeys(on) {
  document.addEventListener("keydown", (event) => {
    const work = workOf(event, on);
    if (!work) return;
    event.preventDefault();
    work();
  });
  document.addEventListener("keyup", (event) => ARROWS[event.key] && on.endNudge());
}

function workOf({ key, target, ctrlKey, metaKey, altKey, shiftKey }, on) {
  const control = ctrlKey || metaKey, name = key.length === 1 ? key.toLowerCase() : key;
  if (document.querySelector("dialog[open]") || altKey || target.matches("input, select")) return null;
  if (key === "Enter" && target.matches("button")) return null; // presses it
  if (control) {
    if (!WITH_CONTROL.includes(name)) return null;
    return () => on.act(name === "z" && shiftKey ? "redo" : BUTTONS[name]);
  }
  if (ARROWS[key]) {
    const [dx, dy] = ARROWS[key], far = shiftKey ? FAR : 1;
    return () => on.nudge(dx * far, dy * far);
  }
  if (name === "g") return () => on.turn(shiftKey ? -1 : 1);
  if (name === "c") return () => on.category();
  if (name === "0") return () => on.whole();
  return BUTTONS[name] ? () => on.act(BUTTONS[name]) : null;
}
