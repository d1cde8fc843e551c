# shellcheck shell=bash
# What the scripts have in common. Sourced, never run. Needs `set -euo pipefail` in the caller.

# shellcheck disable=SC2034 # used by those who source this
ROOT=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

BOLD='' RED='' PLAIN=''
# No colour where nobody sees it.
if [[ -t 2 && -z ${NO_COLOR:-} ]]; then
  BOLD=$'\033[1m' RED=$'\033[1;31m' PLAIN=$'\033[0m'
fi

say() {
  printf '%s==>%s %s\n' "$BOLD" "$PLAIN" "$*" >&2
}

# die WHAT [WHAT-TO-DO…]
die() {
  printf '%serror:%s %s\n' "$RED" "$PLAIN" "$1" >&2
  shift
  local line
  for line in "$@"; do
    printf '       %s\n' "$line" >&2
  done
  exit 1
}

have() {
  command -v "$1" >/dev/null 2>&1
}

can_be_root() {
  [[ $(id -u) -eq 0 ]] || { have sudo && { [[ -t 0 ]] || sudo -n true 2>/dev/null; }; }
}

# Runs a command as root. Asks for a password only where somebody can type one.
as_root() {
  if [[ $(id -u) -eq 0 ]]; then
    "$@"
  else
    sudo -- "$@"
  fi
}

# need_apt WHAT PACKAGE…: whether packages can be installed at all; if not, says what to do instead.
need_apt() {
  local reason=$1
  shift
  have apt-get || die "$reason is missing, and there is no apt-get to install it with." \
    "Install what your system calls: $*"
  can_be_root || die "$reason is missing, and installing it needs root; sudo does not work here." \
    "Run as root: apt-get install $*" \
    "Then run this script again."
}

# What is there only while something is made or installed; gone also after an error or Ctrl-C.
TEMPORARY=()

clear_temporary() {
  local file
  for file in "${TEMPORARY[@]+"${TEMPORARY[@]}"}"; do
    [[ -e $file ]] || continue
    if [[ -w ${file%/*} ]]; then
      rm -rf -- "$file"
    else
      as_root rm -rf -- "$file"
    fi
  done
  TEMPORARY=()
}
trap clear_temporary EXIT

APT_UPDATED=

# apt_install WHAT-FOR PACKAGE…: installs Debian packages without starting the services they bring.
apt_install() {
  local reason=$1
  shift
  need_apt "$reason" "$@"
  say "installing $* ($reason)"
  if [[ -z $APT_UPDATED ]]; then
    as_root apt-get update -qq || say "apt-get update failed; trying with the lists that are here"
    APT_UPDATED=yes
  fi
  local policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    # Packages ask this before they start a service; 101 means no.
    TEMPORARY+=("$policy")
    as_root sh -c "printf '#!/bin/sh\\nexit 101\\n' > $policy && chmod 755 $policy"
  fi
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "$@" >&2 ||
    die "apt-get could not install $*" "Install $reason yourself, then run this script again."
  clear_temporary
}

# Whether a server from PostgreSQL 12 on is here; the same places as in src/lab/programs.rs.
have_postgresql() {
  local bin release
  if [[ -n ${PGBATON_PG_BIN:-} ]]; then
    [[ -x $PGBATON_PG_BIN/initdb ]] || die "PGBATON_PG_BIN has no initdb: $PGBATON_PG_BIN"
    return 0
  fi
  for bin in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin; do
    release=${bin%/bin}
    release=${release##*[/-]}
    if [[ -x $bin/initdb && -x $bin/postgres && $release =~ ^[0-9]+$ && $release -ge 12 ]]; then
      return 0
    fi
  done
  have pg_config && [[ -x $(pg_config --bindir)/initdb && -x $(pg_config --bindir)/postgres ]]
}

need_postgresql() {
  have_postgresql && return 0
  need_apt "a PostgreSQL server (12 or newer)" postgresql-15
  # Debian would make and start a cluster of its own, which nobody asked for.
  local drop_in=/etc/postgresql-common/createcluster.d/pgbaton.conf
  TEMPORARY+=("$drop_in")
  as_root mkdir -p "${drop_in%/*}"
  as_root sh -c "echo 'create_main_cluster = false' > $drop_in"
  local package=postgresql-15
  as_root apt-get update -qq || true
  APT_UPDATED=yes
  if [[ -z $(apt-cache madison "$package" 2>/dev/null) ]]; then
    package=postgresql # the release that this system has
  fi
  apt_install "a PostgreSQL server" "$package"
  have_postgresql || die "$package was installed, but no server from release 12 on was found." \
    "Set PGBATON_PG_BIN to the directory of initdb."
}

need_sshd() {
  [[ -x /usr/sbin/sshd ]] && have ssh && return 0
  apt_install "an ssh server for the tests" openssh-server openssh-client
  # Only the program is wanted, not a service that listens from now on.
  if have systemctl; then
    as_root systemctl disable --quiet ssh.service ssh.socket 2>/dev/null || true
  fi
}

# What `lab up --hosts` asks for, where the tests run as root; everybody else cannot have hosts.
need_hosts() {
  [[ $(id -u) -eq 0 ]] || return 0
  if ! have ip || ! have nft; then
    apt_install "network namespaces and packet filters for the tests" iproute2 nftables
  fi
}

# Servers that are started through sudo, where the tests may write its rules.
need_sudo() {
  [[ $(id -u) -eq 0 ]] || return 0
  have sudo || apt_install "sudo for the tests" sudo
}

# etcd itself for the tests of the journal of several machines, and etcdctl to look into it.
need_etcd() {
  if have etcd && have etcdctl; then
    return 0
  fi
  # apt_install keeps it from being started now; it is not wanted later either.
  apt_install "etcd for the tests" etcd-server etcd-client
  if have systemctl; then
    as_root systemctl disable --quiet etcd.service 2>/dev/null || true
  fi
}

# repmgr itself, for the tests of living beside it: its programs and its extension lie beside the server's.
need_repmgr() {
  local bin
  for bin in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin "${PGBATON_PG_BIN:-}"; do
    [[ ! -x $bin/repmgrd ]] || return 0
  done
  # apt_install keeps repmgrd from being started; without a configuration it would not start later either.
  apt_install "repmgr for the tests" repmgr postgresql-15-repmgr
}

# keepalived itself, for the tests of monitors; only root can let it have addresses.
need_keepalived() {
  [[ $(id -u) -eq 0 ]] || return 0
  [[ -x /usr/sbin/keepalived ]] && have ip && return 0
  # apt_install keeps it from being started now; it is not wanted later either.
  apt_install "keepalived for the tests" keepalived iproute2
  if have systemctl; then
    as_root systemctl disable --quiet keepalived.service 2>/dev/null || true
  fi
}

# pgpool-II itself, for the tests of monitors.
need_pgpool() {
  [[ -x /usr/sbin/pgpool ]] && return 0
  apt_install "pgpool-II for the tests" pgpool2
  if have systemctl; then
    as_root systemctl disable --quiet pgpool2.service 2>/dev/null || true
  fi
}

# A mail server for the tests of notifications; Debian's Python runs it.
need_aiosmtpd() {
  /usr/bin/python3 -c 'import aiosmtpd' 2>/dev/null && return 0
  apt_install "a mail server for the tests" python3-aiosmtpd
}

# Prometheus Alertmanager itself, for the tests of hooks.
need_alertmanager() {
  if have prometheus-alertmanager && have amtool; then
    return 0
  fi
  # apt_install keeps it from being started now; it is not wanted later either.
  apt_install "Prometheus Alertmanager for the tests" prometheus-alertmanager
  if have systemctl; then
    as_root systemctl disable --quiet prometheus-alertmanager.service 2>/dev/null || true
  fi
}

# What the page of monitors signs and sends with.
need_curl() {
  if have curl && have openssl; then
    return 0
  fi
  apt_install "curl and openssl for the tests" curl openssl
}

# A clock that can be set for one process.
need_faketime() {
  [[ -e /usr/lib/$(uname -m)-linux-gnu/faketime/libfaketimeMT.so.1 ]] && return 0
  apt_install "libfaketime for the tests" libfaketime
}

# promtool, for the test of the alerts; no server of Prometheus' is wanted.
need_promtool() {
  have promtool && return 0
  # apt_install keeps it from being started now; it is not wanted later either.
  apt_install "promtool for the tests" prometheus
  if have systemctl; then
    as_root systemctl disable --quiet prometheus.service 2>/dev/null || true
  fi
}

# What the examples of docs/examples/ are made with. Each is a program for the tests; nobody wants its service.

# apt_program SERVICE WHAT PACKAGE…: as apt_install, and its service does not start with the machine either.
apt_program() {
  local service=$1
  shift
  apt_install "$@"
  if have systemctl; then
    as_root systemctl disable --quiet "$service.service" 2>/dev/null || true
  fi
}

need_pgbouncer() {
  [[ -x /usr/sbin/pgbouncer ]] || apt_program pgbouncer "PgBouncer for the tests" pgbouncer
}

# socat speaks with its socket.
need_haproxy() {
  if [[ -x /usr/sbin/haproxy ]] && have socat; then
    return 0
  fi
  apt_program haproxy "HAProxy for the tests" haproxy socat
}

# The address moves between hosts that only root can have.
need_arping() {
  [[ $(id -u) -eq 0 ]] || return 0
  [[ -x /usr/bin/arping ]] || apt_install "arping for the tests" iputils-arping
}

# A name server, with nsupdate and dig.
need_bind() {
  if [[ -x /usr/sbin/named ]] && have nsupdate && have dig; then
    return 0
  fi
  apt_program named "a name server for the tests" bind9 bind9-dnsutils
}

# A browser that draws the reports for the tests; the names are those of tests/run_report.rs.
need_chromium() {
  if have chromium || have chromium-browser || have google-chrome; then
    return 0
  fi
  apt_install "a browser for the tests of the reports" chromium
}

need_npm() {
  have npm && have node && return 0
  apt_install "npm, which fetches programs for the tests" npm nodejs
}

# yaml-language-server itself, for the tests of what editors offer; tests/editors_support names the same release.
need_yaml_language_server() {
  local version=1.25.0 folder unpacking
  folder=${PGBATON_YAML_LANGUAGE_SERVER:-${XDG_CACHE_HOME:-$HOME/.cache}/pgbaton/yaml-language-server-$version}
  need_npm
  [[ ! -e $folder/node_modules/yaml-language-server/bin/yaml-language-server ]] || return 0
  say "fetching yaml-language-server $version"
  mkdir -p -- "${folder%/*}"
  unpacking=$(mktemp -d -- "$folder.XXXXXX")
  if ! npm install --prefix "$unpacking" --silent --no-audit --no-fund --no-save --ignore-scripts \
    "yaml-language-server@$version" >&2; then
    rm -rf -- "$unpacking"
    die "npm could not fetch yaml-language-server@$version." "Is the npm registry within reach?"
  fi
  # It is there whole, or not at all.
  rm -rf -- "$folder"
  mv -- "$unpacking" "$folder"
}

# rotel, a collector of OpenTelemetry, for the test of traces: a program in a package of PyPI, which pip compares with the
# checksum that the registry has for it. It need not fit the Python of this machine.
need_rotel() {
  local version=0.0.1a15 folder unpacking
  folder=${PGBATON_ROTEL:-${XDG_CACHE_HOME:-$HOME/.cache}/pgbaton/rotel-$version}
  [[ ! -x $folder/rotel/rotel-agent ]] || return 0
  if ! have python3 || ! python3 -m pip --version >/dev/null 2>&1; then
    apt_install "pip, which fetches a collector" python3 python3-pip
  fi
  say "fetching rotel $version"
  mkdir -p -- "${folder%/*}"
  unpacking=$(mktemp -d -- "$folder.XXXXXX")
  if ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.11 \
    --implementation cp --abi cp311 --platform "manylinux_2_34_$(uname -m)" --dest "$unpacking" "rotel==$version" >&2; then
    rm -rf -- "$unpacking"
    die "pip could not fetch rotel $version." "Is PyPI within reach?"
  fi
  python3 -m zipfile -e "$unpacking"/rotel-*.whl "$unpacking"
  rm -f -- "$unpacking"/rotel-*.whl
  chmod +x "$unpacking/rotel/rotel-agent"
  # It is there whole, or not at all.
  rm -rf -- "$folder"
  mv -- "$unpacking" "$folder"
}

need_cargo() {
  if ! have cargo && [[ -x ${CARGO_HOME:-$HOME/.cargo}/bin/cargo ]]; then
    PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
    export PATH
  fi
  have cargo || die "Rust is missing." "Install it from https://rustup.rs (release 1.95 or newer)."
  have cc || apt_install "a C compiler, which some crates need" gcc libc6-dev
}

# What packages are made with.
need_dpkg() {
  have dpkg-deb || die "dpkg-deb is missing: packages are made on Debian, or what descends from it."
  if have strip && have readelf && have objdump; then
    return 0
  fi
  apt_install "binutils for packages" binutils
}

# need_musl TARGET: what links a program that asks for no library of the machine it runs on.
need_musl() {
  have musl-gcc || apt_install "a C compiler for static programs" musl-tools
  [[ ! -d $(rustc --print sysroot)/lib/rustlib/$1/lib ]] || return 0
  have rustup || die "Rust's standard library for $1 is missing, and there is no rustup to fetch it with." \
    "Install Rust from https://rustup.rs, or give a program of your own: scripts/package --binary FILE"
  say "fetching Rust's standard library for $1"
  rustup target add "$1" >&2 || die "rustup could not fetch the standard library for $1."
}

# Whether a program needs nothing of the machine that it runs on.
is_static() {
  ! readelf --program-headers --dynamic --wide "$1" | grep -qE 'INTERP|NEEDED'
}

# What reads the manual, for its test.
need_man() {
  have man || apt_install "man for the tests of the manual" man-db
}

# What the tests of the package install it with: systemd itself, and what reads units and packages. Only root can do it.
need_package_tests() {
  [[ $(id -u) -eq 0 ]] || return 0
  if [[ ! -x /lib/systemd/systemd ]] || ! have systemd-analyze; then
    # Without systemd-sysv it does not become the first process of this machine.
    apt_install "systemd for the tests of the package" systemd
  fi
  have lintian || apt_install "lintian for the tests of the package" lintian
  have adduser || apt_install "adduser for the tests of the package" adduser
}
