#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs exactly the packages of package-lock.json. npm ci would delete node_modules before downloading the first package; here
# they are installed in a separate folder and swapped in, so that the old packages stay if the installation fails, as without a
# network.
set -euo pipefail
cd "$(dirname "$0")/.."

install=(npm ci --ignore-scripts --loglevel=error)
fresh="node_modules.new-$$-$RANDOM"
trap 'rm -rf "$fresh"' EXIT
mkdir "$fresh"
cp package.json package-lock.json .npmrc "$fresh/"
(cd "$fresh" && "${install[@]}") || {
  echo "The packages could not be installed; node_modules was not changed." >&2
  exit 1
}
# The programs unpacked by scripts/install-test-tools.sh.
[[ ! -d node_modules/.cache ]] || mv node_modules/.cache "$fresh/node_modules/"
# A node_modules that cannot be renamed, such as a mounted volume, is filled in place by npm.
node scripts/swap.mjs "$fresh/node_modules" node_modules 2>/dev/null || "${install[@]}"
