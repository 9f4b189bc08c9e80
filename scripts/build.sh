#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compiles src/ to dist/. Builds in a separate folder and then swaps: if the build fails, dist/ is unchanged, and a process that
# runs from dist/ never sees a partial build.
set -euo pipefail
cd "$(dirname "$0")/.."

tsc=node_modules/.bin/tsc
if [[ ! -e $tsc ]]; then
  echo "dist/ cannot be built: node_modules has no TypeScript compiler, as after npm ci --omit=dev. dist/ was not changed." >&2
  echo "Install the development packages with: npm ci --ignore-scripts" >&2
  exit 1
fi

fresh="dist.new-$$-$RANDOM"
trap 'rm -rf "$fresh"' EXIT
"$tsc" -p tsconfig.build.json --outDir "$fresh"
chmod +x "$fresh/main.js"
node scripts/swap.mjs "$fresh" dist
