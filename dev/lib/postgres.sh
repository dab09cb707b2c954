# shellcheck shell=bash disable=SC2034  # sourced by dev/stack, which uses what is set here
# PostgreSQL. It refuses to run as root: root gives it to an unprivileged user, and if that user
# cannot reach this checkout, programs and data lie under the system's own folder for such things.

# The user that PostgreSQL runs as; empty: the one who calls.
postgres_user() {
  local user
  [ "$(id -u)" = 0 ] || return 0
  for user in ${KULTI_STACK_USER:-postgres nobody}; do
    if id "$user" >/dev/null 2>&1; then
      printf '%s' "$user"
      return 0
    fi
  done
  die "PostgreSQL does not run as root and there is no user postgres or nobody: name one in KULTI_STACK_USER"
}

# as_postgres COMMAND...: sets COMMAND to what runs it as that user.
as_postgres() {
  local user quoted='' word
  user=$(postgres_user) || exit 1
  if [ -z "$user" ]; then
    COMMAND=("$@")
  elif have setpriv; then
    COMMAND=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups "$@")
  else
    for word in "$@"; do quoted="$quoted $(printf '%q' "$word")"; done
    COMMAND=(su "$user" -s /bin/sh -c "exec$quoted")
  fi
}

# postgres_place: sets HOME_OF_POSTGRES (data) and POSTGRES (programs), remembered for later calls.
postgres_place() {
  local user name
  [ ! -s "$STACK/postgres.home" ] || HOME_OF_POSTGRES=$(cat "$STACK/postgres.home")
  if [ -z "${HOME_OF_POSTGRES:-}" ] || [ ! -d "$HOME_OF_POSTGRES" ]; then
    HOME_OF_POSTGRES=$STACK/postgres
    mkdir -p "$HOME_OF_POSTGRES"
    as_postgres test -x "$STACK/programs/postgres/bin/postgres"
    if ! "${COMMAND[@]}" 2>/dev/null; then
      name=$(printf '%s' "$STACK" | cksum | cut -d' ' -f1)
      HOME_OF_POSTGRES=/var/tmp
      [ -w "$HOME_OF_POSTGRES" ] || HOME_OF_POSTGRES=/tmp
      # A folder of our own in a place where anybody may make folders: a stranger's is refused.
      HOME_OF_POSTGRES=$HOME_OF_POSTGRES/kulti-stack-$name
      rmdir "$STACK/postgres"
      mkdir -m 755 "$HOME_OF_POSTGRES" 2>/dev/null || [ -O "$HOME_OF_POSTGRES" ] ||
        die "$HOME_OF_POSTGRES belongs to somebody else"
    fi
    say "$HOME_OF_POSTGRES" >"$STACK/postgres.home"
  fi
  POSTGRES=$STACK/programs/postgres
  [ "$HOME_OF_POSTGRES" = "$STACK/postgres" ] && return 0
  POSTGRES=$HOME_OF_POSTGRES/programs
  if [ "$(cat "$POSTGRES/complete" 2>/dev/null)" != "$(cat "$STACK/programs/complete")" ]; then
    rm -rf "$POSTGRES"
    cp -R "$STACK/programs/postgres" "$POSTGRES"
    cp "$STACK/programs/complete" "$POSTGRES/complete"
  fi
}

postgres_initialise() {
  local data=$HOME_OF_POSTGRES/data user
  [ ! -e "$HOME_OF_POSTGRES/initialised" ] || return 0
  user=$(postgres_user) || exit 1
  rm -rf "$data"
  mkdir -m 700 "$data"
  [ -z "$user" ] || chown "$user" "$data"
  as_postgres "$POSTGRES/bin/initdb" -D "$data" -U kulti -A trust -E UTF8 --locale-provider=builtin --locale=C.UTF-8 --no-sync
  (cd / && "${COMMAND[@]}") >"$STACK/logs/initdb.log" 2>&1 || {
    tail -n 20 "$STACK/logs/initdb.log" >&2
    die "initdb failed (see above, and $STACK/logs/initdb.log)"
  }
  # There is no psql in the archive; the server in single-user mode takes one statement.
  as_postgres "$POSTGRES/bin/postgres" --single -D "$data" postgres
  (cd / && echo 'create database kulti' | "${COMMAND[@]}") >>"$STACK/logs/initdb.log" 2>&1 ||
    die "creating the database failed: $STACK/logs/initdb.log"
  say "$(cat "$STACK/programs/complete")" >"$HOME_OF_POSTGRES/initialised"
}

postgres_running() { process_alive "$STACK/run/postgres"; }

postgres_launch() {
  local data=$HOME_OF_POSTGRES/data tenths=600 pid
  # A postmaster that was killed and that nobody has waited for yet counts as alive for PostgreSQL.
  pid=$(head -n 1 "$data/postmaster.pid" 2>/dev/null)
  if [ -n "$pid" ] && ! process_start "$pid" >/dev/null; then rm -f "$data/postmaster.pid"; fi
  as_postgres "$POSTGRES/bin/postgres" -D "$data" -p "$(port_of postgres)" -c listen_addresses=127.0.0.1 \
    -c unix_socket_directories= -c max_connections=300 -c shared_buffers=256MB -c max_wal_size=2GB \
    -c timezone=UTC -c log_timezone=UTC
  cd / && launch "$STACK/logs/postgres.log" "${COMMAND[@]}"
  cd "$ROOT" || exit 1
  process_record "$LAUNCHED" "$STACK/run/postgres"
  while ! grep -q 'ready to accept connections' "$STACK/logs/postgres.log"; do
    postgres_running >/dev/null || return 1
    [ "$tenths" -gt 0 ] || die "PostgreSQL is not ready after a minute: $STACK/logs/postgres.log"
    tenths=$((tenths - 1))
    sleep 0.1
  done
  # With su between, the server is its child: the server's own file names it.
  pid=$(head -n 1 "$data/postmaster.pid")
  [ "$pid" = "$LAUNCHED" ] || process_record "$pid" "$STACK/run/postgres"
}

postgres_start() {
  local tries=5
  postgres_running >/dev/null && return 0
  rm -f "$STACK/run/postgres"
  postgres_place
  postgres_initialise
  while :; do
    port_choose postgres 15432
    postgres_launch && return 0
    rm -f "$STACK/run/postgres"
    tries=$((tries - 1))
    if [ "$tries" -eq 0 ] || ! grep -q 'Address already in use' "$STACK/logs/postgres.log"; then
      tail -n 20 "$STACK/logs/postgres.log" >&2
      die "PostgreSQL did not start (see above, and $STACK/logs/postgres.log)"
    fi
  done
}

# SIGINT is PostgreSQL's fast shutdown: connections are ended, nothing is lost.
postgres_stop() { process_stop "$STACK/run/postgres" INT 20; }
# Like a power cut: the backends go too; on their own they would finish what they are at.
postgres_kill() {
  local pid children=''
  pid=$(postgres_running) && children=$(ps -A -o pid= -o ppid= 2>/dev/null | awk -v of="$pid" '$2 == of { print $1 }')
  process_stop "$STACK/run/postgres" KILL 5
  # shellcheck disable=SC2086  # several ids
  [ -z "$children" ] || kill -KILL $children 2>/dev/null || :
}
