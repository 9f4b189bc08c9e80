#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# scripts/select-tests.sh short|all NAME...
# Prints the test files that make test (short) or make test-all (all) runs with ONLY="NAME...", one per line. A NAME is a folder or
# file below test/ or src/: store, auth/verify, src/auth/verify.ts, or, at any depth, follower and writer. Fails if a name matches no file.
set -euo pipefail
cd "$(dirname "$0")/.."
group=$1
shift

tests() {
  find "$@" -type f -name '*.test.ts' | sort
}
fail() {
  echo "ONLY: $1" >&2
  exit 2
}

chosen=""
for name in "$@"; do
  path=${name%/} path=${path#./} path=${path#src/} path=${path#test/} path=${path%.ts} path=${path%.test} path=${path%.long}
  [[ $path != test && $path != src ]] || path=.
  if [[ $path == . ]]; then
    found=$(tests test)
  else
    # store matches test/store/ and the tests of src/store.ts.
    found=$(tests test '(' -path "*/$path/*" -o -path "*/$path.test.ts" -o -path "*/$path.long.test.ts" ')')
  fi
  [[ -n ${found//$'\n'/} ]] || fail "no folder and no file of tests below test/ is named \"$name\""
  chosen+=$found$'\n'
done
chosen=$(sort -u <<<"$chosen" | sed '/^$/d')
if [[ $group == short ]]; then
  short=$(grep -v '\.long\.test\.ts$' <<<"$chosen" || true)
  [[ -n $short ]] || fail "all tests named \"$*\" are long: run them with make test-all ONLY=\"$*\""
  chosen=$short
fi
echo "$chosen"
