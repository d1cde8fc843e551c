//! The shell scripts that renew a node's data: a rewind in place, a copy beside them.
//!
//! The node's own settings (port, name, who may log in, keys) are kept in `<data>.pgbaton.kept` while that is done, for
//! both programs bring the upstream's along, and `pg_rewind` removes whatever its source does not have.

use super::scripts::prelude;

/// What both do. `R` is the data directory, where it really lies; `K` the kept settings, `M` the mark.
///
/// The mark is a named pipe: `pg_rewind` looks at files, directories and links, removes those that its source lacks, and
/// passes over everything else. A file of this name would be gone before the rewind is over.
macro_rules! common {
    () => {
        r#"
R=$(readlink -m -- "$D") K=$R.pgbaton.kept M=$R/pgbaton.rewinding
LC_ALL=C; export LC_ALL
umask 077
no() { echo "$2" >&2; exit "$1"; }
# The end of what a program said, without what may repeat a password.
said() { tail -n 4 -- "$1" 2>/dev/null | grep -v -i -e conninfo -e passw | cut -c 1-500 >&2; }
settle() { sync "$@" 2>/dev/null || sync; }
flush() { sync -f "$1" 2>/dev/null || sync; }
keep() {
  rm -rf -- "$K" "$K.new"
  mkdir -m 700 -- "$K.new" "$K.new/files" || no 65 "nothing can be made beside $R, where its settings are to be kept"
  for f in "$R"/*.conf "$R"/*.d "$R"/*.crt "$R"/*.key "$R"/*.pem "$R"/*.crl "$R"/pgbaton.saved.*; do
    if [ -e "$f" ] || [ -L "$f" ]; then cp -a -- "$f" "$K.new/files/" || no 1 "$f cannot be copied"; fi
  done
  flush "$K.new"
  mv -- "$K.new" "$K" || exit 1
}
put_back() {
  rm -f -- "$1"/pgbaton.saved.* "$1/recovery.signal"
  for f in "$K"/files/*; do
    if ! [ -e "$f" ] && ! [ -L "$f" ]; then continue; fi
    t=$1/${f##*/}
    rm -rf -- "$t.pgbaton.tmp"
    cp -a -- "$f" "$t.pgbaton.tmp" || return 1
    if [ -d "$t" ] && ! [ -L "$t" ]; then rm -rf -- "$t" || return 1; fi
    mv -fT -- "$t.pgbaton.tmp" "$t" || return 1
  done
  : >>"$1/standby.signal" || return 1
  flush "$1"
}
if alive; then no 65 "its server runs (process $pid)"; fi
# Held by the program too, which outlives a script that is killed: two of them at once would leave no state of any server.
exec 8<"$R"
flock -n 8 || no 75 "a rewind or a copy of it that began earlier is still at work"
"#
    };
}

/// What a renewal would find. Further arguments: the programs that print control data, serve, rewind and copy.
///
/// The release that a program tells of itself is left out where it says something else than PostgreSQL's does.
pub(super) const LOOK: &str = concat!(
    prelude!(),
    r#"
LC_ALL=C "$1" -D "$D" 2>/dev/null |
  sed -n -e 's/^wal_log_hints setting: *on.*/hints/p' -e 's/^Data page checksum version: *[1-9].*/checksums/p'
release() {
  said=$("$1" --version 2>/dev/null)
  case $said in *'(PostgreSQL) '[1-9]*) said=${said#*'(PostgreSQL) '}; echo "$2 ${said%%[!0-9]*}" ;; *) echo "$2" ;; esac
}
[ ! -x "$3" ] || release "$3" rewind
[ ! -x "$4" ] || release "$4" copy
said=; IFS= read -r said 2>/dev/null <"$D/PG_VERSION"
case $said in ''|*[!0-9]*) ;; *) echo "data $said" ;; esac
[ -z "$("$2" -D "$D" -C restore_command 2>/dev/null)" ] || echo archive
R=$(readlink -m -- "$D")
[ ! -w "${R%/*}/" ] || echo beside
echo end
"#
);

/// Rewinds. Further arguments: the programs that rewind, serve and print control data, and where the source is.
///
/// What can be refused is refused by a trial, before the mark is there. With the mark and without the result, nothing but
/// this script goes on.
pub(super) const REWIND: &str = concat!(
    prelude!(),
    common!(),
    r#"
rewind=$1 server=$2 control=$3 source=$4
state() { "$control" -D "$R" 2>/dev/null | sed -n 's/^Database cluster state: *//p'; }
back() { [ ! -e "$K/signal" ] || mv -f -- "$K/signal" "$R/standby.signal"; }
common='rewinding from last common checkpoint'
help=$("$rewind" --help 2>/dev/null) || no 1 "$rewind cannot be run"
set -- -D "$R" "--source-server=$source"
case $help in *--no-ensure-shutdown*) set -- "$@" --no-ensure-shutdown ;; esac
case $help in *--restore-target-wal*)
  [ -z "$("$server" -D "$R" -C restore_command 2>/dev/null)" ] || set -- "$@" --restore-target-wal ;;
esac
if ! [ -p "$M" ]; then
  back
  if [ "$(state)" = 'in archive recovery' ] && [ -e "$R/backup_label" ]; then
    no 65 "what lies there is a copy that was never started, and is as it was"
  fi
  keep
  case $(state) in
    'shut down'|'shut down in recovery') ;;
    *)
      # Crash recovery, by a server that nobody can connect to. It does not run with standby.signal, so that is away for
      # as long; nothing else can be started meanwhile, for this server holds the directory.
      trap 'back; exit 1' TERM HUP INT
      [ ! -e "$R/standby.signal" ] || mv -- "$R/standby.signal" "$K/signal"
      "$server" --single -D "$R" template1 </dev/null >"$K/log" 2>&1
      back
      trap - TERM HUP INT
      [ "$(state)" = 'shut down' ] || { said "$K/log"; no 1 "its crash recovery did not succeed"; } ;;
  esac
  # Whatever makes a rewind impossible shows before it writes anything. The trial reads all that would be copied, so it is
  # ended where that begins.
  "$rewind" "$@" --dry-run </dev/null >"$K/log" 2>&1 &
  trial=$!
  while ! grep -q "$common" "$K/log"; do
    line=; IFS= read -r line 2>/dev/null <"/proc/$trial/stat" || break
    case ${line##*) } in [ZX]*) break ;; esac
    sleep 0.05
  done
  kill "$trial" 2>/dev/null
  wait "$trial"
  if ! grep -q "$common" "$K/log"; then
    said "$K/log"
    rm -rf -- "$K"
    no 65 "it cannot be rewound, and is as it was"
  fi
  mkfifo -m 600 -- "$M" || no 1 "the mark $M cannot be made"
  settle "$R"
fi
[ -d "$K/files" ] || no 67 "a rewind of it did not end, and the settings that were kept in $K are not there"
# The control file is the last that a rewind writes: with this it was over, and what was to follow was not.
if [ "$(state)" != 'in archive recovery' ] || ! [ -e "$R/backup_label" ]; then
  "$rewind" "$@" </dev/null >"$K/log" 2>&1 || { said "$K/log"; no 67 "it is half rewound"; }
fi
put_back "$R" || no 67 "it is rewound, and its own settings in $K/files could not be put back"
rm -f -- "$M"
settle "$R"
rm -rf -- "$K"
echo rewound
"#
);

/// Copies. Further arguments: the program that copies, where the source is, the slot (may be empty), `keep` or `remove`,
/// the directories of the WAL and of the links to tablespaces, and where the source's tablespaces lie.
///
/// A copy is complete when it holds `pgbaton.complete`, which names the place of the former data; one that is not is removed. Former
/// data of earlier copies are nobody's to remove here. Tablespaces get directories of
/// their own beside those that the source names: the former ones stay the former copy's.
pub(super) const COPY: &str = concat!(
    r#"
# The one before died between the two renames.
if [ ! -e "$1" ] && [ -e "$1.pgbaton.new/pgbaton.complete" ]; then mv -T -- "$1.pgbaton.new" "$1"; fi
"#,
    prelude!(),
    common!(),
    r#"
copy=$1 source=$2 slot=$3 former=$4 wal=$5 spaces=$6; shift 6
N=$R.pgbaton.new L=$R.pgbaton.spaces
stamp=$(date -u +%Y%m%dT%H%M%SZ)
O=$R.pgbaton.old.$stamp
drop() {
  rm -rf -- "$N"
  if [ -e "$L" ]; then while IFS= read -r space; do rm -rf -- "$space"; done <"$L"; rm -f -- "$L"; fi
}
if ! [ -e "$R/pgbaton.complete" ]; then
  if ! [ -e "$N/pgbaton.complete" ]; then
    drop
    # Those of a half rewound node were kept when its rewind began; what lies in it by now may be the upstream's.
    if ! [ -p "$M" ] || ! [ -d "$K/files" ]; then keep; fi
    need=$(du -skL -- "$R" | cut -f 1) room=$(df -Pk -- "${R%/*}" | tail -n 1 | { read -r a b c room rest; echo "$room"; })
    case $need$room in ''|*[!0-9]*) ;; *)
      [ "$room" -gt "$need" ] || no 65 "beside $R there is room for $room kB, and what lies there now takes $need kB" ;;
    esac
    words=$#
    while [ "$words" -gt 0 ]; do
      space=$1; shift; words=$((words - 1))
      new=${space%.pgbaton.[0-9]*Z}.pgbaton.$stamp
      printf '%s\n' "$new" >>"$L" || exit 1
      set -- "$@" -T "$space=$new"
    done
    if [ -L "$R/$wal" ]; then
      new=$(readlink -m -- "$R/$wal"); new=${new%.pgbaton.[0-9]*Z}.pgbaton.$stamp
      printf '%s\n' "$new" >>"$L" || exit 1
      set -- "$@" "--waldir=$new"
    fi
    [ -z "$slot" ] || set -- "$@" -S "$slot"
    if ! "$copy" -D "$N" -d "$source" -w -X stream -c fast "$@" </dev/null >"$K/log" 2>&1; then
      said "$K/log"
      drop
      [ -p "$M" ] || rm -rf -- "$K"
      no 1 "it could not be copied, and what it has is as it was"
    fi
    put_back "$N" && printf '%s\n' "$O" >"$N/pgbaton.complete" || no 1 "its own settings could not be put into the copy"
    flush "$N"
  fi
  IFS= read -r O <"$N/pgbaton.complete" && [ -n "$O" ] || no 1 "$N/pgbaton.complete cannot be read"
  mv -T -- "$R" "$O" || no 1 "$R cannot be renamed: is it where a disk is mounted?"
  mv -T -- "$N" "$R" || { mv -T -- "$O" "$R"; no 1 "$N cannot take the place of $R"; }
  settle "${R%/*}"
fi
IFS= read -r O <"$R/pgbaton.complete" && [ -n "$O" ] || no 1 "$R/pgbaton.complete cannot be read"
rm -rf -- "$K"
if [ "$former" = keep ]; then
  [ ! -d "$O" ] || echo "$O"
elif [ -d "$O" ]; then
  for space in "$O/$spaces"/* "$O/$wal"; do
    [ -L "$space" ] || continue
    used= real=$(readlink -m -- "$space")
    for mine in "$R/$spaces"/* "$R/$wal"; do [ "$(readlink -m -- "$mine")" != "$real" ] || used=1; done
    [ -n "$used" ] || rm -rf -- "$real"
  done
  rm -rf -- "$O"
fi
# Last, so that a second call goes on where the first one ended.
rm -f -- "$R/pgbaton.complete" "$L"
settle "$R"
"#
);
