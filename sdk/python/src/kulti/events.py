"""The events of a session and their data. Generated from schemas/avro by sdk/generate.py: change those, then run it."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

CodeAction = Literal["create", "edit", "delete", "rename"]
MessageChannel = Literal["text", "thinking"]
Visibility = Literal["public", "unlisted", "private"]
OutputStream = Literal["stdout", "stderr", "pty"]
OutputLevel = Literal["success", "error", "info", "warning"]
ThoughtType = Literal["general", "reasoning", "decision", "observation", "prompt", "tool", "context", "evaluation"]
ToolStatus = Literal["ok", "error"]
UsageScope = Literal["call", "turn", "session"]

class _ApprovalRequestedNeeds(TypedDict):
    approval: str
    """The question's id."""
    title: str
    """The question."""

class ApprovalRequestedData(_ApprovalRequestedNeeds, total=False):
    """``approval.requested``: The agent asks before it goes on."""

    detail: str
    """More about it."""
    options: Any
    """The answers to choose from."""
    expires_at: str
    """When it no longer waits."""

class _ApprovalResolvedNeeds(TypedDict):
    approval: str
    """The question's id."""
    decision: str
    """What was decided."""
    by: str
    """By whom."""

class ApprovalResolvedData(_ApprovalResolvedNeeds, total=False):
    """``approval.resolved``: The answer."""

    note: str
    """A remark."""

class _ChatNeeds(TypedDict):
    text: str
    """What."""

class ChatData(_ChatNeeds, total=False):
    """``chat``: A viewer says something."""

    name: str
    """The viewer's name."""
    at: str
    """The event that the viewer looks at."""
    reply_to: str
    """The chat event that this one answers."""

class ChatDeliveredData(TypedDict):
    """``chat.delivered``: A viewer's message reached the agent."""

    message: str
    """The chat event."""

class ChatReadData(TypedDict):
    """``chat.read``: The agent read a viewer's message."""

    message: str
    """The chat event."""

_ClipNeeds = TypedDict("_ClipNeeds", {"from": str, "to": str})

class ClipData(_ClipNeeds, total=False):
    """``clip``: A viewer cuts out a part of the session."""

    title: str
    """Its name."""

class _CodeChangedNeeds(TypedDict):
    path: str
    """The file, relative to the workspace."""
    action: CodeAction
    """What happened to it."""

class CodeChangedData(_CodeChangedNeeds, total=False):
    """``code.changed``: A file changed."""

    content: str
    """The whole new content."""
    patch: str
    """The change as a unified diff."""
    language: str
    """The file's language."""
    old_path: str
    """Its path before a rename."""
    call: str
    """The tool call that it belongs to."""

class CustomData(TypedDict):
    """``custom``: Anything else."""

    name: str
    """The producer's name for it."""
    value: Any
    """Whatever it holds."""

class _ErrorNeeds(TypedDict):
    message: str
    """What."""

class ErrorData(_ErrorNeeds, total=False):
    """``error``: Something went wrong."""

    code: str
    """A stable word for it."""
    fatal: bool
    """True if the session cannot go on."""
    stack: str
    """The stack trace."""

class _MarkerNeeds(TypedDict):
    label: str
    """Its name."""

class MarkerData(_MarkerNeeds, total=False):
    """``marker``: A place in the session worth finding again."""

    level: Any
    """Its rank: a number or a word."""

class _MemoryNeeds(TypedDict):
    content: str
    """What."""

class MemoryData(_MemoryNeeds, total=False):
    """``memory``: The agent notes something for later sessions."""

    key: str
    """Under this name, replacing what was there."""
    tags: list[str]
    """Words to find it by."""

class _MessageCompletedNeeds(TypedDict):
    message: str
    """The message's id."""
    role: str
    """Who speaks."""
    content: str
    """The text."""

class MessageCompletedData(_MessageCompletedNeeds, total=False):
    """``message.completed``: A whole message."""

    model: str
    """The model that wrote it."""

class _MessageDeltaNeeds(TypedDict):
    message: str
    """The message's id."""
    index: int
    """The piece's number within its message and channel."""
    text: str
    """The piece."""

class MessageDeltaData(_MessageDeltaNeeds, total=False):
    """``message.delta``: A piece of a message while it is being written."""

    role: str
    """Who speaks."""
    channel: MessageChannel
    """absent: text."""

class _ModerationNeeds(TypedDict):
    action: str
    """delete, timeout, ban, slow_mode, or another word."""
    target: str
    """What or whom."""

class ModerationData(_ModerationNeeds, total=False):
    """``moderation``: A moderator acts."""

    until: str
    """When it ends."""
    reason: str
    """Why."""

class _PreviewClosedNeeds(TypedDict):
    url: str
    """Where the preview is served."""

class PreviewClosedData(_PreviewClosedNeeds, total=False):
    """``preview.closed``: It cannot be looked at any more."""

    port: int
    """The port it listens on."""

class _PreviewOpenedNeeds(TypedDict):
    url: str
    """Where the preview is served."""

class PreviewOpenedData(_PreviewOpenedNeeds, total=False):
    """``preview.opened``: Something can be looked at in a browser."""

    port: int
    """The port it listens on."""

class ProgressData(TypedDict, total=False):
    """``progress``: How far the work is."""

    title: str
    """What is being done."""
    done: int
    """How much of it is done."""
    total: int
    """How much there is."""
    plan: list[dict[str, Any]]
    """The steps."""

class _ReactionNeeds(TypedDict):
    emoji: str
    """With this."""

class ReactionData(_ReactionNeeds, total=False):
    """``reaction``: A viewer reacts."""

    at: str
    """To this event."""

class _RedactionNeeds(TypedDict):
    events: list[dict[str, Any]]
    """Which events, fields and spans."""

class RedactionData(_RedactionNeeds, total=False):
    """``redaction``: Parts of earlier events must not be shown."""

    reason: str
    """Why; never the secret itself."""

class _SessionEndedNeeds(TypedDict):
    reason: str
    """completed, failed, cancelled, timeout, or another word."""

class SessionEndedData(_SessionEndedNeeds, total=False):
    """``session.ended``: The session is over, until a later event opens it again."""

    result: Any
    """What came out of it."""

class SessionErasedData(TypedDict, total=False):
    """``session.erased``: The session was erased: nothing of it may be shown."""

    reason: str
    """Why."""

class SessionStartedData(TypedDict, total=False):
    """``session.started``: A session begins."""

    task: str
    """What the agent was asked to do."""
    title: str
    """A short name for people."""
    visibility: Visibility
    """Who may see the session; absent: the server's default."""
    tags: list[str]
    """Words to find it by."""
    agent_name: str
    """The agent's name for people."""
    agent_avatar: str
    """An emoji or the URL of a picture."""
    forked_from: dict[str, str]
    """The event of another session that this one goes on from."""

class SessionUpdatedData(TypedDict, total=False):
    """``session.updated``: What is known about the session changes; absent fields stay."""

    task: str
    """What the agent was asked to do."""
    title: str
    """A short name for people."""
    visibility: Visibility
    """Who may see the session; absent: the server's default."""
    tags: list[str]
    """Words to find it by."""
    agent_name: str
    """The agent's name for people."""
    agent_avatar: str
    """An emoji or the URL of a picture."""
    forked_from: dict[str, str]
    """The event of another session that this one goes on from."""

class _StatusChangedNeeds(TypedDict):
    status: str
    """Any word."""

class StatusChangedData(_StatusChangedNeeds, total=False):
    """``status.changed``: The agent's own word for what it is doing."""

    detail: str
    """More about it."""

class _TerminalCommandNeeds(TypedDict):
    command: str
    """The command line."""

class TerminalCommandData(_TerminalCommandNeeds, total=False):
    """``terminal.command``: A command is typed into a terminal."""

    cwd: str
    """The folder it runs in."""
    terminal: str
    """Which terminal, where the session has several."""
    call: str
    """The tool call that it belongs to."""

class _TerminalExitedNeeds(TypedDict):
    code: int
    """Its exit code."""

class TerminalExitedData(_TerminalExitedNeeds, total=False):
    """``terminal.exited``: A command ended."""

    terminal: str
    """Which terminal, where the session has several."""
    call: str
    """The tool call that it belongs to."""

class TerminalOutputData(TypedDict, total=False):
    """``terminal.output``: What a terminal printed."""

    text: str
    """The output, if it came as text: UTF-8."""
    base64: str
    """The output, if it came as base64: any bytes."""
    stream: OutputStream
    """Which stream."""
    level: OutputLevel
    """How to show it."""
    terminal: str
    """Which terminal, where the session has several."""
    call: str
    """The tool call that it belongs to."""

class _TerminalResizedNeeds(TypedDict):
    cols: int
    """Columns."""
    rows: int
    """Rows."""

class TerminalResizedData(_TerminalResizedNeeds, total=False):
    """``terminal.resized``: A terminal has another size."""

    terminal: str
    """Which terminal, where the session has several."""

class _ThoughtNeeds(TypedDict):
    content: str
    """The thought."""

class ThoughtData(_ThoughtNeeds, total=False):
    """``thought``: What the agent thinks."""

    type: ThoughtType
    """Its type; absent: general."""
    metadata: Any
    """Whatever the agent adds."""

class _ToolFinishedNeeds(TypedDict):
    call: str
    """The call's id."""
    status: ToolStatus
    """How it went."""
    output: Any
    """What it answered."""

class ToolFinishedData(_ToolFinishedNeeds, total=False):
    """``tool.finished``: A tool call is over."""

    duration_ms: int
    """How long it took."""

class _ToolStartedNeeds(TypedDict):
    call: str
    """The call's id."""
    name: str
    """The tool's name."""
    input: Any
    """What it is called with."""

class ToolStartedData(_ToolStartedNeeds, total=False):
    """``tool.started``: A tool is called."""

    parent: str
    """The call that started the subagent which makes this call."""

class _UsageNeeds(TypedDict):
    model: str
    """The model."""

class UsageData(_UsageNeeds, total=False):
    """``usage``: Tokens and money."""

    input: int
    """Tokens read."""
    output: int
    """Tokens written."""
    cache_read: int
    """Tokens read from the cache."""
    cache_write: int
    """Tokens written to the cache."""
    cost_usd: float
    """US dollars."""
    scope: UsageScope
    """What the numbers cover."""
    cumulative: bool
    """True if they count from the beginning of their scope."""

#: The kinds that an agent may send.
ProducerKind = Literal[
    "approval.requested",
    "code.changed",
    "custom",
    "error",
    "marker",
    "memory",
    "message.completed",
    "message.delta",
    "preview.closed",
    "preview.opened",
    "progress",
    "session.ended",
    "session.started",
    "session.updated",
    "status.changed",
    "terminal.command",
    "terminal.exited",
    "terminal.output",
    "terminal.resized",
    "thought",
    "tool.finished",
    "tool.started",
    "usage",
]

class _EventNeeds(TypedDict):
    id: str
    """Its UUID."""
    session: str
    agent: str
    kind: str
    """One of the kinds above, or one that is newer than this package."""
    data: dict[str, Any]
    """What the kind holds; members that the kind does not name are kept."""

class Event(_EventNeeds, total=False):
    """An event as readers get it."""

    position: int
    """Its number in the session: 1, 2, 3, … without holes."""
    time: str
    """The producer's clock, RFC 3339."""
    received: str
    """The server's clock, RFC 3339."""
    source: str
    """agent, viewer or system."""
    producer: str
    generation: int
    seq: int
    cause: str
    """The event that caused this one."""
    raw: str
