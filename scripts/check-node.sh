#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Reports in one line what is wrong with this machine's Node, before npm reports it in forty.
set -euo pipefail

get="install one from https://nodejs.org/en/download, and put it first on the PATH."
if ! version=$(node --version 2>/dev/null); then
  echo "TokenBlacklist needs Node 20.20 or later, and there is no node on the PATH: $get" >&2
  exit 1
fi
IFS=. read -r major minor _ <<<"${version#v}"
if ((major < 20 || (major == 20 && minor < 20))); then
  echo "TokenBlacklist needs Node 20.20 or later; $(command -v node) is $version: $get" >&2
  exit 1
fi
