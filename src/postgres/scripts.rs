//! The shell scripts that look at a host and act on it. POSIX shell, few processes: a failover waits for them.
//!
//! All take the data directory, the names of the server's processes and the name of its pid file as `$1 $2 $3`. Whether a
//! process belongs to the data directory is told by its working directory, which no server process ever leaves, and by
//! the name of its program: a person's shell may stand in the same directory. Not to be permitted to look is an error,
//! never the answer that nothing is there.

/// Exit status: the world is in a state in which this must not be done.
pub(crate) const CONFLICT: i32 = 65;
/// Exit status: the host does not let us look.
pub(crate) const BLIND: i32 = 66;
/// Exit status: it was begun and did not end, and what it left is not as it was.
pub(crate) const HALF: i32 = 67;
/// Exit status: there is one already, and it is another's.
pub(crate) const ANOTHER: i32 = 68;
/// Exit status: asked for, and not there yet.
pub(crate) const PENDING: i32 = 75;

/// Common beginning: arguments, rights, and `alive`, which tells whether the postmaster of the pid file lives.
macro_rules! prelude {
    () => {
        r#"
D=$1 S=$2 P=$3; shift 3
blind() { echo "$1" >&2; exit 66; }
if ! [ -d "$D" ]; then
  new=$(readlink -m -- "$D").pgbaton.new
  [ ! -d "$new" ] || blind "there is no directory $D: what was to take its place lies in $new; resume the run that copied it, or rename it"
  blind "there is no directory $D, or it may not be seen"
fi
[ -r "$D" ] && [ -x "$D" ] || blind "the directory $D may not be read by user $(id -un)"
if [ -e "$D/$P" ] && ! [ -r "$D/$P" ]; then blind "$D/$P may not be read by user $(id -un)"; fi
of_us() {
  comm=; IFS= read -r comm 2>/dev/null <"/proc/$1/comm"
  case " $S " in *" $comm "*) [ -n "$comm" ] || return 1 ;; *) return 1 ;; esac
  [ "/proc/$1/cwd" -ef "$D" ] && return 0
  [ -e "/proc/$1/cwd" ] && return 1
  # Not ours to inspect, of another owner, or at its end: a process that is exiting has no directory any more.
  tries=0
  while :; do
    line=; IFS= read -r line 2>/dev/null <"/proc/$1/stat" || return 1
    case ${line##*) } in [ZX]*) return 1 ;; esac
    [ "/proc/$1/cwd" -ef "$D" ] && return 0
    [ -e "/proc/$1/cwd" ] && return 1
    if [ "$tries" = 0 ]; then [ "$(stat -c %u "/proc/$1" 2>/dev/null)" = "$(stat -c %u "$D")" ] || return 1; fi
    [ "$tries" -lt 20 ] || break
    tries=$((tries + 1)); sleep 0.1
  done
  blind "process $1 may not be inspected by user $(id -un)"
}
alive() {
  pid=; IFS= read -r pid 2>/dev/null <"$D/$P"
  case $pid in ''|*[!0-9]*) return 1 ;; esac
  of_us "$pid"
}
# Sleeps, briefly at first; false when the `n` tenths of a second are over.
naps=0
nap() {
  if [ "$naps" -lt 100 ]; then
    naps=$((naps + 1)); sleep 0.01
    [ $((naps % 10)) -ne 0 ] || n=$((n - 1))
  else n=$((n - 1)); sleep 0.1; fi
  [ "$n" -gt 0 ]
}
parent_of() {
  line=; IFS= read -r line 2>/dev/null <"/proc/$1/stat" || return 1
  set -- ${line##*) }
  parent=$2
}
"#
    };
}

pub(crate) use prelude;

/// Waits for the process `$pid`.
macro_rules! collected {
    () => {
        r#"
# A dead postmaster that its parent has not collected yet still keeps the server from starting.
m=0
while [ -n "$pid" ] && [ "$m" -lt 50 ]; do
  line=; IFS= read -r line 2>/dev/null <"/proc/$pid/stat" || break
  case ${line##*) } in [ZX]*) m=$((m + 1)); sleep 0.1 ;; *) break ;; esac
done
"#
    };
}
pub(crate) use collected;

/// The tags of the settings that are kept beside the server's own.
pub(crate) const SAVED: &str = r#"
cd "$1" || exit 66
for f in pgbaton.saved.*; do [ -e "$f" ] && echo "${f#pgbaton.saved.}"; done
:
"#;

/// Everything that the host knows. Further arguments: the program that prints control data, the directories of the WAL
/// and of the slots.
pub(crate) const LOOK: &str = concat!(
    prelude!(),
    r#"
if alive; then
  echo "postmaster $pid"
  line=; IFS= read -r line 2>/dev/null <"/proc/$pid/stat"
  case ${line##*) } in [Tt]*) echo frozen ;; esac
fi
if [ -e "$D/$P" ]; then
  l1= l7= l8=
  { IFS= read -r l1; IFS= read -r l; IFS= read -r l; IFS= read -r l; IFS= read -r l; IFS= read -r l; read -r l7; read -r l8; } <"$D/$P"
  [ -z "$l8" ] || echo "status $l8"
  if [ -n "$l7" ] && [ -r /proc/sysvipc/shm ]; then
    id=${l7##* }
    while read -r key shm perms size creator last attached rest; do
      if [ "$shm" = "$id" ] && [ "$creator" = "$l1" ]; then echo "shared $attached"; fi
    done </proc/sysvipc/shm
  fi
fi
[ -e "$D/standby.signal" ] && echo signal
[ -e "$D/pgbaton.rewinding" ] && echo rewinding
# In the order of their names, so that the newest comes last.
LC_ALL=C; export LC_ALL
newest=
for f in "$D/$2"/*; do
  f=${f##*/}
  case $f in
    ????????.history) f=${f%.history} ;;
    ????????????????????????) f=${f%????????????????} ;;
    *) continue ;;
  esac
  case $f in *[!0-9A-F]*) ;; *) newest=$f ;; esac
done
[ -z "$newest" ] || echo "timeline $newest"
for f in "$D/$3"/*/; do
  [ -d "$f" ] || continue
  f=${f%/}; echo "slot ${f##*/}"
done
for p in /proc/[0-9]*; do
  p=${p#/proc/}
  of_us "$p" && parent_of "$p" || continue
  title=${S%% *}
  if [ "$p" != "$pid" ] && [ "$parent" != "$pid" ]; then title=$(tr '\0' ' ' 2>/dev/null <"/proc/$p/cmdline"); fi
  echo "process $p $parent $title"
done
echo control
LC_ALL=C exec "$1" -D "$D" 2>&1
"#
);

/// Runs the rest of the arguments, which tell the server to stop, and waits until it has gone. First argument: for how
/// many tenths of a second. A command that waits for the end itself may do so too long: it is not waited for.
pub(crate) const STOP: &str = concat!(
    prelude!(),
    r#"
n=$1; shift
alive || { echo stopped; exit 0; }
was=$pid
"$@" >&2 &
command=$!
while of_us "$was"; do
  if [ -n "$command" ]; then
    line=; IFS= read -r line 2>/dev/null <"/proc/$command/stat"
    case ${line##*) } in
      [ZX]*|'') wait "$command" || { if of_us "$was"; then exit 1; fi; }; command= ;;
    esac
  fi
  nap || exit 75
done
# It may have something left to do.
n=20 naps=100
while [ -n "$command" ]; do
  line=; IFS= read -r line 2>/dev/null <"/proc/$command/stat" || break
  case ${line##*) } in [ZX]*|'') break ;; esac
  nap || break
done
echo running
"#
);

/// Ends every process of the data directory. Further argument: tenths of a second to wait for their end.
pub(crate) const KILL: &str = concat!(
    prelude!(),
    r#"
was=stopped n=$1
if alive; then was=running; kill -9 "$pid"; fi
while :; do
  found=
  for p in /proc/[0-9]*; do
    p=${p#/proc/}
    if of_us "$p"; then found=$p; kill -9 "$p" 2>/dev/null; fi
  done
  [ -n "$found" ] || break
  nap || { echo "process $found does not end" >&2; exit 75; }
done
echo "$was"
"#
);

/// Runs the rest of the arguments, which start the server; first: its log, tenths of a second to wait where it runs
/// already, and a word where the command is waited for even when the server is there.
pub(crate) const START: &str = concat!(
    prelude!(),
    r#"
log=$1 n=$2 patient=$3; shift 3
status() { l=; { for i in 1 2 3 4 5 6 7 8; do read -r l || break; done; } 2>/dev/null <"$D/$P"; }
if alive; then
  while :; do
    status
    case $l in ready|standby) echo running; exit 0 ;; stopping) echo "the server is shutting down" >&2; exit 65 ;; esac
    nap || exit 75
    alive || { echo "the server that was starting has gone" >&2; exit 1; }
  done
fi
if [ -e "$D/pgbaton.rewinding" ]; then
  echo "a rewind of $D did not end: what lies there is no state of any server, and it is not started" >&2; exit 65
fi
"#,
    collected!(),
    r#"
# The command looks ten times a second, and tells when the server does not start; we look more often, and need not wait
# for it once the server is there.
"$@" >/dev/null 2>>"$log" &
command=$!
while :; do
  if [ -z "$patient" ] && alive; then status; case $l in ready|standby) echo stopped; exit 0 ;; esac; fi
  line=; IFS= read -r line 2>/dev/null <"/proc/$command/stat" || break
  case ${line##*) } in [ZX]*) break ;; esac
  [ -n "$patient" ] && sleep 0.05 || nap || :
done
wait "$command"
rc=$?
if [ "$rc" -eq 0 ]; then
  # A site's own command need not wait for the server.
  while [ -n "$patient" ]; do
    if alive; then status; case $l in ready|standby) break ;; esac; fi
    nap || exit 75
  done
  echo stopped; exit 0
fi
if alive; then exit 75; fi
tail -n 9 "$log" 2>/dev/null | grep -v -i -e conninfo -e passw -e ': could not start server' -e '^examine the log' >&2
exit 1
"#
);

/// The end of the log of a server that did not start. Argument: the log.
pub(crate) const LOG_TAIL: &str = r#"tail -n 6 "$1" 2>/dev/null | grep -v -i -e conninfo -e passw"#;

/// Ends a walreceiver. Further argument: its process id.
pub(crate) const END_RECEIVER: &str = concat!(
    prelude!(),
    r#"
[ -d "/proc/$1" ] || { echo gone; exit 0; }
of_us "$1" || { echo "process $1 is not one of this server" >&2; exit 65; }
title=$(tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline")
case $title in *walreceiver*) ;; *) echo "process $1 is not a walreceiver: $title" >&2; exit 65 ;; esac
kill -TERM "$1" 2>/dev/null
n=30
while of_us "$1"; do nap || exit 75; done
echo gone
"#
);

/// Ends processes that outlived their postmaster. Further arguments: their ids.
pub(crate) const END_ORPHANS: &str = concat!(
    prelude!(),
    r#"
alive || pid=
for p in "$@"; do
  of_us "$p" && parent_of "$p" || continue
  if [ -n "$pid" ] && { [ "$p" = "$pid" ] || [ "$parent" = "$pid" ]; }; then
    echo "process $p belongs to the living postmaster $pid" >&2; exit 65
  fi
  kill -9 "$p" 2>/dev/null
done
n=50
for p in "$@"; do
  while of_us "$p"; do nap || { echo "process $p does not end" >&2; exit 75; }; done
done
"#
);

/// Places `standby.signal`.
pub(crate) const PLACE_SIGNAL: &str = concat!(
    prelude!(),
    r#"
f=$D/standby.signal
umask 077
: >>"$f" || exit 1
chown --reference="$D" "$f" 2>/dev/null
sync "$f" "$D" 2>/dev/null || sync
"#
);

/// Removes `standby.signal`.
pub(crate) const REMOVE_SIGNAL: &str = concat!(
    prelude!(),
    r#"
rm -f -- "$D/standby.signal" || exit 1
sync "$D" 2>/dev/null || sync
"#
);

/// Prints the checksum of a file of the data directory, then its contents. Further argument: its name.
pub(crate) const READ_FILE: &str = concat!(
    prelude!(),
    r#"
f=$D/$1
[ -e "$f" ] || { echo "$f does not exist" >&2; exit 65; }
cksum <"$f" && cat <"$f"
"#
);

/// Replaces a file of the data directory by standard input: whole or not at all, durable, owner and mode as before.
/// Further arguments: its name, the checksum that it must still have (`-`: it must not exist).
pub(crate) const WRITE_FILE: &str = concat!(
    prelude!(),
    r#"
f=$D/$1 t=$D/$1.pgbaton.tmp
umask 077
if [ "$2" = - ]; then
  if [ -e "$f" ]; then echo "$f exists already" >&2; exit 65; fi
else
  [ "$(cksum <"$f")" = "$2" ] || { echo "$f was changed by somebody else at the same time" >&2; exit 65; }
fi
cat >"$t" || { rm -f -- "$t"; exit 1; }
if [ "$2" = - ]; then chown --reference="$D" "$t" 2>/dev/null
else chmod --reference="$f" "$t" && { chown --reference="$f" "$t" 2>/dev/null || :; } || { rm -f -- "$t"; exit 1; }
fi
sync "$t" 2>/dev/null || sync
mv -f -- "$t" "$f" || exit 1
sync "$D" 2>/dev/null || sync
"#
);

/// Keeps settings of the server's own configuration file, unless the same owner has kept them already; prints the
/// checksum of what is kept. Their values never leave the host. Further arguments: the file to keep them in, its first
/// line, the line that tells the owner, a line of random bits, the configuration file, a pattern of its lines, and
/// `replace` where what another owner has kept may go.
pub(crate) const SAVE: &str = concat!(
    prelude!(),
    r#"
f=$D/$1 t=$D/$1.pgbaton.tmp
umask 077
first= second=
if [ -e "$f" ]; then { IFS= read -r first; IFS= read -r second; } <"$f"; fi
if [ "$first" = "$2" ] && [ "$second" != "$3" ] && [ "$7" != replace ]; then
  echo "another run has kept its settings" >&2; exit 68
fi
if [ "$first" != "$2" ] || [ "$second" != "$3" ]; then
  {
    printf '%s\n%s\n%s\n' "$2" "$3" "$4"
    if [ -e "$D/$5" ]; then LC_ALL=C grep -i -E -e "$6" "$D/$5" || [ "$?" -eq 1 ]; fi
  } >"$t" || { rm -f -- "$t"; exit 1; }
  chown --reference="$D" "$t" 2>/dev/null
  sync "$t" 2>/dev/null || sync
  mv -f -- "$t" "$f" || exit 1
  sync "$D" 2>/dev/null || sync
fi
cksum <"$f"
"#
);

/// Removes a file of the data directory. Further argument: its name.
pub(crate) const REMOVE_FILE: &str = concat!(
    prelude!(),
    r#"
rm -f -- "$D/$1" || exit 1
sync "$D" 2>/dev/null || sync
"#
);

/// Where the WAL ends. Further arguments: the programs `pg_controldata` and `pg_waldump`, the directory of the WAL,
/// timeline, where to begin to look, and the position as a number.
pub(crate) const WAL_END: &str = concat!(
    prelude!(),
    r#"
page=8192 segment=16777216
while IFS=: read -r name value; do
  case $name in
    'WAL block size') page=$((value)) ;;
    'Bytes per WAL segment') segment=$((value)) ;;
  esac
done <<END
$(LC_ALL=C "$1" -D "$D" 2>/dev/null)
END
echo "page $page"
echo "segment $segment"
per=$((4294967296 / segment)) n=$(($6 / segment))
exists() { [ -e "$D/$3/$(printf '%08X%08X%08X' "$4" $(($7 / per)) $(($7 % per)))" ]; }
# Not beyond the last segment that is there: pg_waldump waits 5 s for one that is not.
last=$n
while exists "$@" "$last"; do last=$((last + 1)); done
if [ "$last" -gt "$n" ]; then
  echo this
  end=$(printf '%X/%X' $((last / per)) $((last % per * segment)))
  # Its complaint may come before or after what it printed.
  { LC_ALL=C "$2" -p "$D/$3" -t "$4" -s "$5" -e "$end" 2>&1; echo "status $?"; } |
    sed -n -e '/^rmgr:/{h;d;}' -e '/^status /p' -e '/waldump: /s/^/said /p' -e '${x;/./s/^/record /p;}'
fi
[ "$n" -gt 0 ] && exists "$@" $((n - 1)) && echo before
:
"#
);
