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
    refuse_skips "$(grep -B 1 '<skipped' "$report" | sed -n 's/.*<testcase name="\([^"]*\)".*/\1/p' | xargs)"
  fi
}

# python_stages: every program */tests/run runs the Python tests beside it and closes with pytest's line.
python_stages() {
  local run name
  while IFS= read -r run; do
    name=pytest-$(dirname "$(dirname "$run")" | tr / -)
    stage "$name" "$run" || true
    if [[ $skips == refused ]]; then
      refuse_skips "$(closing_lines "$LOGS/$name.log" | grep -o '[0-9]* skipped' || true)"
    fi
  done < <(repository_files '*/tests/run')
}

# refuse_skips TESTS: fails when TESTS is not empty.
refuse_skips() {
  [[ -z $1 ]] || fail_stage "skipped, which --no-skips refuses: $1"
}

# fuzz_stages: each libFuzzer target for a while, from its corpus when it has one; new inputs stay in build/.
fuzz_stages() {
  local target name found=0
  for target in build/fuzz/fuzz/*; do
    [[ -f $target && -x $target ]] || continue
    found=$((found + 1))
    name=$(basename "$target")
    mkdir -p "build/fuzz/corpus/$name"
    local -a corpus=("build/fuzz/corpus/$name")
    [[ ! -d fuzz/corpus/$name ]] || corpus+=("fuzz/corpus/$name")
    stage "$name" "$target" -max_total_time="${NCN_FUZZ_SECONDS:-20}" -timeout=10 -rss_limit_mb=2048 \
      -print_final_stats=1 -artifact_prefix="$LOGS/$name-" "${corpus[@]}" || true
  done
  [[ $found -gt 0 ]] || fail_stage "no fuzz target was built in build/fuzz/fuzz"
}
