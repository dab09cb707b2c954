# shellcheck shell=bash disable=SC2034  # sourced by dev/stack, which uses what is set here
# Brings the servers' programs: Maven resolves dev/pom.xml, checks the checksums and lays them out.

postgres_platform() {
  local machine
  case "$(uname -m)" in
    x86_64 | amd64) machine=amd64 ;;
    aarch64 | arm64) machine=arm64v8 ;;
    *) die "no PostgreSQL binaries for $(uname -m); set KULTI_KAFKA_BROKERS and KULTI_DATABASE_URL to servers of your own" ;;
  esac
  case "$(uname -s)" in
    Linux) say "linux-$machine" ;;
    Darwin) say "darwin-$machine" ;;
    *) die "no PostgreSQL binaries for $(uname -s); use Docker or servers of your own" ;;
  esac
}

# proxy_options SCHEME URL: Maven does not read http_proxy, it wants Java's own properties.
proxy_options() {
  local scheme=$1 address=${2#*://} user=
  [ -n "$2" ] || return 0
  address=${address%%/*}
  case "$address" in *@*) user=${address%@*} address=${address##*@} ;; esac
  say "-D$scheme.proxyHost=${address%:*}"
  case "$address" in *:*) say "-D$scheme.proxyPort=${address##*:}" ;; esac
  [ -z "$user" ] || say "-D$scheme.proxyUser=${user%%:*}"
  case "$user" in *:*) say "-D$scheme.proxyPassword=${user#*:}" ;; esac
}

maven_proxies() {
  local exempt=${no_proxy:-${NO_PROXY:-}} entry hosts=
  proxy_options https "${https_proxy:-${HTTPS_PROXY:-${all_proxy:-${ALL_PROXY:-}}}}"
  proxy_options http "${http_proxy:-${HTTP_PROXY:-${all_proxy:-${ALL_PROXY:-}}}}"
  for entry in $(printf '%s' "$exempt" | tr ',' ' '); do
    case "$entry" in .*) entry="*$entry" ;; esac
    hosts="$hosts${hosts:+|}$entry"
  done
  [ -z "$hosts" ] || say "-Dhttp.nonProxyHosts=$hosts"
}

# Once per version of dev/pom.xml and platform: the marker is written last.
fetch() {
  local platform marker archive options=() line
  platform=$(postgres_platform) || exit 1
  marker="$platform $(cksum <"$ROOT/dev/pom.xml")"
  [ "$(cat "$STACK/programs/complete" 2>/dev/null)" != "$marker" ] || return 0
  have java || die "Java 17 or newer is missing: dev/setup says how to install it"
  have mvn || die "Maven is missing: dev/setup says how to install it"
  have xz || [ "$(uname -s)" = Darwin ] || die "xz is missing: dev/setup says how to install it"
  note "fetching Kafka and PostgreSQL (about 60 MB, once) …"
  rm -rf "$STACK/programs"
  mkdir -p "$STACK/programs/postgres" "$STACK/logs"
  while IFS= read -r line; do [ -z "$line" ] || options+=("$line"); done <<EOF
$(maven_proxies)
EOF
  mvn -q -B -f "$ROOT/dev/pom.xml" ${options[@]+"${options[@]}"} -Dstack.folder="$STACK/programs" \
    -Dpostgres.platform="$platform" process-resources >"$STACK/logs/maven.log" 2>&1 </dev/null || {
    tail -n 20 "$STACK/logs/maven.log" >&2
    die "Maven could not fetch the servers (see above, and $STACK/logs/maven.log)"
  }
  archive=$(ls "$STACK"/programs/postgres/*.txz) || die "no PostgreSQL archive in the jar"
  tar -xJf "$archive" -C "$STACK/programs/postgres" || die "could not unpack $archive"
  rm -f "$archive"
  # The user that runs PostgreSQL may not be the one that fetched it.
  chmod -R a+rX "$STACK/programs"
  say "$marker" >"$STACK/programs/complete"
}
