# Shared by the programs that build something once and keep it in the cache: where the cache is, one builder at a
# time, nothing half-made, plain progress lines. Sourced, never run. Uses the global names CACHE, PARTIAL and STARTED.
# shellcheck shell=bash

readonly SUITE=trixie
STARTED=$SECONDS
PARTIAL=

# say TEXT: one progress line on stderr, with the time since the start.
say() { printf '[%3d s] %s\n' "$((SECONDS - STARTED))" "$*" >&2; }

# die TEXT: says what happened, why and what to do, and ends the program.
die() { printf 'Error: %s\n' "$*" >&2; exit 1; }

# cache_root: the folder that keeps what is built, outside the checkout.
cache_root() {
  if [[ -n ${NCN_CACHE_DIR:-} ]]; then printf '%s\n' "$NCN_CACHE_DIR"
  elif [[ $EUID -eq 0 ]]; then printf '/var/cache/ncn\n'
  elif [[ -n ${XDG_CACHE_HOME:-} ]]; then printf '%s/ncn\n' "$XDG_CACHE_HOME"
  elif [[ -n ${HOME:-} ]]; then printf '%s/.cache/ncn\n' "$HOME"
  else die "no place for the cache: neither NCN_CACHE_DIR nor HOME is set. Set NCN_CACHE_DIR to a folder of yours."
  fi
}

# recipe_key FILE...: 16 hex digits that change when a file, its name, the suite or the architecture does.
recipe_key() {
  { printf '%s %s\n' "$SUITE" "$(uname -m)"; cat -- "$@"; printf '%s\n' "${@##*/}"; } | sha256sum | cut -c1-16
}

# package_list FILE: the names in a list, without comments.
package_list() { sed 's/#.*//; s/[[:space:]]//g; /^$/d' "$1"; }

# need_tools TOOL...: ends with the Debian package to install when one is missing.
need_tools() {
  local tool
  for tool; do
    command -v "$tool" > /dev/null || die "$tool is not installed. Run scripts/setup, or: apt-get install $tool"
  done
}

# need_disk FOLDER MIB: ends unless the file system of FOLDER has that much room.
need_disk() {
  local free
  free=$(df --output=avail -m "$1" | tail -n 1 | tr -d ' ')
  [[ $free -ge $2 ]] ||
    die "$1 has $free MiB free, $2 MiB are needed. Make room, or set NCN_CACHE_DIR to a folder on a larger disk."
}

# become_root COMMAND...: replaces this shell by COMMAND as uid 0 in mount and pid namespaces of its own, so that its
# mounts and processes end with it, and it with the shell that started this one, also when that is killed. Without
# root, uid 0 is that of a user namespace.
become_root() {
  local -a user=()
  [[ $EUID -eq 0 ]] || user=(--user --map-root-user --map-auto)
  exec setpriv --pdeathsig KILL \
    unshare "${user[@]}" --mount --pid --fork --kill-child=KILL --mount-proc -- "$@" 9>&-
}

# remove_tree FOLDER: deletes it and never leaves its file system; files of a user namespace need its root.
remove_tree() {
  rm -rf --one-file-system -- "$1" 2> /dev/null && return
  (become_root rm -rf --one-file-system -- "$1") ||
    printf 'Warning: could not delete %s; delete it by hand.\n' "$1" >&2
}

# begin_build KIND KEY: takes the lock of KIND, sweeps what killed builds left, makes PARTIAL. Returns 1, holding
# nothing, when another builder finished KEY while this one waited.
begin_build() {
  local folder=$CACHE/$1 stale
  mkdir -p "$folder" 2> /dev/null || true
  [[ -w $folder ]] || die "cannot write to $folder. Set NCN_CACHE_DIR to a folder of yours."
  exec 9> "$folder/.lock"
  flock -n 9 || { say "waiting for another build of $1"; flock 9; }
  for stale in "$folder"/*.partial.*; do [[ ! -e $stale ]] || remove_tree "$stale"; done
  [[ ! -d $folder/$2 ]] || { exec 9>&-; return 1; }
  PARTIAL=$folder/$2.partial.$$
  trap 'end_build $?' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM HUP
  mkdir "$PARTIAL"
}

# end_build STATUS: on any exit but a finished build, ends what still runs and deletes the partial folder.
end_build() {
  trap - EXIT
  trap '' INT TERM HUP
  local jobs_left # unshare would sit out a SIGTERM
  jobs_left=$(jobs -p)
  # shellcheck disable=SC2086  # a list of process ids
  [[ -z $jobs_left ]] || { kill -KILL $jobs_left 2> /dev/null; wait 2> /dev/null; } || true
  [[ -z $PARTIAL || ! -e $PARTIAL ]] || remove_tree "$PARTIAL"
  exit "$1"
}

# publish FOLDER: what was built appears under its name complete, also after a power failure.
publish() {
  sync --file-system "$PARTIAL"
  mv --no-target-directory -- "$PARTIAL" "$1"
  PARTIAL=
  sync "$(dirname "$1")"
}
