#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Prints each base image of the Dockerfile and compose.yaml with the current digest of its tag, as lines of an .env file:
#   scripts/pin-images.sh >.env && docker compose up
# Queries the registries through Docker's buildx. Review the changes before you keep them.
set -euo pipefail
cd "$(dirname "$0")/.."

# ${NAME_IMAGE:-image:tag}, except the image that is built here.
grep -oE '\$\{[A-Z]+_IMAGE:-[^}]+\}' compose.yaml | grep -v local | sort -u | tr -d '${}' |
  while IFS= read -r default; do
    name=${default%%:-*}
    image=${default#*:-}
    digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$image" </dev/null)
    if [[ ! $digest =~ ^sha256:[0-9a-f]{64}$ ]]; then
      echo "pin-images.sh: no digest of $image: \"$digest\"" >&2
      exit 1
    fi
    echo "$name=$image@$digest"
  done
