# shellcheck shell=bash disable=SC2034  # sourced by dev/stack, which uses what is set here
# What every part of dev/stack shares: messages, the lock, and knowing a process again.
# Sourced, not run. Works on bash 3.2 (macOS): no associative arrays, no mapfile, no ${x,,}.

say() { printf '%s\n' "$*"; }
note() { printf '%s\n' "$*" >&2; }
die() {
  printf 'dev/stack: %s\n' "$*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# A process is the one that we started only if its start time is the one that we noted:
# process ids are used again. Linux knows it in clock ticks, ps elsewhere in seconds.
process_start() {
  local stat
  if [ -r "/proc/$1/stat" ]; then
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # The name in parentheses may hold spaces; the start time is the 20th field after it.
    # shellcheck disable=SC2086  # split on purpose
    set -- ${stat##*) }
    case "$1" in Z | X) return 1 ;; esac
    printf '%s' "${20}"
  else
    stat=$(LC_ALL=C ps -o stat= -o lstart= -p "$1" 2>/dev/null) || return 1
    case "$stat" in '' | Z*) return 1 ;; esac
    # shellcheck disable=SC2086  # split on purpose
    set -- $stat
    shift
    printf '%s' "$*" | tr ' ' '_'
  fi
}

# process_record PID FILE: notes the process in FILE.
process_record() {
  printf '%s %s\n' "$1" "$(process_start "$1")" >"$2.new" && mv -f "$2.new" "$2"
}

# process_alive FILE: whether the process noted in FILE runs; prints its id.
process_alive() {
  local pid start
  [ -r "$1" ] || return 1
  read -r pid start <"$1" || return 1
  [ -n "$pid" ] && [ -n "$start" ] || return 1
  [ "$(process_start "$pid")" = "$start" ] || return 1
  printf '%s' "$pid"
}

# process_stop FILE SIGNAL SECONDS: ends the process noted in FILE, SIGKILL after SECONDS.
process_stop() {
  local file=$1 signal=$2 tenths=$(($3 * 10)) pid
  if pid=$(process_alive "$file"); then
    kill "-$signal" "$pid" 2>/dev/null
    while process_alive "$file" >/dev/null; do
      if [ "$tenths" -le 0 ]; then
        note "process $pid does not end: SIGKILL"
        kill -KILL "$pid" 2>/dev/null
        tenths=50
      fi
      tenths=$((tenths - 1))
      sleep 0.1
    done
  fi
  rm -f "$file"
}

# One dev/stack at a time per checkout. mkdir is the one lock that every system has. A lock whose
# holder is gone is broken by whoever holds lock.break, so that two cannot break it in turn.
lock_take() {
  local waited=0
  while ! mkdir "$STACK/lock" 2>/dev/null; do
    if [ -e "$STACK/lock/holder" ] && ! process_alive "$STACK/lock/holder" >/dev/null; then
      if mkdir "$STACK/lock.break" 2>/dev/null; then
        process_alive "$STACK/lock/holder" >/dev/null || rm -rf "$STACK/lock"
        rmdir "$STACK/lock.break"
        continue
      fi
    fi
    [ "$waited" -ne 20 ] || note "waiting for another dev/stack in this checkout …"
    [ "$waited" -lt 6000 ] || die "another dev/stack holds $STACK/lock for ten minutes; remove it if none runs"
    waited=$((waited + 1))
    sleep 0.1
  done
  LOCKED=1
  process_record $$ "$STACK/lock/holder"
}

lock_release() {
  [ -z "${LOCKED:-}" ] || rm -rf "$STACK/lock"
  LOCKED=
}

# Whether somebody listens on 127.0.0.1:PORT.
port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# port_choose NAME FIRST: the remembered port if it is free, else the next free one; remembers it.
port_choose() {
  local file=$STACK/ports/$1 port=
  mkdir -p "$STACK/ports"
  [ ! -s "$file" ] || port=$(cat "$file")
  if [ -z "$port" ] || port_taken "$port"; then
    port=$2
    while port_taken "$port"; do port=$((port + 1)); done
  fi
  printf '%s\n' "$port" >"$file"
}
port_of() { cat "$STACK/ports/$1" 2>/dev/null; }

# launch LOG COMMAND...: starts a process that outlives this script and a Ctrl-C in its terminal
# (a process group of its own); its id is left in $LAUNCHED.
launch() {
  local log=$1
  shift
  [ ! -s "$log" ] || mv -f "$log" "$log.1"
  set -m
  nohup "$@" >"$log" 2>&1 </dev/null &
  LAUNCHED=$!
  set +m
}
