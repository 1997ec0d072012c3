# Runs the stages of a long script one by one, keeps each one's output and adds up at the end. Sourced, never run.
# shellcheck shell=bash

LOGS=${LOGS:?set LOGS to a folder before sourcing stages.sh}
mkdir -p "$LOGS"
FAILED_STAGES=0
STAGE_ROWS=()

# stage NAME COMMAND...: runs COMMAND, which must be a program, shows its output, keeps it in $LOGS/NAME.log and goes
# on whatever its end. Returns its exit status.
stage() {
  local name=$1 began=$SECONDS status=0 result=ok
  shift
  printf '\n==== %s\n' "$name"
  "$@" 2>&1 | tee "$LOGS/$name.log" || status=$?
  if [[ $status -ne 0 ]]; then
    result=FAILED
    FAILED_STAGES=$((FAILED_STAGES + 1))
  fi
  STAGE_ROWS+=("$(printf '%-18s %-6s %5d s  %s' "$name" "$result" "$((SECONDS - began))" \
    "$(closing_lines "$LOGS/$name.log" | awk '!seen[$0]++ { printf "%s%s", gap, $0; gap = "; " }')")")
  return "$status"
}

# closing_lines LOG: the last words of ctest, pytest, node's runner and our own: how many passed, how many failed.
closing_lines() {
  grep -aE '^[0-9]+% tests passed|^=* ?[0-9]+ (passed|failed|error|skipped).* in [0-9.]+ ?s|^lines: |^[0-9]+ (lints|targets) |^no time left' "$1" |
    sed -E 's/^=+ | =+$//g' || true
}

# fail_stage TEXT: notes a failure that no program's exit status told.
fail_stage() {
  printf '%s\n' "$*"
  FAILED_STAGES=$((FAILED_STAGES + 1))
  STAGE_ROWS+=("$(printf '%-18s %-6s          %s' "" FAILED "$*")")
}

# finish_stages: prints a row for each stage and ends the script, with failure if any stage failed.
finish_stages() {
  printf '\n==== Summary\n'
  printf '%s\n' "${STAGE_ROWS[@]}"
  if [[ $FAILED_STAGES -gt 0 ]]; then
    printf '%d failed in %d s. The logs are in %s\n' "$FAILED_STAGES" "$SECONDS" "${LOGS#"$ROOT"/}"
    exit 1
  fi
  printf 'All passed in %d s.\n' "$SECONDS"
}
