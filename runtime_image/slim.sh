#!/usr/bin/env bash
# Takes out of a fresh root file system what no executor needs, every set-uid bit, and every file that only some
# users could read. mmdebstrap calls it as a hook with the root as its only argument.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$1
[[ -d $root/usr/bin && $root != / ]] || { echo "slim.sh: $root is not a root file system" >&2; exit 2; }

cd "$root"
while read -r pattern _; do
  case $pattern in
    '' | '#'*) continue ;;
    /* | *..*) echo "slim.sh: '$pattern' in removed.txt must stay below the root" >&2; exit 2 ;;
  esac
  # The pattern is meant to expand; what matches nothing in this version is not an error.
  for path in $pattern; do
    [[ ! -e $path && ! -L $path ]] || rm -rf --one-file-system -- "$path"
  done
done < "$here/removed.txt"

mkdir -p var/log tmp
find . -xdev -perm /6000 ! -type l -exec chmod ug-s {} +
find . -xdev -type d ! -perm -0055 -exec chmod a+rx {} +
find . -xdev -type f ! -perm -0044 -exec chmod a+r {} +
# Nobody logs in here, and the dates in these would make two builds differ.
rm -f etc/{shadow,gshadow}{,-} etc/{passwd,group,subuid,subgid}- etc/.pwd.lock
# Empty directories that a sandbox, or a test, mounts upon.
mkdir -p app model run tmp work
