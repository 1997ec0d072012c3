#!/usr/bin/env bash
# Takes out of a fresh root file system what no executor needs and every set-uid bit, gives every file to root and
# lets everyone read it. The root is its only argument; running it twice does no harm.
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
# While the hook runs, these three are mounts of the building machine.
own=(. -xdev '(' -path ./dev -o -path ./proc -o -path ./sys ')' -prune -o)
find "${own[@]}" '(' ! -uid 0 -o ! -gid 0 ')' -exec chown --no-dereference 0:0 {} +
find "${own[@]}" ! -type l -perm /6000 -exec chmod ug-s {} +
find "${own[@]}" -type d ! -perm -0055 -exec chmod a+rx {} +
find "${own[@]}" -type f ! -perm -0044 -exec chmod a+r {} +
# Nobody logs in here, and the dates in these would make two builds differ.
rm -f etc/{shadow,gshadow}{,-} etc/{passwd,group,subuid,subgid}- etc/.pwd.lock
# Empty directories that a sandbox, or a test, mounts upon.
mkdir -p app model run tmp work
