# shellcheck shell=bash disable=SC2034  # sourced by dev/stack, which uses what is set here
# The same two servers from images, where a Docker engine answers. Sourced after kafka.sh and
# postgres.sh, whose functions it replaces.

fetch() { :; }

compose() {
  KULTI_STACK_KAFKA_PORT=$(port_of kafka) KULTI_STACK_POSTGRES_PORT=$(port_of postgres) \
    docker compose --progress quiet -p "kulti-stack-$(printf '%s' "$STACK" | cksum | cut -d' ' -f1)" \
    -f "$ROOT/dev/servers.compose.yml" "$@"
}

container_running() {
  local id
  id=$(compose ps -q --status running "$1" 2>/dev/null)
  [ -n "$id" ] && printf '%.12s' "$id"
}
container_start() {
  container_running "$1" >/dev/null && return 0
  port_choose "$1" "$2"
  compose up -d --wait "$1" || die "docker compose could not start $1 (see above)"
}

# In one go: two `compose up` at once would both make the network.
start_both() {
  container_running kafka >/dev/null || port_choose kafka 19092
  container_running postgres >/dev/null || port_choose postgres 15432
  compose up -d --wait || die "docker compose could not start the servers (see above)"
}

kafka_running() { container_running kafka; }
kafka_start() { container_start kafka 19092; }
kafka_stop() { compose stop kafka; }
kafka_kill() { compose kill kafka; }
postgres_running() { container_running postgres; }
postgres_start() { container_start postgres 15432; }
postgres_stop() { compose stop postgres; }
postgres_kill() { compose kill postgres; }
