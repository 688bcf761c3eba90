// The first screen's documents, once a second. The browser comes again by itself when the console was restarted.
import { get } from "./api.js";

const HISTORY = 300;
const AGAIN_MS = 2000;

/** signedOut() is called when the console says that nobody is signed in. */
export class Live {
  constructor(signedOut) {
    this.signedOut = signedOut;
    this.history = [];
    this.last = null;
    this.isConnected = false;
    this.isPaused = false;
    this.listeners = new Set();
    this.source = null;
    this.timer = null;
  }

  start() {
    if (this.source || this.isPaused) return;
    this.source = new EventSource("/api/v1/events");
    this.source.addEventListener("overview", (event) => {
      this.isConnected = true;
      this.last = JSON.parse(event.data);
      this.history.push(this.last);
      if (this.history.length > HISTORY) this.history.shift();
      this.tell();
    });
    this.source.onerror = () => {
      this.isConnected = false;
      if (this.source?.readyState === EventSource.CLOSED) this.comeAgain();
      this.tell();
    };
  }

  // A browser gives up after an answer that is no stream, and does not say which: 503 passes, 401 does not.
  comeAgain() {
    this.stop();
    this.timer = setTimeout(() => this.start(), AGAIN_MS);
    // A console that does not answer now has not said that the session is over.
    get("/session").then((who) => { if (!who.name) this.signedOut(); }, () => {});
  }

  stop() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
    this.isConnected = false;
  }

  pause(isPaused) {
    this.isPaused = isPaused;
    if (isPaused) this.stop();
    else this.start();
    this.tell();
  }

  tell() {
    for (const listener of this.listeners) listener(this);
  }
}
