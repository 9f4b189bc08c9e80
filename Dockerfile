# SPDX-License-Identifier: Apache-2.0
# The service and its command in an image with Node, the C library and nothing else: no shell, no package manager, no root.
#   docker build --tag token-blacklist .
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges ... token-blacklist
# docs/deploying.md, "In containers", has the rest.

# Give each with its digest (NAME@sha256:...), so that what is built tomorrow is what was looked at today: scripts/pin-images.sh.
ARG NODE_IMAGE=node:24-trixie-slim
ARG RUNTIME_IMAGE=gcr.io/distroless/nodejs24-debian13:nonroot

FROM ${NODE_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --loglevel=error
COPY tsconfig.json tsconfig.build.json ./
COPY scripts/build.sh scripts/build.sh
COPY scripts/swap.mjs scripts/swap.mjs
COPY gen gen
COPY src src
RUN npm run build

# What runs, and no tool that built it. The libraries' binaries are those of this system: glibc, as below.
FROM ${NODE_IMAGE} AS production
WORKDIR /production
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --omit=dev --loglevel=error
# For the embedded file. Its owner is given below.
RUN mkdir data

FROM ${RUNTIME_IMAGE}
LABEL org.opencontainers.image.title="token-blacklist" \
  org.opencontainers.image.description="A gRPC service that knows which JSON Web Tokens are revoked" \
  org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /app
COPY --from=production /production/node_modules node_modules
COPY --from=build /build/dist dist
COPY gen gen
COPY package.json LICENSE ./
COPY --from=production --chown=65532:65532 /production/data data
# A container is reached from outside or not at all. It starts only with TLS and callers that are known, or INSECURE=yes.
ENV NODE_ENV=production \
  LISTEN_ADDRESS=0.0.0.0:50051 \
  ADMIN_ADDRESS=0.0.0.0:9464
USER 65532:65532
EXPOSE 50051 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["/nodejs/bin/node", "dist/main.js", "health"]
ENTRYPOINT ["/nodejs/bin/node", "dist/main.js"]
CMD ["serve"]
