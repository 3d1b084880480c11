#!/bin/sh
# Puts the Tiercast agent on this machine and has it join: made by `tiercast node bootstrap`, good for one machine, once.
# Region @REGION@, key @FINGERPRINT@, node @NODE@, below @PARENT@ at @URL@.
# Run it as root for a system's agent (two halves, systemd); as another user for packages of that user alone.
set -eu

region='@REGION@' node='@NODE@' fingerprint='@FINGERPRINT@'
source='@SOURCE@' sha256='@SHA256@'
token='@TOKEN@'

say() { printf 'tiercast: %s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The software: a file, or an address; what comes over a network is what the administrator named, or nothing.
file=$source
case $source in
http://* | https://*)
    [ -n "$sha256" ] || fail "an address needs the digest of what lies there: --sha256"
    file=$work/${source##*/}
    say "fetching $source"
    if command -v curl >/dev/null 2>&1; then curl -fsSL -o "$file" "$source"; else wget -qO "$file" "$source"; fi
    ;;
*) [ -z "$source" ] || [ -f "$source" ] || fail "$source is not on this machine: bring it here, to that very place" ;;
esac
if [ -n "$sha256" ]; then
    printf '%s  %s\n' "$sha256" "$file" | sha256sum -c - >/dev/null 2>&1 || fail "$source is not what was named (sha256)"
fi

if [ "$(id -u)" = 0 ]; then
    case $file in
    *.deb) ;;
    *) fail "a system's agent comes as a .deb: --from FILE.deb or its address" ;;
    esac
    bin=${TIERCAST_BIN:-/opt/tiercast/bin}
    state=/var/lib/tiercast/endpoint
    dpkg -i "$file" >&2 || fail "the package was not installed; what is missing is said above"
    if [ -e "$state/enrolled.json" ]; then
        fail "this machine has joined already ($state); a new name for it is \`tiercast node replace\`"
    fi
    # It joins for a folder of its own: where packages go is root's, and named when the agent is split in two.
    printf '%s\n' "$token" | runuser -u tiercast-endpoint -g tiercast-endpoint -- \
        "$bin/tiercast-endpoint" join --state "$state" --install-root "$state/apps" - >/dev/null
    "$bin/tiercast-endpoint" root init --agent "$state" --install-root /opt/tiercast-apps --fingerprint "$fingerprint" >&2
    extra=/usr/share/tiercast/two-halves.conf
    if [ -e "$extra" ]; then
        install -D -m 0644 "$extra" /etc/systemd/system/tiercast-endpoint.service.d/two-halves.conf
        systemctl daemon-reload >&2
    fi
    systemctl enable --now tiercast-root.socket tiercast-endpoint.service >&2
    say "$node has joined $region; its packages come to /opt/tiercast-apps"
else
    case $file in
    *.deb) fail "a .deb is for root: sudo sh $0; for packages of one user the script is made with --from FILE.whl" ;;
    esac
    home=${TIERCAST_DIR:-${HOME:+$HOME/.local/share/tiercast}}
    [ -n "$home" ] || fail "HOME is not set: say TIERCAST_DIR=FOLDER, where the agent is to live"
    if [ -e "$home/endpoint/enrolled.json" ]; then
        fail "this user's agent has joined already; start it with: $home/bin/tiercast-agent run --state $home/endpoint"
    fi
    mkdir -p "$home" 2>/dev/null && [ -w "$home" ] || fail "$home can't be written: say TIERCAST_DIR=FOLDER for another place"
    python=""
    for candidate in python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$candidate
            break
        fi
    done
    [ -n "$python" ] || fail "Python 3.11 or newer with venv is needed (Debian: python3-venv); none is on the PATH"
    [ -x "$home/bin/tiercast-endpoint" ] || "$python" -m venv "$home" || fail "no environment could be made in $home"
    "$home/bin/python" -m pip install -q --disable-pip-version-check "${file:-tiercast}" >&2 || fail "pip could not install ${file:-tiercast}"
    printf '%s\n' "$token" | "$home/bin/tiercast-endpoint" join --state "$home/endpoint" --install-root "$home/apps" - >/dev/null
    say "$node has joined $region; start it with: $home/bin/tiercast-agent run --state $home/endpoint"
fi
