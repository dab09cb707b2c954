// A model that says what it was told to say: the chat completions API, as OpenClaw calls it for a server of one's own.
import { once } from "node:events";
import http from "node:http";

/**
 * `scripts` has, by the words of a prompt, what the model answers to it, step by step: `text`, `calls` as
 * `[tool, input]`, `usage`, or `status` and `message` of a refusal.
 */
export async function scriptedModel(scripts) {
  const model = { requests: 0 };
  const server = http.createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    model.requests += 1;
    const { messages } = JSON.parse(Buffer.concat(parts).toString());
    const [name, step] = nextStep(scripts, messages);
    if (step.status) {
      const body = JSON.stringify({ error: { message: step.message } });
      response.writeHead(step.status, { "content-type": "application/json" }).end(body);
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const chunk of chunksOf(step, `${name} ${model.requests}`)) response.write(`data: ${JSON.stringify(chunk)}\n\n`);
    response.end("data: [DONE]\n\n");
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  model.url = `http://127.0.0.1:${server.address().port}/v1`;
  model.close = () => {
    server.closeAllConnections();
    server.close();
  };
  return model;
}

/** The script of the prompt that came last, and as many steps into it as it was answered. */
function nextStep(scripts, messages) {
  // OpenClaw adds messages of its own, which name earlier prompts.
  const isPrompt = ({ role, content }) => role === "user" && !JSON.stringify(content).includes("OPENCLAW_INTERNAL_CONTEXT");
  const texts = messages.map((message) => (isPrompt(message) ? JSON.stringify(message.content) : ""));
  for (let index = texts.length - 1; index >= 0; index -= 1) {
    const name = Object.keys(scripts).find((words) => texts[index].includes(words));
    if (name === undefined) continue;
    const answered = messages.slice(index).filter(({ role }) => role === "assistant").length;
    return [name, scripts[name][answered] ?? { text: `nothing is left to say about ${name}` }];
  }
  return ["unknown", { text: "I was not told what to say." }];
}

function* chunksOf({ text = "", calls = [], usage }, id) {
  const chunk = (delta, finish_reason = null) => ({
    id,
    object: "chat.completion.chunk",
    created: 1,
    model: "scripted",
    choices: [{ index: 0, delta, finish_reason }],
  });
  yield chunk({ role: "assistant", content: "" });
  for (const part of text.match(/[^ ]+ ?/g) ?? []) yield chunk({ content: part });
  for (const [index, [name, input]] of calls.entries()) {
    const call = { index, id: `${id} ${index}`.replaceAll(" ", "_"), type: "function" };
    yield chunk({ tool_calls: [{ ...call, function: { name, arguments: JSON.stringify(input) } }] });
  }
  yield chunk({}, calls.length > 0 ? "tool_calls" : "stop");
  const { prompt = 100, cached = 0, completion = 10 } = usage ?? {};
  yield {
    ...chunk({}),
    choices: [],
    usage: {
      prompt_tokens: prompt,
      completion_tokens: completion,
      total_tokens: prompt + completion,
      prompt_tokens_details: { cached_tokens: cached },
    },
  };
}
