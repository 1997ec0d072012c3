# The list of an image's files that its digest is computed over. Sourced, never run.
# shellcheck shell=bash

# write_manifest ROOT FILE: one line per file, sorted by path: type, mode, size, SHA-256 (or '-'), path[ -> target].
# Owners and times are left out: they differ between a build by root and one by a user, and change nothing.
write_manifest() {
  local root=$1 out=$2 work
  work=$(mktemp -d "$out.XXXXXX")
  (
    cd "$root" || exit 1
    export LC_ALL=C
    # A name with a line break would let one file pose as two.
    [[ -z $(find . -xdev -name $'*\n*' -print -quit) ]] || die "a file name in $root holds a line break"
    find . -xdev -type f -printf '%P\n' | sort > "$work/names"
    xargs -r -d '\n' sha256sum -- < "$work/names" | sed 's/^\\//' | cut -c1-64 > "$work/hashes"
    xargs -r -d '\n' stat --printf='f %04a %s\n' -- < "$work/names" > "$work/modes"
    {
      paste -d' ' "$work/modes" "$work/hashes" "$work/names"
      find . -xdev -mindepth 1 -type l -printf 'l 0777 %s - %P -> %l\n'
      find . -xdev -mindepth 1 ! -type f ! -type l -printf '%y %04m 0 - %P\n'
    } | sort -t' ' -k5
  ) > "$out"
  rm -rf "$work"
}
