#!/bin/sh
# need.sh venv|chromium|npm … : see that Debian's packages behind these words are there.
# As root on a Debian they are installed; anybody else gets one clear sentence.
set -eu

PYTHON=${PYTHON:-python3}

there() {
    case $1 in
        venv) "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ;;
        chromium) command -v chromium || command -v chromium-browser || command -v google-chrome ;;
        strace) [ "$(uname)" != Linux ] || command -v strace ;; # nowhere else can one have it
        *) command -v "$1" ;;
    esac >/dev/null
}

package() {
    case $1 in
        venv) echo python3-venv ;;
        *) echo "$1" ;;
    esac
}

command -v "$PYTHON" >/dev/null || { echo "NeuroCore needs Python 3.11 or newer; there is no $PYTHON here: name one with make PYTHON=…" >&2; exit 1; }
"$PYTHON" -c '' || { echo "$PYTHON cannot be started: name another with make PYTHON=…" >&2; exit 1; }
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "NeuroCore needs Python 3.11 or newer and $PYTHON is older: name another with make PYTHON=python3.12" >&2
    exit 1
}

missing=
for word in "$@"; do
    there "$word" || missing="$missing $(package "$word")"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing Debian's$missing …"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086 - several packages
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "This needs$missing, which is not installed: ask for 'apt-get install$missing' (or your system's like of it) and try again." >&2
    exit 1
fi
