// Keeps the labels of the open photo at the service: soon after each change, and when the page is left.

import * as api from "./api.js";

const SOON = 400; // milliseconds after the last change
const OUTLIVES = 60000; // characters of a request that a browser finishes after the page is closed

export class Keeper {
  // `say(text)` tells the state, `refused(error)` what the service refuses.
  constructor(say, refused) {
    Object.assign(this, { say, refused, draft: null, dirty: false, sending: false, timer: 0, busy: Promise.resolve() });
  }

  open(draft, labels) {
    clearTimeout(this.timer);
    Object.assign(this, { draft, labels, dirty: false });
  }

  changed() {
    this.dirty = true;
    this.draft.done = false;
    this.say("…");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.keep().catch(this.refused), SOON);
  }

  // Write what is not written yet; one request after another.
  keep(done = false) {
    clearTimeout(this.timer);
    const { draft, labels } = this;
    this.busy = this.busy.catch(() => {}).then(async () => {
      if (!draft || draft !== this.draft || (!this.dirty && !done)) return;
      this.dirty = false;
      this.sending = true;
      try {
        const { revision } = await send(draft, labels, done);
        Object.assign(draft, { revision, done });
        if (!this.dirty) this.say("kept");
      } catch (error) {
        this.dirty = true;
        throw error;
      } finally {
        this.sending = false;
      }
    });
    return this.busy;
  }

  // The page is going away: no answer will be read, nor that of a request which is on its way.
  leave() {
    if (!this.draft || !this.dirty) return;
    const revision = this.draft.revision + (this.sending ? 1 : 0);
    send({ ...this.draft, revision }, this.labels, false).catch(() => {});
  }

  // Put these labels in the place of what somebody else wrote.
  async replace() {
    const { revision } = await api.openPhoto(this.draft.photo);
    this.draft.revision = revision;
    this.dirty = true;
    await this.keep();
  }
}

function send(draft, labels, done) {
  const changes = { revision: draft.revision, garments: labels.garments, done };
  return api.change(draft.photo, changes, JSON.stringify(changes).length < OUTLIVES);
}
