# shellcheck shell=bash
# .ci/steps.sh: the words that .ci/run is written in. Sourced at the root of the project; sets -uo pipefail.
#   ALL_S    seconds that all steps together may take, set before
#   AGAIN    how many failed tests of a suite are run again at most
set -uo pipefail
AGAIN=5
logs=build/ci; mkdir -p "$logs"
failed=() unlucky=() left_out=()

left() { echo $((ALL_S - SECONDS)); }

# run NAME SECONDS COMMAND...: run it within its time, keep its log, show the end; returns its exit code
run() {
  local name=$1 seconds=$2 started=$SECONDS code; shift 2
  [ "$seconds" -le "$(left)" ] || seconds=$(($(left) > 1 ? $(left) : 1))
  echo "== $name (at most $seconds s): $*"
  timeout --kill-after=20 "$seconds" "$@" </dev/null 2>&1 | tee "$logs/$name.log" | tail -n 25
  code=${PIPESTATUS[0]}
  echo "== $name: exit $code after $((SECONDS - started)) s"
  return "$code"
}

# has_time NAME SECONDS: say so where a step is left out
has_time() {
  [ "$2" -le "$(left)" ] && return
  left_out+=("$1"); echo "== $1: left out: $(left) s are left of $ALL_S, and it may take $2"
  return 1
}

# end NAME CODE: note a failure and show more of its log
end() {
  [ "$2" -eq 0 ] && return
  failed+=("$1"); echo "-- last lines of $logs/$1.log"; tail -n 150 "$logs/$1.log"
}

# step NAME SECONDS COMMAND...
step() { run "$@"; end "$1" $?; }

# suite NAME SECONDS COMMAND...: a step that is a `make` target of pytest, whose few failures are run again
suite() {
  local name=$1 code cache=$PWD/$logs/$1.cache lines; shift
  rm -rf "$cache"
  run "$name" "$@" "ARGS=-o cache_dir=$cache"; code=$?
  if [ $code -ne 0 ] && may_go_again "$logs/$name.log"; then
    mapfile -t lines < <(grep -oP '^  "\K.*(?=": true,?$)' "$cache/v/cache/lastfailed")
    if [ ${#lines[@]} -ge 1 ] && [ ${#lines[@]} -le $AGAIN ]; then
      mv "$logs/$name.log" "$logs/$name.first.log"; tail -n 150 "$logs/$name.first.log"
      echo "== $name: run again, alone:"; printf '  %s\n' "${lines[@]}"
      run "$name" "$@" "ARGS=-o cache_dir=$cache --last-failed --last-failed-no-failures=none -n 0"; code=$?
      [ $code -ne 0 ] || { unlucky+=("${lines[@]}"); echo "== $name: failed once, passed when run again"; }
    fi
  fi
  end "$name" $code
}

# may_go_again LOG: pytest ran everything (its exit code is 1), and nothing failed at a teardown. There the servers that many
# tests share are asked for their logs and exit codes, and what is wrong with these one test alone does not repeat.
may_go_again() { grep -qE '^make(\[[0-9]+\])?: \*\*\* .* Error 1$' "$1" && ! grep -q '^_* ERROR at teardown of ' "$1"; }

# told NAME SECONDS COMMAND...: a step whose end is told and not counted
told() {
  run "$@" && return
  tail -n 150 "$logs/$1.log"; echo "== $1: failed, which is not counted yet"
}

# later HOW NAME SECONDS COMMAND...: the same, unless too little time is left
later() { has_time "$2" "$3" && "$@"; }

# finish: say what is to be known of all steps, and exit
finish() {
  echo
  if [ ${#left_out[@]} -gt 0 ]; then echo "left out, for want of time: ${left_out[*]}"; fi
  if [ ${#unlucky[@]} -gt 0 ]; then echo "failed once, passed when run again:"; printf '  %s\n' "${unlucky[@]}"; fi
  if [ ${#failed[@]} -gt 0 ]; then echo "failed: ${failed[*]}"; exit 1; fi
  echo "all steps passed"
  exit 0
}
