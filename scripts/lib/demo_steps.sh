# The steps of scripts/demo. Sourced, never run; uses its names $folder, $network and $keep.
# shellcheck shell=bash disable=SC2154

readonly READY_SECONDS=60

step() { printf '\n=== %s\n' "$*"; }

# failed WHAT CURE: says which step failed, what to do, and ends the demo.
failed() {
  printf '\nThe demo stopped while %s. %s\n' "$1" "$2" >&2
  exit 1
}

# spread COUNT: that many lines of standard input, spread evenly over it.
spread() { awk -v n="$1" '{ line[NR] = $0 } END { for (i = 0; i < n && i < NR; i++) print line[1 + int(i * NR / n)] }'; }

# start_network MODELS: starts ncn devnet on free ports, whose node fetches the models from its registry, until it is ready.
start_network() {
  mkdir -p "$folder/results"
  build/bin/ncn devnet --registry --model-path "$1" --gateway-port 0 --ready-file "$folder/address" \
    --state-dir "$folder/state" > "$folder/network.log" 2>&1 &
  network=$!
  local deadline=$((SECONDS + READY_SECONDS))
  until [[ -s $folder/address ]]; do
    kill -0 "$network" 2> /dev/null || failed "starting the network" "The last lines of its log are below."
    [[ $SECONDS -lt $deadline ]] || failed "waiting $READY_SECONDS s for the network" "The last lines of its log are below."
    sleep 0.1
  done
  address=$(< "$folder/address")
  sed 's/^/  /' "$folder/network.log"
}

# infer DOING ARGUMENT...: one request; what ncn says about the answer is in $folder/answer.
infer() {
  build/bin/ncn infer --gateway-addr "$address" "${@:2}" > "$folder/answer" 2>&1 && return
  sed 's/^/  /' "$folder/answer"
  failed "$1" "The answer above says what went wrong."
}

# ask MODEL SAMPLE: one request, whose signed result is saved; the first answer of each model is shown in full.
ask() {
  local model=$1 sample=$2 name began
  name=$(basename "$sample" .png)
  began=${EPOCHREALTIME/./}
  infer "asking $model about $name.png" --model "$model" --input "$sample" --save "$folder/results/$name.$model.json"
  printf '%s about %s.png: answered in %d ms\n' "$model" "$name" $(((${EPOCHREALTIME/./} - began) / 1000))
  if [[ ! -e $folder/shown.$model ]]; then
    sed 's/^/  /' "$folder/answer"
    : > "$folder/shown.$model"
  fi
}

# speak TEXT FILE: one request, whose sound is written to FILE and whose signed result is saved.
speak() {
  infer "letting bark speak" --model bark --text "$1" --seed 6 --output "$2" --save "$folder/bark.json"
  sed 's/^/  /' "$folder/answer"
}

# verify FILE: checks a saved result with both implementations; a changed byte must be noticed by both as well.
verify() {
  local name forged=$folder/forged.json
  name=$(basename "$1" .json)
  build/bin/ncn verify "$1" > "$folder/answer" 2>&1 || { cat "$folder/answer"; failed "verifying $name with ncn" "See above."; }
  node tests/interop/verify.mjs "$1" > "$folder/answer.node" 2>&1 ||
    { cat "$folder/answer.node"; failed "verifying $name with ethers" "See above."; }
  scripts/lib/demo_table.py --forge "$1" "$forged"
  if build/bin/ncn verify "$forged" > /dev/null 2>&1 || node tests/interop/verify.mjs "$forged" > /dev/null 2>&1; then
    failed "checking that a forged copy of $name is refused" "It was accepted, which is a bug."
  fi
  printf '%-42s genuine by ncn and by ethers; a forged copy is refused by both\n' "$name"
}

# stop_network: asks devnet to stop and waits until it, its gateway and its node have.
stop_network() {
  local pid=$network status=0
  network=
  kill -TERM "$pid" 2> /dev/null || return 1
  wait "$pid" || status=$?
  [[ $status -eq 0 ]] && echo "Gateway, registry and node ended by themselves."
}

# leave STATUS: on any way out, stops the network and removes the demo's folder.
leave() {
  trap - EXIT
  if [[ -n $network ]]; then
    kill -TERM "$network" 2> /dev/null || true
    wait "$network" 2> /dev/null || true
  fi
  if [[ $1 -ne 0 && -s $folder/network.log ]]; then
    printf '\nThe last lines of the log of the network:\n' >&2
    tail -n 20 "$folder/network.log" | sed 's/^/  /' >&2
  fi
  if [[ $keep == yes ]]; then
    printf 'Kept: %s\n' "$folder"
  else
    rm -rf -- "$folder"
  fi
  exit "$1"
}
