// Requests to the service. The person's name goes with each; the token, where one is needed, stays in this tab.

export class Refused extends Error {
  constructor(status, code, reason) {
    super(reason);
    this.status = status;
    this.code = code;
  }
}

const ROOT = "/v1/labels";
const TOKEN = "fashion-ops token", PERSON = "fashion-ops person";

export const who = {
  get person() { return localStorage.getItem(PERSON) || ""; },
  set person(name) { localStorage.setItem(PERSON, name); },
  get token() { return sessionStorage.getItem(TOKEN) || ""; },
  set token(value) { sessionStorage.setItem(TOKEN, value); },
};

async function ask(method, path, body, keepalive) {
  const headers = { "X-Person": encodeURIComponent(who.person) };
  if (who.token) headers.Authorization = `Bearer ${who.token}`;
  const isFile = body instanceof Blob;
  if (body !== undefined) headers["Content-Type"] = isFile ? "application/octet-stream" : "application/json";
  const content = body === undefined || isFile ? body : JSON.stringify(body);
  let answer;
  try {
    answer = await fetch(ROOT + path, { method, headers, body: content, keepalive });
  } catch {
    throw new Refused(0, "offline", "The service does not answer; your changes stay in this tab.");
  }
  if (answer.ok) return answer;
  let error = { code: "http", reason: `the service answers ${answer.status}` };
  try {
    error = (await answer.json()).error;
  } catch { /* a proxy answered */ }
  throw new Refused(answer.status, error.code, error.reason);
}

const json = async (...request) => (await ask(...request)).json();

export const setup = () => json("GET", "/setup");
export const photos = () => json("GET", "/photos");
export const addPhoto = (file) => json("POST", `/photos?name=${encodeURIComponent(file.name)}`, file);
export const openRanked = (number) => json("POST", `/ranked/${number}`);
export const openPhoto = (key) => json("GET", `/photos/${key}`);
export const change = (key, changes, keepalive) => json("PUT", `/photos/${key}`, changes, keepalive);
export const remove = (key, revision) => json("DELETE", `/photos/${key}?revision=${revision}`);
export const sizes = (key, garments) => json("POST", `/photos/${key}/sizes`, { garments });
export const saveBatch = (chosen, ready) => json("POST", "/batches", { photos: chosen, ready });
export const markReady = (name) => json("POST", `/batches/${encodeURIComponent(name)}/ready`);

const images = { small: new Map(), large: new Map() };
const MOST = { small: 1000, large: 6 }; // that the page keeps

// The address of a photo's pixels within this page; the last ones are not fetched again.
export async function imageOf(key, size) {
  const kept = images[size];
  const path = `/photos/${key}/image${size === "small" ? "?small=true" : ""}`;
  if (!kept.has(path)) {
    kept.set(path, ask("GET", path).then(async (answer) => URL.createObjectURL(await answer.blob())));
    if (kept.size > MOST[size]) {
      const [oldest] = kept.keys();
      kept.get(oldest).then(URL.revokeObjectURL, () => {});
      kept.delete(oldest);
    }
  }
  try {
    return await kept.get(path);
  } catch (error) {
    kept.delete(path);
    throw error;
  }
}
