# Finds the package mirror that this machine already uses. Sourced, never run.
# shellcheck shell=bash

# apt_entries: one line "URI SUITE" for each suite that the machine's apt sources name, from both file formats.
apt_entries() {
  local etc=${NCN_APT_ETC:-/etc/apt} file
  # A deb822 stanza may give its fields in any order and its values over several lines.
  for file in "$etc"/sources.list.d/*.sources; do
    cat "$file" 2> /dev/null || true
    echo
  done | awk '
    function flush(  u, s, i, j, n, m) {
      if (types ~ /(^| )deb( |$)/ && tolower(enabled) !~ /^ *(no|false)/) {
        n = split(uris, u, " "); m = split(suites, s, " ")
        for (i = 1; i <= n; i++) for (j = 1; j <= m; j++) print u[i], s[j]
      }
      types = uris = suites = enabled = field = ""
    }
    /^[ \t]*$/ { flush(); next }
    /^#/ { next }
    /^[ \t]/ { value = $0 }
    /^[^ \t]/ { field = tolower(substr($0, 1, index($0, ":") - 1)); value = substr($0, index($0, ":") + 1) }
    { if (field == "types") types = types " " value
      if (field == "uris") uris = uris " " value
      if (field == "suites") suites = suites " " value
      if (field == "enabled") enabled = value }
    END { flush() }'
  { cat "$etc"/sources.list "$etc"/sources.list.d/*.list 2> /dev/null || true; } |
    sed -n 's/^[[:space:]]*deb[[:space:]]\+\(\[[^]]*\][[:space:]]*\)\?//p' | awk 'NF >= 2 { print $1, $2 }'
}

# mirror_lines: the apt source lines of SUITE and its updates, from the mirrors of the running Debian.
mirror_lines() {
  local codename main security
  codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
  main=$(apt_entries | awk -v suite="$codename" '$2 == suite && !found++ { print $1 }')
  security=$(apt_entries | awk -v suite="$codename-security" '$2 == suite && !found++ { print $1 }')
  [[ $main == http*://* || $main == file:* ]] || die "no Debian mirror found: the apt sources of this machine name" \
    "none for its own release '${codename:-unknown}'. Add one to /etc/apt/sources.list.d, then run this again."
  printf 'deb [signed-by=%s] %s %s main\n' "$KEYRING" "$main" "$SUITE" "$KEYRING" "$main" "$SUITE-updates"
  [[ -z $security ]] || printf 'deb [signed-by=%s] %s %s-security main\n' "$KEYRING" "$security" "$SUITE"
}

readonly KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# explain_failure LOG: turns the log of a failed download into one cause and one cure.
explain_failure() {
  tail -n 15 "$1" | sed 's/^/    /' >&2
  if grep -qE 'resolv|Could not connect|Connection (refused|timed out|failed)|Network is unreachable' "$1"; then
    die "the Debian mirror in this machine's apt sources cannot be reached. Check the network, or the proxy" \
      "(Acquire::http::Proxy in /etc/apt/apt.conf.d); 'apt-get update' must work. Then run this again."
  elif grep -qE "No space left|Disk quota exceeded|enough free space" "$1"; then
    die "the disk of $CACHE is full. Make room, or set NCN_CACHE_DIR to a folder on a larger disk."
  elif grep -qE 'NO_PUBKEY|not signed|EXPKEYSIG|KEYEXPIRED' "$1"; then
    die "the mirror's signature cannot be checked. Run: apt-get install --only-upgrade debian-archive-keyring"
  elif grep -qE 'Operation not permitted|unshare failed|newuidmap|not allowed to' "$1"; then
    die "namespaces are not allowed here. As a user: install uidmap and give yourself a range with" \
      "'usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)'; in a container: give it" \
      "CAP_SYS_ADMIN; or build as root."
  fi
  die "building failed; the lines above say why."
}
