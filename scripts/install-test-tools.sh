#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes sure that the programs given as arguments, which npm cannot install, are available: caddy, chart, galera, haproxy, mariadb,
# nginx, promtool, python, redis. On Debian it installs missing ones, without starting daemons; elsewhere it says what to install.
# Fails without MariaDB. The others are optional: tests report what they skip.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
packages=()

has() {
  PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$1" >/dev/null
}
python_has_grpc() {
  # Debian's own interpreter, because only it finds Debian's packages. The stub generator imports pkg_resources, which Debian only
  # recommends.
  [[ -x /usr/bin/python3 ]] && /usr/bin/python3 -S -c '
import importlib.util, sys
sys.path.append("/usr/lib/python3/dist-packages")
sys.exit(not all(map(importlib.util.find_spec, ["grpc", "grpc_tools", "pkg_resources"])))'
}
# Unpacks the program without installing the package, which would also start a web server.
nginx_folder=node_modules/.cache/nginx
unpack_nginx() {
  local download
  download=$(mktemp -d)
  (cd "$download" && apt-get download nginx) && mkdir -p "$nginx_folder" && dpkg -x "$download"/nginx_*.deb "$nginx_folder"
  rm -rf "$download"
}
# The same for Caddy.
caddy_folder=node_modules/.cache/caddy
unpack_caddy() {
  local download
  download=$(mktemp -d)
  (cd "$download" && apt-get download caddy) && mkdir -p "$caddy_folder" && dpkg -x "$download"/caddy_*.deb "$caddy_folder"
  rm -rf "$download"
}
# The same for Prometheus, for promtool only.
promtool_folder=node_modules/.cache/prometheus
unpack_promtool() {
  local download
  download=$(mktemp -d)
  (cd "$download" && apt-get download prometheus) && mkdir -p "$promtool_folder" &&
    dpkg --fsys-tarfile "$download"/prometheus_*.deb | tar -x -C "$promtool_folder" ./usr/bin/promtool
  rm -rf "$download"
}
# The same for HAProxy, with the libraries that only it needs.
haproxy_folder=node_modules/.cache/haproxy
unpack_haproxy() {
  local download package
  download=$(mktemp -d)
  "${as_root[@]}" apt-get install --yes --download-only --no-install-recommends -o Dir::Cache::archives="$download" haproxy &&
    mkdir -p "$haproxy_folder" &&
    for package in "$download"/*.deb; do dpkg -x "$package" "$haproxy_folder"; done
  "${as_root[@]}" rm -rf "$download"
}
# Renders the Helm chart without helm: Go templates, with the functions that Helm adds.
chart_renderer=node_modules/.cache/render-chart
build_chart_renderer() {
  mkdir -p "${chart_renderer%/*}"
  GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS= go build -o "$chart_renderer" ./test/deploy/render-chart
}
need() {
  missing+=("$1")
  shift
  packages+=("$@")
}

look_for() {
  missing=()
  packages=()
  for tool in "$@"; do
    case $tool in
      caddy) has caddy || [[ -x $caddy_folder/usr/bin/caddy ]] || need caddy ;;
      chart) has helm || [[ -x $chart_renderer ]] || need chart golang-go golang-github-masterminds-sprig-dev golang-k8s-sigs-yaml-dev ;;
      galera) [[ -e /usr/lib/galera/libgalera_smm.so || -e /usr/lib64/galera-4/libgalera_smm.so ]] || need galera galera-4 ;;
      haproxy) has haproxy || [[ -x $haproxy_folder/usr/sbin/haproxy ]] || need haproxy ;;
      # The core package contains only the server; mariadb-server would also configure and start one.
      mariadb) [[ -n "${TEST_MYSQL_URL:-}${TEST_MYSQLD:-}" ]] || has mariadbd || need mariadb mariadb-server-core ;;
      nginx) has nginx || [[ -x $nginx_folder/usr/sbin/nginx ]] || need nginx ;;
      promtool) has promtool || [[ -x $promtool_folder/usr/bin/promtool ]] || need promtool ;;
      python) python_has_grpc || need python python3 python3-grpcio python3-grpc-tools python3-pkg-resources ;;
      # redis-tools contains the server under another name; redis-server would also start one.
      redis) has redis-server || has redis-check-rdb || need redis redis-tools ;;
      *) echo "$0: what is $tool?" >&2 && exit 2 ;;
    esac
  done
}

look_for "$@"
((${#missing[@]} > 0)) || exit 0

as_root=()
[[ $(id -u) == 0 ]] || as_root=(sudo -n)
if has apt-get && "${as_root[@]}" true 2>/dev/null; then
  echo "Installing ${packages[*]:-${missing[*]}} (once)"
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends)
  # A failed update of one package list is not fatal: the other lists may have the packages.
  { "${as_root[@]}" apt-get update || true; } >"$log" 2>&1
  ((${#packages[@]} == 0)) || "${install[@]}" "${packages[@]}" >>"$log" 2>&1 || cat "$log" >&2
  [[ " ${missing[*]} " != *" caddy "* ]] || unpack_caddy >>"$log" 2>&1 || true
  [[ " ${missing[*]} " != *" chart "* ]] || build_chart_renderer >>"$log" 2>&1 || true
  [[ " ${missing[*]} " != *" haproxy "* ]] || unpack_haproxy >>"$log" 2>&1 || true
  [[ " ${missing[*]} " != *" nginx "* ]] || unpack_nginx >>"$log" 2>&1 || true
  [[ " ${missing[*]} " != *" promtool "* ]] || unpack_promtool >>"$log" 2>&1 || true
  look_for "$@"
fi

if has apt-get && ((${#packages[@]} > 0)) && ! "${as_root[@]}" true 2>/dev/null; then
  echo "Installing needs root, or sudo without a password. As root: apt-get install --no-install-recommends ${packages[*]}" >&2
fi

failed=0
for tool in "${missing[@]}"; do
  case $tool in
    mariadb)
      echo "The tests need MariaDB: install mariadbd (Debian: mariadb-server-core), or set TEST_MYSQLD or TEST_MYSQL_URL (CONTRIBUTING.md)." >&2
      failed=1
      ;;
    caddy) echo "No test behind Caddy: there is no caddy (Debian: caddy)." ;;
    chart) echo "The Helm chart is not rendered: there is no helm (Debian: golang-go golang-github-masterminds-sprig-dev golang-k8s-sigs-yaml-dev)." ;;
    galera) echo "No test of a Galera cluster: there is no libgalera_smm.so (Debian: galera-4)." ;;
    haproxy) echo "No test behind HAProxy: there is no haproxy (Debian: haproxy)." ;;
    nginx) echo "No test behind NGINX: there is no nginx (Debian: nginx)." ;;
    promtool) echo "No test of the alerts' rules: there is no promtool (Debian: prometheus)." ;;
    python) echo "No Python client test: /usr/bin/python3 lacks grpcio (Debian: python3-grpcio python3-grpc-tools python3-pkg-resources)." ;;
    redis) echo "No comparison with Redis: there is no redis-server (Debian: redis-tools)." ;;
  esac
done
exit "$failed"
