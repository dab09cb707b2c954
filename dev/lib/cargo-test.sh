# shellcheck shell=bash  # sourced by dev/test and dev/soak
# Runs cargo test and closes with one line over all its runs. The exit code is cargo's.

# run_cargo_test LOG ARGUMENTS...
run_cargo_test() {
  local log=$1 code
  shift
  cargo test --no-fail-fast "$@" 2>&1 </dev/null | tee "$log"
  code=${PIPESTATUS[0]}
  awk '
    /^test result: / { passed += $4; failed += $6; skipped += $8 }
    /^test .* \.\.\. FAILED$/ { names[++count] = $2 }
    END {
      if (count) print "\nfailed:"
      for (i = 1; i <= count; i++) print "  " names[i]
      printf "\n%d passed, %d failed, %d skipped\n", passed, failed, skipped
    }' "$log"
  [ "$code" = 0 ] || echo "the tests failed (cargo test: exit code $code; output: ${log#"$ROOT"/})" >&2
  return "$code"
}
