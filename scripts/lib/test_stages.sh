# The stages of scripts/test. Sourced, never run; uses its names $preset, $skips and $scope.
# shellcheck shell=bash disable=SC2154

# The sanitizers stop at the first finding; tests/*.supp silence what is not ours, one reason each.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:detect_stack_use_after_return=1:abort_on_error=0}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1}
export LSAN_OPTIONS=${LSAN_OPTIONS:-}
[[ ! -f $ROOT/tests/tsan.supp ]] || TSAN_OPTIONS+=:suppressions=$ROOT/tests/tsan.supp
[[ ! -f $ROOT/tests/lsan.supp ]] || LSAN_OPTIONS+=:suppressions=$ROOT/tests/lsan.supp

# image_stages: everything that tests outside a single room need.
image_stages() {
  stage runtime-image runtime_image/build || finish_stages
  if [[ -f tests/interop/package-lock.json ]]; then
    stage npm scripts/lib/npm_install tests/interop || true
  fi
}

# ctest_stage ARGUMENT...: every test that CMake knows; address space layout is fixed, which ThreadSanitizer needs.
ctest_stage() {
  local report=$LOGS/ctest.xml
  rm -f "$report"
  stage ctest setarch -R ctest --test-dir "build/$preset" --parallel "$JOBS" --output-on-failure --no-tests=error \
    --output-junit "$report" "$@" || true
  if [[ $skips == refused && -f $report ]]; then
    refuse_skips "$({ grep -B 1 '<skipped' "$report"; grep 'status="disabled"' "$report"; } |
      sed -n 's/.*<testcase name="\([^"]*\)".*/\1/p' | xargs)"
  fi
}

# python_stages: every program */tests/run runs the Python tests beside it, inside the runtime image; tests of the
# programs as a user sees them are Python of the host. Both close with pytest's line.
python_stages() {
  local run folder
  while IFS= read -r run; do
    pytest_stage "pytest-$(basename "$(dirname "$(dirname "$run")")")" "$run"
  done < <(repository_files '*/tests/run')
  while IFS= read -r folder; do
    pytest_stage "pytest-$(basename "$folder")" pytest-3 -q -rs -p no:cacheprovider "$folder"
  done < <(repository_files 'tests/*_test.py' | sed 's|/[^/]*$||' | grep -v '^tests/lint$' | sort -u)
}

# pytest_stage NAME COMMAND...
pytest_stage() {
  stage "$@" || true
  if [[ $skips == refused ]]; then
    refuse_skips "$(closing_lines "$LOGS/$1.log" | grep -o '[0-9]* skipped' || true)"
  fi
}

# refuse_skips TESTS: fails when TESTS is not empty.
refuse_skips() {
  [[ -z $1 ]] || fail_stage "skipped, which --no-skips refuses: $1"
}
