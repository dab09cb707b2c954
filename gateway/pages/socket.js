// One watch socket that comes back by itself: jittered back-off, a ping against half-open connections.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
const PING_EVERY_MS = 20_000;
const SILENCE_MS = 45_000;

/** Close codes from 4500 on mean: do not come back. Everything else is worth another try. */
const isFinal = (code) => code >= 4500 && code <= 4999;

export class WatchSocket {
  /** `onOpen(send)`, `onFrame(frame, bytes)`, `onState("connecting" | "open" | "lost" | "refused", detail)` */
  constructor({ onOpen, onFrame, onState }) {
    this.handlers = { onOpen, onFrame, onState };
    this.attempt = 0;
    this.timer = null;
    this.wanted = false;
    this.retryNow = () => {
      if (this.wanted && !this.socket) this.connect();
    };
    window.addEventListener("online", this.retryNow);
  }

  open() {
    this.wanted = true;
    if (!this.socket) this.connect();
  }

  connect() {
    clearTimeout(this.timer);
    this.handlers.onState("connecting");
    const address = new URL("/v1/watch", window.location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    this.socket = socket;
    socket.onopen = () => {
      if (this.socket !== socket) return;
      this.heard = performance.now();
      this.pinger = setInterval(() => this.ping(), PING_EVERY_MS);
      this.handlers.onState("open");
      this.handlers.onOpen((message) => socket.send(JSON.stringify(message)));
    };
    socket.onmessage = (message) => {
      if (this.socket !== socket || typeof message.data !== "string") return;
      this.heard = performance.now();
      let frame;
      try {
        frame = JSON.parse(message.data);
      } catch {
        return;
      }
      if (frame && typeof frame === "object") this.handlers.onFrame(frame, message.data.length);
    };
    socket.onclose = (event) => {
      if (this.socket !== socket) return;
      this.forget();
      if (isFinal(event.code)) {
        this.wanted = false;
        this.handlers.onState("refused", event.reason || `close code ${event.code}`);
      } else if (this.wanted) {
        this.retryLater();
      }
    };
  }

  /** To be called when the server gave what was asked for: the next loss is a new one. */
  settle() {
    this.attempt = 0;
  }

  ping() {
    if (performance.now() - this.heard > SILENCE_MS) this.restart();
    else if (this.socket?.readyState === WebSocket.OPEN) this.socket.send('{"op":"ping"}');
  }

  retryLater() {
    const ceiling = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.attempt++);
    const wait = ceiling / 2 + Math.random() * (ceiling / 2);
    this.handlers.onState("lost", { wait });
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.connect(), wait);
  }

  /** Drops the connection and comes back after the usual wait. */
  restart() {
    this.drop();
    if (this.wanted) this.retryLater();
  }

  drop() {
    const socket = this.socket;
    this.forget();
    socket?.close();
  }

  forget() {
    clearInterval(this.pinger);
    clearTimeout(this.timer);
    this.socket = null;
  }

  close() {
    this.wanted = false;
    this.drop();
  }

  destroy() {
    this.close();
    window.removeEventListener("online", this.retryNow);
  }
}
