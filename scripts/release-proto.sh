#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the contract as it stands the one that may no longer break: proto/released.binpb, which
# scripts/check-proto.sh compares with. Run at each release and commit the result with it, at no other time:
# what was not released may still change. Refuses a contract that breaks the release before.
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
