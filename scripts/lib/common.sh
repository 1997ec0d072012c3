# Shared by every script: where the checkout is, how many jobs, how a script speaks. Sourced, never run.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly ROOT
# Jobs at once; NCN_JOBS=1 leaves room for other work on the machine.
JOBS=${NCN_JOBS:-$(nproc)}
export JOBS

# One compiler cache for every checkout: object files do not depend on where the sources are.
export CCACHE_BASEDIR=$ROOT CCACHE_NOHASHDIR=true

# die TEXT: says what happened, why and what to do, and ends the script.
die() { printf 'Error: %s\n' "$*" >&2; exit 1; }

# usage_error TEXT: the script was called wrongly.
usage_error() { printf "Error: %s See '%s --help'.\n" "$*" "$0" >&2; exit 2; }

# show_help FILE: the comment at the top of a script is its help.
show_help() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$1"; }

# repository_files PATTERN...: tracked files and new ones that git does not ignore, one a line.
repository_files() { git -C "$ROOT" ls-files --cached --others --exclude-standard --deduplicate -- "$@" | existing_files; }
existing_files() { while IFS= read -r file; do [[ ! -f $ROOT/$file ]] || printf '%s\n' "$file"; done; }

# known_preset NAME: whether CMakePresets.json has a build preset of this name.
known_preset() {
  [[ " $(cd "$ROOT" && cmake --list-presets=build | sed -n 's/^ *"\([^"]*\)".*/\1/p' | tr '\n' ' ')" == *" $1 "* ]]
}
