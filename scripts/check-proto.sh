#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks lint, format and compatibility of the .proto files. Runs all three checks, and says for each failure how to fix it.
set -uo pipefail
cd "$(dirname "$0")/.."
buf=node_modules/.bin/buf
failed=0
fail() {
  echo "$1" >&2
  failed=1
}

"$buf" lint proto ||
  fail "proto/ breaks a rule of buf.yaml; see above."
"$buf" format proto --diff --exit-code ||
  fail "proto/ is not formatted. Run $buf format --write proto"
"$buf" breaking proto --against proto/released.binpb --exclude-imports ||
  fail "proto/ breaks clients of the released contract. Add fields, methods and enum values; never change or remove one."
exit "$failed"
