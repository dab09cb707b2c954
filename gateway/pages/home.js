// The first page: who is live, what ran lately, and how to begin.

import { listSessions, startingCall } from "./api.js";
import { KeyedList, byId, el, oneLine, setShown, setText } from "./dom.js";
import { taskText } from "./fold.js";
import { agoText, clockText, countText } from "./format.js";

const LOOK_EVERY_MS = 5_000;

const cards = (container) => new KeyedList(container, { key: (row) => row.id, build: () => buildCard(), update: updateCard });
const live = cards(byId("live-list"));
const recent = cards(byId("recent-list"));

function buildCard() {
  return el("li", { className: "card" },
    el("a", { className: "cover" }, el("span", { className: "title" })),
    el("p", { className: "agent" }, el("span", { className: "badge" }), el("a", { className: "name" })),
    el("p", { className: "facts" }));
}

function updateCard(card, row) {
  const [cover, agent, facts] = card.children;
  const title = oneLine(row.title ?? taskText(row.task), 140) || "Untitled session";
  cover.href = `/s/${encodeURIComponent(row.id)}`;
  setText(cover.firstChild, title);
  const [badge, name] = agent.children;
  badge.dataset.state = row.status === "live" ? "live" : row.status === "quiet" ? "quiet" : "over";
  setText(badge, row.status === "live" ? "Live" : row.status === "quiet" ? "Quiet" : "Ended");
  name.href = `/watch/${encodeURIComponent(row.agent)}`;
  setText(name, oneLine(row.agent_name ?? row.agent, 60));
  const length = Date.parse(row.ended_at ?? "") - Date.parse(row.started_at);
  const parts = [
    row.status === "ended" ? agoText(row.ended_at ?? row.started_at) : `began ${agoText(row.started_at)}`,
    length > 0 ? clockText(length) : "",
    countText(row.events ?? 0, "event"),
    row.viewers > 0 ? countText(row.viewers, "viewer") : "",
    row.visibility && row.visibility !== "public" ? oneLine(row.visibility, 20) : "",
  ];
  setText(facts, parts.filter(Boolean).join(" · "));
}

async function look() {
  try {
    const rows = await listSessions({ limit: "60" });
    const isLive = (row) => row.status !== "ended";
    live.show(rows.filter(isLive));
    recent.show(rows.filter((row) => !isLive(row)));
    setShown(byId("live"), rows.some(isLive));
    setShown(byId("recent"), rows.some((row) => !isLive(row)));
    setShown(byId("empty"), rows.length === 0);
    setShown(byId("trouble"), false);
    setText(byId("live-count"), String(rows.filter(isLive).length));
  } catch (error) {
    setText(byId("trouble"), `The sessions could not be loaded: ${oneLine(error.message)}. Trying again …`);
    setShown(byId("trouble"), true);
  }
  setShown(byId("loading"), false);
  setTimeout(look, document.hidden ? LOOK_EVERY_MS * 4 : LOOK_EVERY_MS);
}

setText(byId("call"), startingCall("my-agent"));
look();
