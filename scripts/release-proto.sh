#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the current contract the baseline for compatibility, proto/released.binpb, with which scripts/check-proto.sh compares. Run
# it at each release, and only then, and commit the result with the release: an unreleased contract may still change. Fails if the
# contract breaks the last release.
set -euo pipefail
cd "$(dirname "$0")/.."
buf=node_modules/.bin/buf
released=proto/released.binpb

if [[ -e "$released" ]]; then
  "$buf" breaking proto --against "$released" --exclude-imports
fi
# Comments may change at any time, so the baseline has none.
"$buf" build proto --exclude-source-info --output "proto/released.new.binpb"
mv proto/released.new.binpb "$released"
