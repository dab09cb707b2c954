// The session page: connects a source of events, the player and the panes. `/s/{session}` shows one session,
// `/watch/{agent}` the newest of an agent (watch.js chooses which).

import { ActivityPane } from "./activity.js";
import { findClip, findSession } from "./api.js";
import { Controls } from "./controls.js";
import { byId, el, oneLine, setShown, setText } from "./dom.js";
import { FilesPane } from "./files.js";
import { taskText } from "./fold.js";
import { countText, parseMoment, shortNumber } from "./format.js";
import { Notices } from "./notices.js";
import { Player } from "./player.js";
import { Source } from "./source.js";
import { Store } from "./store.js";
import { TerminalPane } from "./terminal.js";
import { watchAgent } from "./watch.js";

// Drawing the panes gets this share of the time, so that a flood of events leaves the page responsive; less while a long
// session is read in.
const DRAWING_SHARE = 0.4;
const BUSY_DRAWING_SHARE = 0.15;
const BUSY_REDRAW_MS = 200;

export class SessionPage {
  constructor() {
    this.notices = new Notices(byId("notices"));
    this.terminal = new TerminalPane({ screen: byId("screen"), title: byId("terminal-title"), chooser: byId("terminals") });
    this.activity = new ActivityPane(
      {
        stream: byId("stream"),
        filter: byId("filter"),
        plan: { box: byId("plan"), title: byId("plan-title"), bar: byId("plan-bar"), count: byId("plan-count"), steps: byId("plan-steps") },
      },
      {
        onSeek: (position) => this.player && this.seek(position),
        onFile: (path) => this.showFile(path),
        elapsedOf: (item) => this.elapsedOf(item),
      },
    );
    this.files = new FilesPane({
      list: byId("file-list"), view: byId("file-view"), title: byId("file-title"), modes: byId("file-modes"),
      empty: byId("file-empty"), count: byId("file-count"),
    });
    for (const pane of [this.terminal, this.files]) pane.onChoose = () => this.redraw();
    this.activity.onFilter = () => this.redraw();
    this.controls = new Controls(
      {
        toggle: byId("toggle"), restart: byId("restart"), live: byId("go-live"), again: byId("again"), scrubber: byId("scrubber"), ticks: byId("ticks"),
        speed: byId("speed"), pauses: byId("pauses"), times: byId("times"), place: byId("place"),
      },
      this.actions(),
    );
    document.addEventListener("visibilitychange", () => this.player?.wake());
    setUpTabs(() => this.redraw());
    byId("help-button").addEventListener("click", () => byId("help").showModal());
    byId("help-close").addEventListener("click", () => byId("help").close());
  }

  actions() {
    const withPlayer = (action) => (argument) => this.player && action(this.player, argument);
    return {
      toggle: withPlayer((player) => (player.finished ? this.restart() : player.toggle())),
      restart: withPlayer(() => this.restart()),
      goLive: withPlayer((player) => player.goLive()),
      seek: withPlayer((player, position) => this.seek(position)),
      seekBy: withPlayer((player, milliseconds) => {
        player.until = null;
        player.seekTime(player.elapsed + milliseconds);
      }),
      seekShare: withPlayer((player, share) => this.seek(Math.round(this.last * share))),
      step: withPlayer((player, step) => {
        player.pause();
        this.seek(player.position + step);
      }),
      setSpeed: withPlayer((player, speed) => {
        player.speed = speed === "max" ? "max" : Number(speed);
        player.wake();
      }),
      setSkipPauses: withPlayer((player, skip) => (player.skipPauses = skip)),
      help: () => byId("help").showModal(),
    };
  }

  /** Shows this session; `row` is what the API said of it. */
  open(row, moment = null) {
    this.source?.stop();
    this.player?.stop();
    this.row = row;
    this.store = new Store();
    this.player = new Player(this.store, { onShow: () => this.draw(), onRoom: () => this.source.madeRoom() });
    this.player.speed = byId("speed").value === "max" ? "max" : Number(byId("speed").value);
    this.player.skipPauses = byId("pauses").checked;
    this.moment = moment;
    this.clip = null;
    this.source = new Source(row.id, this.store, {
      onChange: () => this.storeChanged(),
      onFull: () => this.player.makeRoom(),
      onViewers: (count) => this.showViewers(count),
      onNotice: (notice) => {
        this.lost = notice.connection === "lost" || (this.lost && notice.connection !== "open");
        this.notices.connection(notice);
        this.showBadge();
      },
      onError: (frame) => this.notices.show("error", `${oneLine(frame.detail || frame.code) || "The server refused the session."}`),
    });
    this.activity.clear();
    this.drawn = null;
    this.nextDrawAt = 0;
    this.gapsShown = 0;
    this.lost = false;
    this.wasCaughtUp = false; // a short loss of the connection is told by a notice, not by the badge
    document.body.dataset.state = "ready";
    this.showViewers(row.viewers);
    this.source.start();
    this.draw();
  }

  storeChanged() {
    this.wasCaughtUp ||= this.source.caughtUp;
    this.player.complete = this.source.caughtUp && !this.source.full;
    this.player.over = this.source.ended || (this.row.status === "ended" && this.store.lastPosition <= this.row.events);
    if (this.moment) this.goToMoment();
    this.player.storeChanged();
    if (this.clip && this.player.wish === null) this.playClip();
    for (const gap of this.store.gaps.slice(this.gapsShown)) {
      const missing = countText(gap.to - gap.from + 1, "event");
      this.notices.show("gap", `${missing} missing here (${gap.from}–${gap.to}): ${oneLine(gap.reason, 80) || "no reason given"}`);
    }
    this.gapsShown = this.store.gaps.length;
  }

  /** The place that the address names, once there is something to seek in. */
  goToMoment() {
    if (this.store.length === 0) return;
    const { moment, player } = this;
    this.moment = null;
    if (moment.position !== undefined) player.seek(moment.position);
    else if (moment.time !== undefined) player.seekTime(moment.time);
    else if (moment.moment !== undefined) player.seekTime(moment.moment - this.store.startClock);
    else player.seekEvent(moment.event);
    player.mode = "paused";
    this.clip = moment.until === undefined ? null : moment;
  }

  /** Plays up to the clip's end, once its beginning is there; the rest of the session is one press away. */
  playClip() {
    const { until, title } = this.clip;
    this.clip = null;
    this.player.until = until;
    this.player.mode = "playing";
    this.player.wake();
    const run = () => {
      this.player.until = null;
      this.player.play();
    };
    this.notices.show("clip", `Clip: ${oneLine(title, 80) || "a part of this session"}`, { action: { label: "Play on", run } });
  }

  restart() {
    if (this.player.base) this.readAgain("playing");
    else this.player.restart();
  }

  seek(position) {
    this.player.until = null;
    if (position < this.store.startPosition && this.player.base) this.readAgain(this.player.mode);
    this.player.seek(position);
  }

  /** What left the store at the front is read again from the start. */
  readAgain(mode) {
    this.player.reset();
    this.player.mode = mode === "live" ? "paused" : mode;
    this.source.reload();
  }

  get last() {
    return Math.max(this.store.lastPosition, this.source.caughtUp ? 0 : Number(this.row.events) || 0);
  }

  elapsedOf(item) {
    const index = this.store.countThrough(item.position) - 1;
    if (index >= 0) return this.store.elapsed(index);
    const time = Date.parse(item.time);
    return Number.isNaN(time) || this.store.startClock === null ? 0 : time - this.store.startClock;
  }

  showFile(path) {
    showTab("files");
    this.files.choose(path);
  }

  redraw() {
    this.drawn = null;
    this.nextDrawAt = 0;
    this.player?.wake();
  }

  draw() {
    const { player, store, source } = this;
    if (source.full && player.cursor > store.length / 2) player.makeRoom();
    const { fold } = player;
    this.controls.show({
      playing: player.mode === "playing", live: player.mode === "live", over: player.over, finished: player.finished,
      position: fold.position, last: this.last, elapsed: player.elapsed, total: store.elapsed(store.length - 1), markers: fold.markers,
    });
    this.showBadge();
    const now = performance.now();
    if (now < this.nextDrawAt) {
      this.drawLater ??= setTimeout(() => this.drawNow(), this.nextDrawAt - now);
      return;
    }
    if (player.target !== null || (this.drawn?.fold === fold && this.drawn.version === fold.version)) return;
    this.drawn = { fold, version: fold.version };
    this.showHead(fold);
    this.terminal.show(fold);
    this.activity.show(fold);
    this.files.show(fold);
    // Measuring after all changes costs one layout instead of one for each pane.
    for (const pane of [this.terminal, this.activity, this.files]) pane.keepPlace();
    const cost = performance.now() - now;
    const busy = player.busy || !source.caughtUp;
    // A cheap drawing fits into its frame; only what is dear has to wait for its next turn.
    if (busy) this.nextDrawAt = now + Math.max(BUSY_REDRAW_MS, cost / BUSY_DRAWING_SHARE);
    else this.nextDrawAt = cost > 6 ? now + cost / DRAWING_SHARE : 0;
  }

  drawNow() {
    this.drawLater = null;
    this.draw();
  }

  showHead(fold) {
    const { row } = this;
    const name = oneLine(fold.session.agent_name ?? row.agent_name ?? row.agent, 60);
    const title = oneLine(fold.session.title ?? row.title ?? taskText(fold.session.task ?? row.task) ?? "", 160) || "Untitled session";
    setText(byId("agent"), name);
    byId("agent").href = `/watch/${encodeURIComponent(row.agent)}`;
    setText(byId("title"), title);
    const avatar = oneLine(fold.session.agent_avatar ?? row.agent_avatar, 12);
    // An avatar is a sign or a picture's address; foreign pictures are not loaded.
    setText(byId("avatar"), /^[^\u0020-\u007e]+$/.test(avatar) ? avatar : [...name][0]?.toUpperCase() ?? "?");
    const status = fold.status ? [fold.status.status, fold.status.detail].filter(Boolean).join(" · ") : "";
    setText(byId("status"), fold.ended ? `ended: ${fold.ended.reason}` : status);
    const usage = fold.usage.session ?? fold.usage;
    const used = [usage.tokens ? `${shortNumber(usage.tokens)} tokens` : "", usage.cost ? `$${usage.cost.toFixed(2)}` : ""];
    const errors = fold.errors ? countText(fold.errors, "error") : "";
    setText(byId("usage"), [...used, errors].filter(Boolean).join(" · "));
    document.title = `${title} · ${name} · Kulti`;
  }

  showBadge() {
    const { player } = this;
    const badge = byId("badge");
    let [state, text] = ["live", "Live"];
    if (!this.source.caughtUp && this.store.length === 0) [state, text] = ["loading", "Loading"];
    else if (player.finished) [state, text] = ["over", "Not live · ended"];
    else if (player.mode === "live" && (player.busy || !this.wasCaughtUp)) [state, text] = ["loading", "Catching up"];
    else if (player.mode === "live" && this.lost) [state, text] = ["loading", "Connection lost"];
    else if (player.mode !== "live") [state, text] = ["replay", player.over ? "Replay" : "Rewound"];
    badge.dataset.state = state;
    setText(badge, text);
    document.body.dataset.mode = state;
  }

  showViewers(count) {
    setText(byId("viewers"), count > 0 ? countText(count, "viewer") : "");
  }
}

/** On a narrow screen one pane shows at a time. */
function setUpTabs(onChange) {
  for (const button of byId("tabs").children) {
    button.addEventListener("click", () => {
      showTab(button.dataset.tab);
      onChange();
    });
  }
  showTab("terminal");
}

function showTab(name) {
  document.body.dataset.tab = name;
  for (const button of byId("tabs").children) {
    button.setAttribute("aria-pressed", String(button.dataset.tab === document.body.dataset.tab));
  }
}

/** Instead of the workspace: a sentence, and what can be done. */
export function showMessage(title, ...content) {
  document.body.dataset.state = "message";
  document.title = `${title} · Kulti`;
  setText(byId("title"), "Kulti");
  byId("message").replaceChildren(el("h2", { textContent: title }), ...content);
}

async function openSession(page, id) {
  document.body.dataset.state = "loading";
  try {
    const row = await findSession(id);
    if (row) {
      const moment = parseMoment(new URLSearchParams(window.location.search).get("at"));
      const clip = moment?.event ? await findClip(id, moment.event) : null;
      page.open(row, clip ? { position: clip.from_position, until: clip.to_position, title: clip.title } : moment);
    } else {
      showMessage("No such session", el("p", { textContent: "There is no session with this address, or it is private." }),
        el("p", {}, el("a", { href: "/", textContent: "All sessions" })));
    }
  } catch (error) {
    const again = el("button", { type: "button", className: "action", textContent: "Try again" });
    again.addEventListener("click", () => openSession(page, id));
    showMessage("The session could not be loaded", el("p", { textContent: oneLine(error.message) }), again);
  }
}

/** A part of the address as it was meant; one that is not valid UTF-8 stays as it is and finds nothing. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

const [, place, name] = window.location.pathname.split("/").map(decoded);
const page = new SessionPage();
if (place === "watch") watchAgent(page, name, showMessage);
else openSession(page, name);
