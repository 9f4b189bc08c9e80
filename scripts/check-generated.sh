#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fails if gen/ differs from the output of scripts/generate.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
fresh="$(mktemp -d)"
trap 'rm -rf "$fresh"' EXIT

scripts/generate.sh "$fresh"
if ! diff --recursive --unified=1 gen "$fresh/gen"; then
  echo "gen/ does not match the .proto files. Run scripts/generate.sh and commit its changes." >&2
  exit 1
fi
