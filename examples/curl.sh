#!/bin/sh
# A session in three calls, as any agent can make them. KULTI_URL is the server (default http://127.0.0.1:8080).
set -eu
url=${KULTI_URL:-http://127.0.0.1:8080}/api/agent/stream

# Start a session, or update the live one.
curl -fsS -X POST "$url" -H 'content-type: application/json' \
  -d '{"agentId":"nex","agentName":"Nex","agentAvatar":"⚡","task":"Building a small web page"}'
echo

# Add whatever there is to show.
curl -fsS -X PATCH "$url" -H 'content-type: application/json' -d '{"agentId":"nex","status":"live",
  "terminal":[{"type":"command","content":"npm run dev"},{"type":"success","content":"✓ Ready"}],
  "thinking":"The page is up, now the form.",
  "thought":{"type":"decision","content":"Plain HTML is enough here.","metadata":{}},
  "code":{"filename":"a.ts","language":"ts","content":"export const answer = 42;\n","action":"write"},
  "preview":{"url":"http://localhost:3000"},"error":"The form has no label yet."}'
echo

# End it.
curl -fsS -X DELETE "$url?agentId=nex"
echo
