//! The shell scripts that renew a node's data: a rewind in place, a copy beside them.
//!
//! The node's own settings (port, name, who may log in, keys) are kept in `<data>.pgbaton.kept` while that is done, for
//! both programs bring the upstream's along, and `pg_rewind` removes whatever its source does not have.

use super::scripts::{collected, prelude};

/// What both do. `R` is the data directory, where it really lies; `K` the kept settings, `M` the mark.
///
/// The mark is a named pipe: `pg_rewind` looks at files, directories and links, removes those that its source lacks, and
/// passes over everything else. A file of this name would be gone before the rewind is over. Nobody but pgbaton looks at
/// it, so that the directory has a right for others besides: no server starts in one that has.
///
/// The lock is held by whatever is started here, too: a program that outlives this shell is never joined by a second one.
macro_rules! common {
    () => {
        r#"
R=$(readlink -m -- "$D") K=$R.pgbaton.kept M=$R/pgbaton.rewinding
LC_ALL=C; export LC_ALL
umask 077
lock=$R.pgbaton.lock held=
no() { echo "$2" >&2; [ -z "$held" ] || rm -f -- "$lock"; exit "$1"; }
# The end of what a program said, without what may repeat a password.
said() { tail -n 4 -- "$1" 2>/dev/null | grep -v -i -e conninfo -e passw | cut -c 1-500 >&2; }
# Without the lock: on a busy disk they cannot be killed for a while, and do no harm.
settle() { { sync "$@" 2>/dev/null || sync; } 8>&-; }
flush() { { sync -f "$1" 2>/dev/null || sync; } 8>&-; }
runs() { line=; IFS= read -r line 2>/dev/null <"/proc/$1/stat" || return 1; case ${line##*) } in [ZX]*) return 1 ;; esac; }
# What is otherwise only while crash recovery runs.
back() {
  [ ! -e "$K/signal" ] || mv -f -- "$K/signal" "$R/standby.signal"
  [ -p "$M" ] || chmod o= -- "$R"
}
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
true 2>/dev/null >>"$lock" || no 65 "nothing can be made beside $R, where its settings are to be kept"
exec 8>>"$lock"
# Whoever held it before has removed it. What was killed may take a moment to go.
flock -w 3 8 && [ "$lock" -ef "/proc/$$/fd/8" ] || no 75 "an earlier rewind or copy of it is still at work: it holds $lock"
held=1
if alive; then no 65 "its server runs (process $pid)"; fi
back
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
! mountpoint -q -- "$R" 2>/dev/null || echo mounted
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
boot=; IFS= read -r boot </proc/sys/kernel/random/boot_id
common='rewinding from last common checkpoint'
help=$("$rewind" --help 2>/dev/null) || no 1 "$rewind cannot be run"
set -- -D "$R" "--source-server=$source"
case $help in *--no-ensure-shutdown*) set -- "$@" --no-ensure-shutdown ;; esac
case $help in *--restore-target-wal*)
  [ -z "$("$server" -D "$R" -C restore_command 2>/dev/null)" ] || set -- "$@" --restore-target-wal ;;
esac
if ! [ -p "$M" ]; then
  if [ "$(state)" = 'in archive recovery' ] && [ -e "$R/backup_label" ]; then
    no 65 "what lies there is a copy that was never started, and is as it was"
  fi
  keep
  case $(state) in
    'shut down'|'shut down in recovery') ;;
    *)
      pid=; IFS= read -r pid 2>/dev/null <"$R/$P"
"#,
    collected!(),
    r#"
      # Crash recovery, by a server that nobody can connect to. It does not begin with standby.signal, so that is away until
      # it says that it has looked. Should the power fail until then, the right for others keeps every server from starting.
      trap 'back; exit 1' TERM HUP INT
      [ ! -e "$R/standby.signal" ] || mv -- "$R/standby.signal" "$K/signal"
      "$server" --single -D "$R" -c lc_messages=C -c log_min_messages=warning template1 </dev/null >"$K/log" 2>&1 &
      recovery=$!
      until grep -qs 'not properly shut down' "$K/log"; do
        runs "$recovery" || break
        pid=; IFS= read -r pid 2>/dev/null <"$R/$P"
        [ "$pid" != "-$recovery" ] || chmod o+x -- "$R"
        sleep 0.05
      done
      back
      wait "$recovery"
      trap - TERM HUP INT
      [ "$(state)" = 'shut down' ] || { said "$K/log"; no 1 "its crash recovery did not succeed"; } ;;
  esac
  # Whatever makes a rewind impossible shows before it writes anything. The trial reads all that would be copied, so it is
  # ended where that begins.
  "$rewind" "$@" --dry-run </dev/null >"$K/log" 2>&1 &
  trial=$!
  until grep -qs "$common" "$K/log"; do runs "$trial" || break; sleep 0.05; done
  kill "$trial" 2>/dev/null
  wait "$trial"
  if ! grep -q "$common" "$K/log"; then
    said "$K/log"
    rm -rf -- "$K"
    no 65 "it cannot be rewound, and is as it was"
  fi
  mkfifo -m 600 -- "$M" || no 1 "the mark $M cannot be made"
fi
chmod o+x -- "$R" || no 67 "$R cannot be closed to servers meanwhile"
settle "$R"
[ -d "$K/files" ] || no 67 "a rewind of it did not end, and the settings that were kept in $K are not there"
# The control file is the last that a rewind writes: with this it was over, and what was to follow was not. Only then it
# syncs the rest, which a loss of power may have taken.
if [ "$(state)" = 'in archive recovery' ] && [ -e "$R/backup_label" ]; then
  was=; IFS= read -r was 2>/dev/null <"$K/boot"
  [ "$was" = "$boot" ] || no 67 "its host went down before all that was rewound was on its disk: only a new copy brings it back"
  settle
else
  printf '%s\n' "$boot" >"$K/boot" || no 67 "$K/boot cannot be written"
  settle "$K/boot" "$K"
  "$rewind" "$@" </dev/null >"$K/log" 2>&1 || { said "$K/log"; no 67 "it is half rewound"; }
fi
put_back "$R" || no 67 "it is rewound, and its own settings in $K/files could not be put back"
chmod o= -- "$R"
settle "$R"
rm -f -- "$M"
settle "$R"
rm -rf -- "$K" "$lock"
echo rewound
"#
);

/// Copies. Further arguments: the program that copies, where the source is, the slot (may be empty), `keep` or `remove`,
/// the run, the directories of the WAL and of the links to tablespaces, and where the source's tablespaces lie.
///
/// A copy is complete when `C` is there: the place of the former data, the run, and what becomes of them. Without it what
/// was begun is removed. It lies beside the data, where no copy takes it along, and is nothing to another run, which asked
/// for a copy of its own. Former data of earlier copies are nobody's to remove here. Tablespaces get directories of their
/// own beside those that the source names: the former ones stay the former copy's.
pub(super) const COPY: &str = concat!(
    r#"
# The one before died between the two renames.
R=$(readlink -m -- "$1")
if [ ! -e "$R" ] && [ -e "$R.pgbaton.complete" ] && [ -d "$R.pgbaton.new" ]; then mv -T -- "$R.pgbaton.new" "$R"; fi
"#,
    prelude!(),
    common!(),
    r#"
copy=$1 source=$2 slot=$3 former=$4 run=$5 wal=$6 spaces=$7; shift 7
N=$R.pgbaton.new C=$R.pgbaton.complete L=$R.pgbaton.spaces
stamp=$(date -u +%Y%m%dT%H%M%SZ)
O=$R.pgbaton.old.$stamp
drop() {
  rm -rf -- "$N"
  if [ -e "$L" ]; then while IFS= read -r space; do rm -rf -- "$space"; done <"$L"; rm -f -- "$L"; fi
}
as_it_was() { rm -f -- "$C" "$C.new"; drop; [ -p "$M" ] || rm -rf -- "$K"; no "$1" "$2, and what it has is as it was"; }
# Beside what is mounted another disk is, and nothing can be renamed to where it is.
beside() {
  ! mountpoint -q -- "$1" 2>/dev/null || as_it_was 65 "$1 is where a disk is mounted: let it be a directory below that"
  [ -d "${1%/*}/" ] && [ -w "${1%/*}/" ] || as_it_was 65 "nothing can be made in ${1%/*}/, where its own $1 would lie"
}
# What goes when the copy has taken its place. The list first: what it names is in use now.
finish() {
  rm -f -- "$L"
  settle "${R%/*}/"
  rm -rf -- "$K"
  if [ "$former" = remove ] && [ -d "$O" ]; then
    version=$(cat "$O/PG_VERSION")
    for space in "$O/$spaces"/* "$O/$wal"; do
      [ -L "$space" ] || continue
      used= real=$(readlink -m -- "$space")
      for mine in "$R/$spaces"/* "$R/$wal"; do [ "$(readlink -m -- "$mine")" != "$real" ] || used=1; done
      [ -z "$used" ] || continue
      case $space in
        */"$wal") rm -rf -- "$real" ;;
        # Servers of several releases share the place of a tablespace, each with a directory of its own.
        *) rm -rf -- "$real/PG_${version}_"*; rmdir -- "$real" 2>/dev/null ;;
      esac
    done
    rm -rf -- "$O"
  fi
  # Last, so that a second call goes on where the first one ended.
  rm -f -- "$C"
  settle "${R%/*}/"
}
if [ -e "$C" ]; then
  place=$O wanted=$former
  { IFS= read -r O && IFS= read -r other && IFS= read -r former; } <"$C" || no 1 "$C cannot be read"
  if [ "$other" != "$run" ]; then
    if [ -d "$N" ]; then rm -f -- "$C"; settle "${R%/*}/"; else finish; fi
    O=$place former=$wanted
  fi
fi
if ! [ -e "$C" ]; then
  drop
  beside "$R"
  for space in "$@"; do beside "$space"; done
  [ ! -L "$R/$wal" ] || beside "$(readlink -m -- "$R/$wal")"
  need=$(du -sk -- "$R" | cut -f 1) room=$(df -Pk -- "${R%/*}/" | tail -n 1 | { read -r a b c room rest; echo "$room"; })
  case :$need:$room: in *::*|*[!0-9:]*) ;; *)
    [ "$room" -gt "$need" ] || as_it_was 65 "beside $R there is room for $room kB, and what lies there now takes $need kB" ;;
  esac
  # Those of a half rewound node were kept when its rewind began; what lies in it by now may be the upstream's.
  if ! [ -p "$M" ] || ! [ -d "$K/files" ]; then keep; fi
  words=$#
  while [ "$words" -gt 0 ]; do
    space=$1; shift; words=$((words - 1))
    new=${space%.pgbaton.[0-9]*Z}.pgbaton.$stamp
    printf '%s\n' "$new" >>"$L" || as_it_was 1 "$L cannot be written"
    set -- "$@" -T "$space=$new"
  done
  if [ -L "$R/$wal" ]; then
    new=$(readlink -m -- "$R/$wal"); new=${new%.pgbaton.[0-9]*Z}.pgbaton.$stamp
    printf '%s\n' "$new" >>"$L" || as_it_was 1 "$L cannot be written"
    set -- "$@" "--waldir=$new"
  fi
  [ -z "$slot" ] || set -- "$@" -S "$slot"
  if ! "$copy" -D "$N" -d "$source" -w -X stream -c fast "$@" </dev/null >"$K/log" 2>&1; then
    said "$K/log"
    as_it_was 1 "it could not be copied"
  fi
  # Its own rights too, but never one for others: no server starts with that.
  put_back "$N" && chmod --reference="$R" -- "$N" && chmod o= -- "$N" || as_it_was 1 "its own settings could not be put into the copy"
  flush "$N"
  printf '%s\n' "$O" "$run" "$former" >"$C.new" && settle "$C.new" && mv -f -- "$C.new" "$C" || as_it_was 1 "$C cannot be written"
  settle "${R%/*}/"
fi
if [ -d "$N" ]; then
  mv -T -- "$R" "$O" || as_it_was 1 "$R cannot be renamed"
  mv -T -- "$N" "$R" || { mv -T -- "$O" "$R"; as_it_was 1 "$N cannot take the place of $R"; }
  settle "${R%/*}/"
fi
finish
[ "$former" = remove ] || [ ! -d "$O" ] || echo "$O"
rm -f -- "$lock"
"#
);

#[cfg(test)]
mod tests;
