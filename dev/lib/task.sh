# shellcheck shell=bash disable=SC2034  # sourced by the scripts behind `make`
# What the scripts behind `make` share: the folder, the PATH, steps that are quiet unless they fail.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P) || exit 1
cd "$ROOT" || exit 1
LOGS=$ROOT/.stack/logs
mkdir -p "$LOGS"
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
export KULTI_STACK_ENGINE=${KULTI_STACK_ENGINE:-auto}
case ":$PATH:" in *":$HOME/.cargo/bin:"*) ;; *) export PATH=$HOME/.cargo/bin:$PATH ;; esac

# step NAME COMMAND...: one line while it runs; its output only if it fails.
step() {
  local name=$1 log begin=$SECONDS running
  shift
  log=$LOGS/$(printf '%s' "$name" | tr -c 'a-zA-Z0-9\n' '-').log
  if [ -t 1 ]; then
    "$@" >"$log" 2>&1 </dev/null &
    running=$!
    trap 'kill "$running" 2>/dev/null; exit 130' INT
    while kill -0 "$running" 2>/dev/null; do
      printf '\r%s … %ds' "$name" "$((SECONDS - begin))"
      sleep 0.2
    done
    printf '\r\033[K'
    trap - INT
    wait "$running"
  else
    echo "$name …"
    "$@" >"$log" 2>&1 </dev/null
  fi || {
    cat "$log" >&2
    echo "$name: failed (the lines above are in ${log#"$ROOT"/})" >&2
    return 1
  }
  echo "$name: done in $((SECONDS - begin)) s"
}

# Real servers: those that the caller names, else our own, started if they do not run.
servers() {
  if [ -n "${KULTI_TEST_KAFKA:-}" ] && [ -n "${KULTI_TEST_DATABASE:-}" ]; then
    echo "servers: $KULTI_TEST_KAFKA and KULTI_TEST_DATABASE, as the environment says"
    return 0
  fi
  local exports
  step "kafka and postgres" dev/stack up || return 1
  exports=$(dev/stack env) || return 1
  eval "$exports"
}
