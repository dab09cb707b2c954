# shellcheck shell=bash disable=SC2034  # sourced by dev/stack, which uses what is set here
# Docker or local processes: asked once, by `up`, and then remembered until the servers are stopped.

# An engine that hangs counts as none; macOS has no `timeout`.
docker_answers() {
  local tenths=50 asking
  command -v docker >/dev/null 2>&1 || return 1
  (docker info && docker compose version) >/dev/null 2>&1 </dev/null &
  asking=$!
  while kill -0 "$asking" 2>/dev/null; do
    if [ "$tenths" -le 0 ]; then
      kill "$asking" 2>/dev/null
      return 1
    fi
    tenths=$((tenths - 1))
    sleep 0.1
  done
  wait "$asking"
}

# engine_choose: sets ENGINE. KULTI_STACK_ENGINE is local (the default), docker, or auto.
engine_choose() {
  ENGINE=$(cat "$STACK/engine" 2>/dev/null) && [ -n "$ENGINE" ] && return 0
  case "${KULTI_STACK_ENGINE:-local}" in
    local | docker) ENGINE=${KULTI_STACK_ENGINE:-local} ;;
    auto) if docker_answers; then ENGINE=docker; else ENGINE=local; fi ;;
    *) die "KULTI_STACK_ENGINE is local, docker or auto, not $KULTI_STACK_ENGINE" ;;
  esac
}
