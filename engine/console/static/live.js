// The first screen's documents, once a second. The browser comes again by itself when the console was restarted.

const HISTORY = 300;

export class Live {
  constructor() {
    this.history = [];
    this.last = null;
    this.isConnected = false;
    this.isPaused = false;
    this.listeners = new Set();
    this.source = null;
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
      // A browser gives up after an answer that is no stream (503, 401): come again.
      if (this.source && this.source.readyState === EventSource.CLOSED) {
        this.stop();
        setTimeout(() => this.start(), 2000);
      }
      this.tell();
    };
  }

  stop() {
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
