// Connects the installation of asciinema in this page's address with a key. The key goes nowhere but into one request.

import { ApiError } from "./api.js";
import { byId, setShown, setText } from "./dom.js";

async function connect(key) {
  const headers = { Accept: "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  const answer = await fetch(window.location.pathname, { method: "POST", headers });
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new ApiError(answer.status, body);
  return body.detail;
}

async function submit(event) {
  event.preventDefault();
  const button = byId("form").querySelector("button");
  button.disabled = true;
  let [done, trouble] = ["", ""];
  try {
    done = await connect(byId("key").value.trim());
    byId("key").value = "";
  } catch (error) {
    trouble = error.message;
  }
  button.disabled = false;
  for (const [id, text] of [["done", done], ["trouble", trouble]]) {
    setText(byId(id), text);
    setShown(byId(id), text !== "");
  }
}

const address = window.location.origin + window.location.pathname;
setText(byId("call"), `curl -X POST ${address} \\\n  -H "Authorization: Bearer $KULTI_API_KEY"`);
byId("form").addEventListener("submit", submit);
