# shellcheck shell=bash
# Bash functions that stream through Kulti's simple API with curl. Each call is one request, one after the other, so
# that the order is theirs; curl tries again when the server is away or says 503.

url=${KULTI_URL:-http://127.0.0.1:8080}
pace=${KULTI_PACE:-1}

# A JSON string. Other control characters do not come out of the programs that are run here.
json() {
  local text=$1
  text=${text//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//$'\n'/\\n}
  text=${text//$'\r'/\\r}
  text=${text//$'\t'/\\t}
  text=${text//$'\033'/\\u001b}
  text=${text//$'\007'/\\u0007}
  text=${text//$'\017'/\\u000f}
  printf '"%s"' "$text"
}

send() { # method, the object's members beside agentId
  # One for each request, the same for each attempt. Drawn, not counted: a pipeline's loop is a shell of its own.
  local key=$$-$SECONDS-$RANDOM-$RANDOM-$RANDOM
  printf '{"agentId":%s,%s}' "$(json "$agent")" "$2" |
    curl -fsS -X "$1" "$url/api/agent/stream" --retry 5 --retry-connrefused --max-time 30 \
      -H 'content-type: application/json' -H "Idempotency-Key: $key" \
      ${KULTI_API_KEY:+-H "Authorization: Bearer $KULTI_API_KEY"} --data-binary @-
}

patch() { send PATCH "$1" > /dev/null; }

start_session() { # agent, name, avatar, task, visibility
  agent=$1
  local answer visibility=
  [ -z "$5" ] || visibility=",\"visibility\":$(json "$5")"
  answer=$(send POST "\"agentName\":$(json "$2"),\"agentAvatar\":$(json "$3"),\"task\":$(json "$4")$visibility")
  session=$(printf '%s' "$answer" | sed 's/.*"sessionId":"\([^"]*\)".*/\1/')
  echo "session $session"
}

end_session() {
  curl -fsS -X DELETE "$url/api/agent/stream?agentId=$agent" --retry 5 --retry-connrefused \
    ${KULTI_API_KEY:+-H "Authorization: Bearer $KULTI_API_KEY"} > /dev/null
}

fail_session() {
  trap - ERR
  report_error "$1"
  end_session
}

rest() { [ "$pace" = 0 ] || sleep "$1"; }

set_status() { patch "\"status\":$(json "$1")"; }
report_error() { patch "\"error\":$(json "$1")"; }

think() { # type, content
  patch "\"thought\":{\"type\":\"$1\",\"content\":$(json "$2")}"
  rest $((1 + ${#2} / 70))
}

write_file() { # name, language, where its content is
  cp "$3" "$1"
  patch "\"code\":{\"filename\":$(json "$1"),\"language\":\"$2\",\"action\":\"write\",\"content\":$(json "$(cat "$1")
")}"
  rest 1
}

# Runs a command under a pseudo-terminal (so that it shows its colours) and sends each line as it comes.
run() {
  local line code
  patch "\"terminal\":[{\"type\":\"command\",\"content\":$(json "$1")}]"
  rm -f /tmp/mandelbrot/.code
  in_terminal "$1; echo \$? > .code" < /dev/null | while IFS= read -r line || [ -n "$line" ]; do
    patch "\"terminal\":[{\"type\":\"output\",\"content\":$(json "${line%$'\r'}")}]"
  done
  code=$(cat .code)
  if [ "$code" = 0 ]; then
    rest 1
    return 0
  fi
  patch "\"terminal\":[{\"type\":\"error\",\"content\":\"exit $code\"}]"
  rest 1
  return "$code"
}

# A plain environment: nothing of the machine's owner gets into the session.
in_terminal() {
  local plain="env -i PATH=$PATH HOME=/tmp TERM=xterm-256color LC_ALL=C.UTF-8 bash --norc --noprofile -c"
  if script --version > /dev/null 2>&1; then
    COLUMNS=80 script -qefc "stty cols 80 rows 24; $plain $(printf '%q' "$1")" /dev/null
  else
    # BSD and macOS: the command comes as arguments.
    # shellcheck disable=SC2086  # several words
    script -q /dev/null $plain "$1"
  fi
}
