# The steps that make an image. Sourced by build, which sets 'here' and 'key', never run.
# shellcheck shell=bash disable=SC2154

readonly STEPS=6
readonly DISK_NEEDED_MIB=3500

# follow_log: turns the lines of mmdebstrap on stdin into steps; everything goes to the log as well.
follow_log() {
  local line
  while IFS= read -r line; do
    printf '%s\n' "$line" >> "$PARTIAL/log"
    case $line in
      'I: running apt-get update'*) say "step 1/$STEPS: reading the package lists of Debian $SUITE" ;;
      'I: downloading packages'*) say "step 2/$STEPS: downloading the base system" ;;
      'I: installing remaining packages'*) say "step 3/$STEPS: installing torch, onnxruntime and the rest" ;;
      'Need to get '* | 'Fetched '*) say "            ${line%. }" ;;
      'I: running --customize-hook'*"slim.sh"*) say "step 4/$STEPS: taking out what no executor needs" ;;
      'I: running --customize-hook'*"chroot"*) say "step 5/$STEPS: trying every package inside the image" ;;
      *': works ('* | *': FAILED'*) say "            $line" ;;
    esac
  done
}

# report_size: every five seconds, how much has arrived, until it or the build is killed.
report_size() {
  local size
  # Reads from a pipe that nobody writes to: a sleep would outlive the build for a while.
  until read -r -t 5 -u 7 || ! kill -0 $$ 2> /dev/null || [[ ! -d $PARTIAL ]]; do
    size=$(du -sxm "$PARTIAL/rootfs" 2> /dev/null | cut -f1) || true
    say "            ${size:-0} MB on disk"
  done 7<> <(:)
}

# run_mmdebstrap: fills PARTIAL/rootfs, and does not return: it is a job. SOURCE_DATE_EPOCH stays unset: with it
# Python would check the hash of every module that it imports, and the image is reproducible without.
run_mmdebstrap() {
  unset SOURCE_DATE_EPOCH
  local packages sources
  packages=$(package_list "$here/packages.txt" | paste -sd,)
  sources=$(mirror_lines)
  # Hooks are run by a shell of mmdebstrap, which expands "$1" to the root.
  # shellcheck disable=SC2016
  export TMPDIR=$PARTIAL/tmp
  become_root mmdebstrap \
    --mode=root --variant=essential --format=directory --keyring="$KEYRING" \
    --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Retries "3"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='force-unsafe-io' \
    --include="$packages" \
    --customize-hook="'$here/slim.sh' \"\$1\"" \
    --customize-hook="cp '$here/smoke_test.py' \"\$1\" && chroot \"\$1\" python3 -B /smoke_test.py" \
    --customize-hook="rm \"\$1/smoke_test.py\"" \
    "$SUITE" "$PARTIAL/rootfs" - <<< "$sources" > >(follow_log) 2>&1
}

# write_image_json ROOTFS DIGEST FILE: what the image is and which packages it holds.
write_image_json() {
  {
    printf '{\n  "digest": "sha256:%s",\n  "key": "%s",\n  "created": "%s",\n  "packages": {\n' \
      "$2" "$key" "$(date --utc +%Y-%m-%dT%H:%M:%SZ)"
    # shellcheck disable=SC2016  # the fields are dpkg-query's
    dpkg-query --admindir="$1/var/lib/dpkg" --show --showformat='    "${Package}": "${Version}"\n' |
      LC_ALL=C sort -u | sed '$!s/$/,/'
    printf '  }\n}\n'
  } > "$3"
}

# build_image FOLDER: builds everything and publishes it as FOLDER.
build_image() {
  need_tools mmdebstrap flock unshare setpriv dpkg-query sha256sum
  [[ -r $KEYRING ]] || die "$KEYRING is missing. Run: apt-get install debian-archive-keyring"
  begin_build runtime-image "$key" || return 0
  need_disk "$PARTIAL" "$DISK_NEEDED_MIB"
  say "building the runtime image once, about 400 MB to download (next time this takes no time)"
  mkdir "$PARTIAL/tmp"
  chmod 755 "$PARTIAL"
  : > "$PARTIAL/log"
  report_size 9>&- &
  local meter=$!
  run_mmdebstrap 9>&- &
  local status=0
  wait $! || status=$?
  kill "$meter" 2> /dev/null || true
  [[ $status -eq 0 ]] || explain_failure "$PARTIAL/log"
  say "step $STEPS/$STEPS: computing the digest"
  rm -rf "$PARTIAL/tmp"
  # mmdebstrap leaves private folders behind after its hooks. Devices are the sandbox's to give.
  (become_root "$here/slim.sh" "$PARTIAL/rootfs")
  find "$PARTIAL/rootfs/dev" -mindepth 1 -delete
  write_manifest "$PARTIAL/rootfs" "$PARTIAL/manifest"
  write_image_json "$PARTIAL/rootfs" "$(sha256sum < "$PARTIAL/manifest" | cut -d' ' -f1)" "$PARTIAL/image.json"
  rm -f "$PARTIAL/log"
  publish "$1"
  say "done: $(du -sxm "$1/rootfs" | cut -f1) MB, $(sed -n 's/.*"digest": "\(.*\)".*/\1/p' "$1/image.json")"
}
