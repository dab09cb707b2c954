// Which session of an agent to show: the newest, a choice if several are live, and the next one when it begins.

import { listSessions, startingCall } from "./api.js";
import { byId, el, oneLine, setShown } from "./dom.js";
import { agoText } from "./format.js";
import { taskText } from "./fold.js";

const LOOK_EVERY_MS = 4_000;

/** Shows the agent in `page`, and goes on looking for its next session. */
export function watchAgent(page, agent, showMessage) {
  document.body.dataset.state = "loading";
  const switcher = byId("switcher");
  let current = null;
  let rows = [];

  const open = (row) => {
    current = row.id;
    page.notices.hide("newer");
    page.open(row);
    showChoice();
  };

  const showChoice = () => {
    const live = rows.filter((row) => row.status !== "ended");
    const choice = live.some((row) => row.id === current) ? live : [...live, ...rows.filter((row) => row.id === current)];
    setShown(switcher, choice.length > 1);
    switcher.replaceChildren(
      ...choice.map((row) => {
        const title = oneLine(row.title ?? taskText(row.task), 50) || row.id;
        return el("option", { value: row.id, selected: row.id === current, textContent: `${title} · ${row.status}, ${agoText(row.started_at)}` });
      }),
    );
  };

  switcher.addEventListener("change", () => {
    const row = rows.find((candidate) => candidate.id === switcher.value);
    if (row) open(row);
  });

  const look = async () => {
    try {
      rows = await listSessions({ agent, limit: "20" });
      takeRows();
    } catch (error) {
      // Once something is shown, the socket's own notices speak of the connection.
      if (current === null) showMessage("The sessions could not be loaded", el("p", { textContent: oneLine(error.message) }));
    }
    setTimeout(look, document.hidden ? LOOK_EVERY_MS * 4 : LOOK_EVERY_MS);
  };

  const takeRows = () => {
    const newest = newestOf(rows);
    if (!newest) {
      if (current === null) showUnknown(agent, showMessage);
      return;
    }
    if (current === null) {
      open(newest);
    } else if (newest.id !== current && newest.status !== "ended" && !isOlder(newest, page.row)) {
      // Somebody who looks at the end of a finished session waits for this; others are asked.
      if (page.player.over && page.player.mode === "live") open(newest);
      else page.notices.show("newer", "A newer session of this agent is live.", { action: { label: "Watch it", run: () => open(newest) } });
    }
    showChoice();
  };

  look();
}

const isOlder = (one, other) => Date.parse(one.started_at) <= Date.parse(other.started_at);

/** Of the live ones, else of all, the one that started last. */
function newestOf(rows) {
  const live = rows.filter((row) => row.status !== "ended");
  return (live.length > 0 ? live : rows).reduce((best, row) => (best && isOlder(row, best) ? best : row), null);
}

function showUnknown(agent, showMessage) {
  const name = oneLine(agent, 80);
  showMessage(
    `${name} has not streamed yet`,
    el("p", { textContent: "No session of this agent is known here, or all of them are private. Start one with:" }),
    el("pre", { className: "call", textContent: startingCall(agent) }),
    el("p", { textContent: "This page shows it as soon as it begins." }),
  );
}
