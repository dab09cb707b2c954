# shellcheck shell=bash disable=SC2034,SC2154  # sourced by dev/setup
# What is called what on which system. Sourced by dev/setup, which sets MISSING and PINNED.

# rustup puts itself there; a shell that was open before does not know it yet.
case ":$PATH:" in *":$HOME/.cargo/bin:"*) ;; *) PATH=$HOME/.cargo/bin:$PATH ;; esac

system() {
  case "$(uname -s)" in
    Darwin) echo macos ;;
    Linux)
      if [ -r /etc/debian_version ]; then
        echo debian
      elif [ -r /etc/fedora-release ]; then
        echo fedora
      else
        echo linux
      fi
      ;;
    *) uname -s ;;
  esac
}

purpose_of() {
  case "$1" in
    git) echo "version control" ;;
    make) echo "librdkafka is built with it" ;;
    cc | cxx) echo "C and C++ compiler: librdkafka and zstd are built from source" ;;
    rust) echo "Rust $PINNED, pinned in rust-toolchain.toml" ;;
    rust_lints) echo "rustfmt and clippy of Rust $PINNED" ;;
    wasm) echo "Rust for WebAssembly: the player in HTML exports is built with it" ;;
    java) echo "Java 17 or newer (Kafka), or a Docker engine that answers" ;;
    maven) echo "Maven (fetches Kafka and PostgreSQL), or a Docker engine that answers" ;;
    xz) echo "unpacks PostgreSQL" ;;
    kcat) echo "a test reads the topics with it" ;;
    chromium) echo "page tests run in it" ;;
    chromedriver) echo "page tests drive Chromium with it" ;;
    python) echo "Python 3.10 or newer with venv: the Python SDK, and checks of the compose and workflow files" ;;
    go) echo "Go: a test runs the example agent" ;;
    shellcheck) echo "checks the scripts" ;;
  esac
}

# package SYSTEM NEED: its packages there; nothing if it comes another way.
package() {
  case "$1:$2" in
    *:git | *:make | debian:kcat | macos:kcat | debian:maven | fedora:maven | macos:maven | debian:shellcheck | macos:shellcheck) echo "$2" ;;
    debian:cc) echo gcc libc6-dev ;;
    debian:cxx | fedora:cxx) [ "$1" = debian ] && echo g++ || echo gcc-c++ ;;
    fedora:cc) echo gcc ;;
    debian:java) echo default-jdk-headless ;;
    fedora:java) echo java-21-openjdk-headless ;;
    debian:xz) echo xz-utils ;;
    fedora:xz) echo xz ;;
    *:chromium) echo chromium ;;
    debian:chromedriver) echo chromium-driver ;;
    *:chromedriver) echo chromedriver ;;
    debian:python) echo python3 python3-venv ;;
    fedora:python) echo python3 ;;
    macos:python) echo python ;;
    debian:go) echo golang-go ;;
    fedora:go) echo golang ;;
    macos:go) echo go ;;
    fedora:shellcheck) echo ShellCheck ;;
  esac
}

packages() {
  local need
  for need in $MISSING; do package "$1" "$need"; done | tr '\n' ' '
}

rust_commands() {
  case "$MISSING" in *rust*) ;; *) return 0 ;; esac
  command -v rustup >/dev/null 2>&1 || case "$1" in
    macos) echo "brew install rustup && export PATH=\"\$(brew --prefix rustup)/bin:\$PATH\"" ;;
    *) echo "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --default-toolchain none && . \"\$HOME/.cargo/env\"" ;;
  esac
  echo "rustup toolchain install $PINNED --profile minimal --component rustfmt --component clippy"
}

wasm_commands() {
  case "$MISSING" in *wasm*) echo "rustup target add --toolchain $PINNED wasm32-unknown-unknown" ;; esac
}

# Where rustup cannot fetch the target, Debian has a Rust for the web that can build it.
install_wasm_on_debian() {
  rustup target add --toolchain "$PINNED" wasm32-unknown-unknown && return 0
  local linker
  apt-get update -q || return 1
  linker=$(apt-cache search --names-only '^lld-[0-9]+$' | sed 's/ .*//' | sort -t - -k 2 -n | tail -n 1)
  apt-get install -y -q --no-install-recommends rustc-web cargo-web rust-web-src "${linker:-lld}"
}

install_commands() {
  local here found sudo=
  here=$(system)
  [ "$(id -u)" = 0 ] || sudo='sudo '
  found=$(packages "$here")
  case "$here" in
    debian) [ -z "${found// /}" ] || echo "${sudo}apt-get update && ${sudo}apt-get install -y $found" ;;
    fedora) [ -z "${found// /}" ] || echo "${sudo}dnf install -y $found" ;;
    macos)
      case "$MISSING" in *cc* | *cxx* | *git* | *make*) echo "xcode-select --install" ;; esac
      found=$(echo " $found" | sed 's/ git / /; s/ make / /; s/ chromium / /; s/ chromedriver / /; s/^ *//')
      [ -z "${found// /}" ] || echo "brew install $found"
      # The formula openjdk is not on the PATH; this one is.
      case "$MISSING" in *java*) echo "brew install --cask temurin@21" ;; esac
      case "$MISSING" in *chromium* | *chromedriver*) echo "brew install --cask chromium chromedriver" ;; esac
      ;;
    *) echo "no list for this system; what is meant is named above" ;;
  esac
  case "$here:$MISSING" in fedora:*kcat*) echo "kcat is not packaged here: see github.com/edenhill/kcat" ;; esac
  rust_commands "$here"
  wasm_commands
}

install_on_debian() {
  local found
  export DEBIAN_FRONTEND=noninteractive
  found=$(packages debian)
  case "$MISSING" in *rust*)
    # Debian 13 has a package for rustup, older ones have not.
    command -v rustup >/dev/null 2>&1 || found="$found curl ca-certificates"
    ;;
  esac
  if [ -n "${found// /}" ]; then
    apt-get update -q || return 1
    # shellcheck disable=SC2086  # several packages
    apt-get install -y -q --no-install-recommends $found || return 1
  fi
  case "$MISSING" in *rust*) install_rust_on_debian || return 1 ;; esac
  case "$MISSING" in *wasm*) install_wasm_on_debian ;; esac
}

install_rust_on_debian() {
  if ! command -v rustup >/dev/null 2>&1 && ! apt-get install -y -q --no-install-recommends rustup; then
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs -o "$WORK/rustup.sh" || return 1
    sh "$WORK/rustup.sh" -y --profile minimal --default-toolchain none || return 1
  fi
  rustup toolchain install "$PINNED" --profile minimal --component rustfmt --component clippy
}
