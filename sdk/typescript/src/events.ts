/** The events of a session and their data. Generated from schemas/avro by sdk/generate.py: change those, then run it. */

export type CodeAction = "create" | "edit" | "delete" | "rename";
export type MessageChannel = "text" | "thinking";
export type Visibility = "public" | "unlisted" | "private";
export type OutputStream = "stdout" | "stderr" | "pty";
export type OutputLevel = "success" | "error" | "info" | "warning";
export type ThoughtType = "general" | "reasoning" | "decision" | "observation" | "prompt" | "tool" | "context" | "evaluation";
export type ToolStatus = "ok" | "error";
export type UsageScope = "call" | "turn" | "session";

/** `approval.requested`: The agent asks before it goes on. */
export interface ApprovalRequestedData {
  /** The question's id. */
  approval: string;
  /** The question. */
  title: string;
  /** More about it. */
  detail?: string;
  /** The answers to choose from. */
  options?: unknown;
  /** When it no longer waits. */
  expires_at?: string;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `approval.resolved`: The answer. */
export interface ApprovalResolvedData {
  /** The question's id. */
  approval: string;
  /** What was decided. */
  decision: string;
  /** By whom. */
  by: string;
  /** A remark. */
  note?: string;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `chat`: A viewer says something. */
export interface ChatData {
  /** What. */
  text: string;
  /** The viewer's name. */
  name?: string;
  /** The event that the viewer looks at. */
  at?: string;
  /** The chat event that this one answers. */
  reply_to?: string;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `chat.delivered`: A viewer's message reached the agent. */
export interface ChatDeliveredData {
  /** The chat event. */
  message: string;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `chat.read`: The agent read a viewer's message. */
export interface ChatReadData {
  /** The chat event. */
  message: string;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `clip`: A viewer cuts out a part of the session. */
export interface ClipData {
  /** Its name. */
  title?: string;
  /** Its first event. */
  from: string;
  /** Its last event. */
  to: string;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `code.changed`: A file changed. */
export interface CodeChangedData {
  /** The file, relative to the workspace. */
  path: string;
  /** What happened to it. */
  action: CodeAction;
  /** The whole new content. */
  content?: string;
  /** The change as a unified diff. */
  patch?: string;
  /** The file's language. */
  language?: string;
  /** Its path before a rename. */
  old_path?: string;
  /** The tool call that it belongs to. */
  call?: string;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `custom`: Anything else. */
export interface CustomData {
  /** The producer's name for it. */
  name: string;
  /** Whatever it holds. */
  value: unknown;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `error`: Something went wrong. */
export interface ErrorData {
  /** What. */
  message: string;
  /** A stable word for it. */
  code?: string;
  /** True if the session cannot go on. */
  fatal?: boolean;
  /** The stack trace. */
  stack?: string;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `marker`: A place in the session worth finding again. */
export interface MarkerData {
  /** Its name. */
  label: string;
  /** Its rank: a number or a word. */
  level?: unknown;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `memory`: The agent notes something for later sessions. */
export interface MemoryData {
  /** Under this name, replacing what was there. */
  key?: string;
  /** What. */
  content: string;
  /** Words to find it by. */
  tags?: string[];
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `message.completed`: A whole message. */
export interface MessageCompletedData {
  /** The message's id. */
  message: string;
  /** Who speaks. */
  role: string;
  /** The text. */
  content: string;
  /** The model that wrote it. */
  model?: string;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `message.delta`: A piece of a message while it is being written. */
export interface MessageDeltaData {
  /** The message's id. */
  message: string;
  /** The piece's number within its message and channel. */
  index: number;
  /** The piece. */
  text: string;
  /** Who speaks. */
  role?: string;
  /** absent: text. */
  channel?: MessageChannel;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `moderation`: A moderator acts. */
export interface ModerationData {
  /** delete, timeout, ban, slow_mode, or another word. */
  action: string;
  /** What or whom. */
  target: string;
  /** When it ends. */
  until?: string;
  /** Why. */
  reason?: string;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `preview.closed`: It cannot be looked at any more. */
export interface PreviewClosedData {
  /** Where the preview is served. */
  url: string;
  /** The port it listens on. */
  port?: number;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `preview.opened`: Something can be looked at in a browser. */
export interface PreviewOpenedData {
  /** Where the preview is served. */
  url: string;
  /** The port it listens on. */
  port?: number;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `progress`: How far the work is. */
export interface ProgressData {
  /** What is being done. */
  title?: string;
  /** How much of it is done. */
  done?: number;
  /** How much there is. */
  total?: number;
  /** The steps. */
  plan?: { text: string; state: string }[];
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `reaction`: A viewer reacts. */
export interface ReactionData {
  /** With this. */
  emoji: string;
  /** To this event. */
  at?: string;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `redaction`: Parts of earlier events must not be shown. */
export interface RedactionData {
  /** Which events, fields and spans. */
  events: { event: string; field?: string; spans?: unknown }[];
  /** Why; never the secret itself. */
  reason?: string;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `session.ended`: The session is over, until a later event opens it again. */
export interface SessionEndedData {
  /** completed, failed, cancelled, timeout, or another word. */
  reason: string;
  /** What came out of it. */
  result?: unknown;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `session.erased`: The session was erased: nothing of it may be shown. */
export interface SessionErasedData {
  /** Why. */
  reason?: string;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `session.started`: A session begins. */
export interface SessionStartedData {
  /** What the agent was asked to do. */
  task?: string;
  /** A short name for people. */
  title?: string;
  /** Who may see the session; absent: the server's default. */
  visibility?: Visibility;
  /** Words to find it by. */
  tags?: string[];
  /** The agent's name for people. */
  agent_name?: string;
  /** An emoji or the URL of a picture. */
  agent_avatar?: string;
  /** The event of another session that this one goes on from. */
  forked_from?: { session: string; event: string };
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `session.updated`: What is known about the session changes; absent fields stay. */
export interface SessionUpdatedData {
  /** What the agent was asked to do. */
  task?: string;
  /** A short name for people. */
  title?: string;
  /** Who may see the session; absent: the server's default. */
  visibility?: Visibility;
  /** Words to find it by. */
  tags?: string[];
  /** The agent's name for people. */
  agent_name?: string;
  /** An emoji or the URL of a picture. */
  agent_avatar?: string;
  /** The event of another session that this one goes on from. */
  forked_from?: { session: string; event: string };
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `status.changed`: The agent's own word for what it is doing. */
export interface StatusChangedData {
  /** Any word. */
  status: string;
  /** More about it. */
  detail?: string;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `terminal.command`: A command is typed into a terminal. */
export interface TerminalCommandData {
  /** The command line. */
  command: string;
  /** The folder it runs in. */
  cwd?: string;
  /** Which terminal, where the session has several. */
  terminal?: string;
  /** The tool call that it belongs to. */
  call?: string;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `terminal.exited`: A command ended. */
export interface TerminalExitedData {
  /** Its exit code. */
  code: number;
  /** Which terminal, where the session has several. */
  terminal?: string;
  /** The tool call that it belongs to. */
  call?: string;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `terminal.output`: What a terminal printed. */
export interface TerminalOutputData {
  /** The output, if it came as text: UTF-8. */
  text?: string;
  /** The output, if it came as base64: any bytes. */
  base64?: string;
  /** Which stream. */
  stream?: OutputStream;
  /** How to show it. */
  level?: OutputLevel;
  /** Which terminal, where the session has several. */
  terminal?: string;
  /** The tool call that it belongs to. */
  call?: string;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `terminal.resized`: A terminal has another size. */
export interface TerminalResizedData {
  /** Columns. */
  cols: number;
  /** Rows. */
  rows: number;
  /** Which terminal, where the session has several. */
  terminal?: string;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `thought`: What the agent thinks. */
export interface ThoughtData {
  /** The thought. */
  content: string;
  /** Its type; absent: general. */
  type?: ThoughtType;
  /** Whatever the agent adds. */
  metadata?: unknown;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `tool.finished`: A tool call is over. */
export interface ToolFinishedData {
  /** The call's id. */
  call: string;
  /** How it went. */
  status: ToolStatus;
  /** What it answered. */
  output: unknown;
  /** How long it took. */
  duration_ms?: number;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `tool.started`: A tool is called. */
export interface ToolStartedData {
  /** The call's id. */
  call: string;
  /** The tool's name. */
  name: string;
  /** What it is called with. */
  input: unknown;
  /** The call that started the subagent which makes this call. */
  parent?: string;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** `usage`: Tokens and money. */
export interface UsageData {
  /** The model. */
  model: string;
  /** Tokens read. */
  input?: number;
  /** Tokens written. */
  output?: number;
  /** Tokens read from the cache. */
  cache_read?: number;
  /** Tokens written to the cache. */
  cache_write?: number;
  /** US dollars. */
  cost_usd?: number;
  /** What the numbers cover. */
  scope?: UsageScope;
  /** True if they count from the beginning of their scope. */
  cumulative?: boolean;
  /** Members that the kind does not name are kept. */
  [member: string]: unknown;
}

/** Each kind's data. */
export interface EventData {
  "approval.requested": ApprovalRequestedData;
  "approval.resolved": ApprovalResolvedData;
  "chat": ChatData;
  "chat.delivered": ChatDeliveredData;
  "chat.read": ChatReadData;
  "clip": ClipData;
  "code.changed": CodeChangedData;
  "custom": CustomData;
  "error": ErrorData;
  "marker": MarkerData;
  "memory": MemoryData;
  "message.completed": MessageCompletedData;
  "message.delta": MessageDeltaData;
  "moderation": ModerationData;
  "preview.closed": PreviewClosedData;
  "preview.opened": PreviewOpenedData;
  "progress": ProgressData;
  "reaction": ReactionData;
  "redaction": RedactionData;
  "session.ended": SessionEndedData;
  "session.erased": SessionErasedData;
  "session.started": SessionStartedData;
  "session.updated": SessionUpdatedData;
  "status.changed": StatusChangedData;
  "terminal.command": TerminalCommandData;
  "terminal.exited": TerminalExitedData;
  "terminal.output": TerminalOutputData;
  "terminal.resized": TerminalResizedData;
  "thought": ThoughtData;
  "tool.finished": ToolFinishedData;
  "tool.started": ToolStartedData;
  "usage": UsageData;
}

export type Kind = keyof EventData;

/** The kinds that an agent may send. */
export type ProducerKind = Exclude<Kind, "approval.resolved" | "chat" | "chat.delivered" | "chat.read" | "clip" | "moderation" | "reaction" | "redaction" | "session.erased">;

/** An event as readers get it. */
export interface EventOf<K extends string, Data> {
  /** Its number in the session: 1, 2, 3, … without holes. */
  position: number;
  /** Its UUID. */
  id: string;
  session: string;
  agent: string;
  kind: K;
  data: Data;
  /** The producer's clock, RFC 3339. */
  time: string;
  /** The server's clock, RFC 3339. */
  received: string;
  source: "agent" | "viewer" | "system";
  producer?: string;
  generation?: number;
  seq?: number;
  /** The event that caused this one. */
  cause?: string;
  raw?: string;
}

/** Any event of a kind that this package knows: `kind` tells which `data` it has. A newer server may send others. */
export type KultiEvent = { [K in Kind]: EventOf<K, EventData[K]> }[Kind];
