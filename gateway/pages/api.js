// What the pages ask the HTTP API.

/** Thrown with what the server said when it answered with a problem. */
export class ApiError extends Error {
  constructor(status, problem) {
    super(problem?.detail || problem?.title || `the server answered ${status}`);
    this.status = status;
    this.code = problem?.code;
  }
}

/** GET as JSON; a problem document or a lost connection throws. */
export async function getJson(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new ApiError(answer.status, body);
  return body;
}

/** The newest sessions, live first. */
export async function listSessions(filter = {}) {
  const body = await getJson(`/v1/sessions?${new URLSearchParams(filter)}`);
  return Array.isArray(body?.items) ? body.items : [];
}

/** One session's row; null if there is none that this viewer may see. */
export const findSession = (id) => find(`/v1/sessions/${encodeURIComponent(id)}`);

/** A clip of a session by its event's id; null if that is no clip. */
export const findClip = (session, event) => find(`/v1/sessions/${encodeURIComponent(session)}/clips/${encodeURIComponent(event)}`);

async function find(path) {
  try {
    return await getJson(path);
  } catch (error) {
    if (error instanceof ApiError && (error.status === 404 || error.status === 400)) return null;
    throw error;
  }
}

/** The call that starts a session of this agent, ready to be pasted into a shell. */
export function startingCall(agent) {
  // Only characters that mean nothing to a shell: the name comes from the address bar.
  const name = /^[\w.@-]{1,100}$/.test(agent) ? agent : "my-agent";
  const body = JSON.stringify({ agentId: name, task: "Say hello", terminal: [{ type: "command", content: "echo hello" }, { type: "output", content: "hello" }] });
  return `curl -X POST ${window.location.origin}/api/agent/stream \\\n  -H 'content-type: application/json' \\\n  -d '${body}'`;
}
