#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Says in one line what is wrong with this machine's Node, before npm says it in forty.
set -euo pipefail

if ! version=$(node --version 2>/dev/null); then
  echo "TokenBlacklist needs Node 20.20 or later, and there is no node on the PATH." >&2
  exit 1
fi
IFS=. read -r major minor _ <<<"${version#v}"
if ((major < 20 || (major == 20 && minor < 20))); then
  echo "TokenBlacklist needs Node 20.20 or later; this is $version." >&2
  exit 1
fi
