//! The shell of operation records: POSIX, few processes, and nothing that has to be installed.
//!
//! A record is a directory, `<base>/pgbaton-<uid>/<cluster>/<id>`. To make it is to claim the operation. It holds
//! `leader` (process, when it was born, boot), `about`, the ends of both outputs, and at last `status`. Whoever looks at
//! a record or makes one holds `lock` beside it, and `token.<store>` has the highest fencing token seen of a lease store.
//!
//! All variables are called `pgb_*`: a site's environment passes through these shells.

/// Exit status: a higher fencing token was here, nothing ran.
pub(super) const REFUSED: i32 = 80;
/// Exit status: nothing ran, because no record could be made.
pub(super) const NO_RECORD: i32 = 81;
/// Exit status: it was claimed, its session has gone, and it left no result.
pub(super) const GONE: i32 = 82;

/// What both sides know: when a process was born, and whether the leader of a record lives.
macro_rules! common {
    () => {
        r#"
pgb_no() { echo "$2" >&2; exit "$1"; }
pgb_born() {
  pgb_line=; IFS= read -r pgb_line 2>/dev/null <"/proc/$1/stat" || return 1
  set -- ${pgb_line##*) }
  case $1 in [ZX]*) return 1 ;; esac
  pgb_born=${20}
}
pgb_lives() {
  pgb_pid= pgb_then= pgb_there=
  read -r pgb_pid pgb_then pgb_there 2>/dev/null <"$1/leader" || return 1
  [ "$pgb_there" = "$pgb_boot" ] && pgb_born "$pgb_pid" && [ "$pgb_born" = "$pgb_then" ]
}
# How it ended: blank while nobody knows.
pgb_ended() {
  pgb_said=; IFS= read -r pgb_said 2>/dev/null <"$1/status"
  case $pgb_said in ''|' '*) return 1 ;; esac
}
IFS= read -r pgb_boot </proc/sys/kernel/random/boot_id
"#
    };
}

/// The lock of a cluster's records, in directories that are the user's own. Needs `pgb_root` and `pgb_dir`.
macro_rules! locked {
    () => {
        r#"
pgb_me=${pgb_root##*-}
pgb_foreign() {
  pgb_no 81 "$pgb_root or what is in it belongs to somebody else, is a link, or is open to others (wanted: a directory of user $pgb_me, mode 0700)"
}
for pgb_one in "$pgb_root" "$pgb_dir"; do
  [ -d "$pgb_one" ] || [ -L "$pgb_one" ] || pgb_said=$(LC_ALL=C mkdir -m 700 -- "$pgb_one" 2>&1) || [ -d "$pgb_one" ] ||
    pgb_no 81 "$pgb_one cannot be made: ${pgb_said##*: }"
  # Before anything is made in it.
  [ ! -L "$pgb_one" ] && [ -O "$pgb_one" ] || pgb_foreign
done
pgb_kinds=$(LC_ALL=C stat -c '%u %a %F' "$pgb_root" "$pgb_dir") || exit 81
case $pgb_kinds in
  "$pgb_me "*"700 directory
$pgb_me "*"700 directory") ;;
  *) pgb_foreign ;;
esac
true 2>/dev/null >>"$pgb_dir/lock" || pgb_no 81 "$pgb_dir/lock cannot be written"
exec 9<"$pgb_dir/lock"
flock -w 10 9 || pgb_no 81 "$pgb_dir/lock is held by somebody for more than 10 s"
"#
    };
}

/// Starts the session that does it, or finds the one that did; waits for its end and prints status and outputs.
/// Parameters: the session's script, the base directory, the cluster, the id, then the session's own.
pub(super) const CALL: &str = concat!(
    common!(),
    r#"
pgb_session=$1 pgb_base=$2 pgb_cluster=$3 pgb_id=$4; shift 4
pgb_path=$PATH PATH=$PATH:/usr/bin:/bin
for pgb_tool in setsid flock mkfifo; do
  command -v "$pgb_tool" >/dev/null || pgb_no 81 "this host has no program \`$pgb_tool\`"
done
# The effective one is the second.
while read -r pgb_name pgb_real pgb_me pgb_rest; do [ "$pgb_name" != Uid: ] || break; done </proc/self/status
pgb_root=$pgb_base/pgbaton-$pgb_me
pgb_record=$pgb_root/$pgb_cluster/$pgb_id
exec 3<&0
setsid /bin/sh -c "$pgb_session" pgbaton "$pgb_path" "$pgb_root" "$pgb_cluster" "$pgb_id" "$@" <&3 3<&- &
wait "$!"
pgb_rc=$?
case $pgb_rc in 80|81|82) exit "$pgb_rc" ;; esac
until pgb_ended "$pgb_record"; do
  pgb_lives "$pgb_record" || pgb_ended "$pgb_record" ||
    pgb_no 82 "its session has gone without leaving a result in $pgb_record"
  sleep 0.02
done
printf '%s\n' "$pgb_said"
[ ! -s "$pgb_record/out" ] || cat "$pgb_record/out"
[ ! -s "$pgb_record/err" ] || cat "$pgb_record/err" >&2
exit 0
"#
);

/// The leader of a session of its own: claims the operation, runs it, keeps what came of it. Nobody's pipe holds it.
/// It exits with 0 when the record has a result or somebody else is at it. Parameters: `PATH`, root, cluster, id, lease
/// store, fencing token (may be empty), deadline in seconds, `end` or `finish`, `repeatable` or `once` (with `-again` for
/// a runner that goes on with another's run), bytes to keep, the mark that ends its input (empty: it has none), and the
/// command.
pub(super) const SESSION: &str = concat!(
    common!(),
    r#"
pgb_path=$1 pgb_root=$2 pgb_dir=$2/$3 pgb_record=$2/$3/$4 pgb_store=$5 pgb_token=$6 pgb_deadline=$7 pgb_after=$8 pgb_repeat=$9
shift 9
pgb_keep=$1 pgb_mark=$2; shift 2
pgb_why=
trap 'pgb_why=${pgb_why:-deadline}' USR1
trap 'pgb_why=${pgb_why:-ended}' USR2
# In memory only, and whole: the connection may break in the middle of it.
if [ -n "$pgb_mark" ]; then
  pgb_in=$(cat)
  case $pgb_in in
    *"$pgb_mark") pgb_in=${pgb_in%"$pgb_mark"} ;;
    *) pgb_no 81 "its input did not arrive whole" ;;
  esac
fi
"#,
    locked!(),
    r#"
if [ -n "$pgb_token" ]; then
  pgb_seen= pgb_file=$pgb_dir/token.$pgb_store
  [ ! -e "$pgb_file" ] || IFS= read -r pgb_seen <"$pgb_file"
  case $pgb_seen in *[!0-9]*) pgb_no 81 "$pgb_file does not hold a number" ;; esac
  [ "${pgb_seen:-0}" -le "$pgb_token" ] ||
    pgb_no 80 "a run with the lease's token $pgb_seen has been here since, this one has $pgb_token"
  if [ "${pgb_seen:-0}" -lt "$pgb_token" ]; then
    { printf '%s\n' "$pgb_token" >"$pgb_file.new" && mv -f -- "$pgb_file.new" "$pgb_file"; } 2>/dev/null ||
      pgb_no 81 "$pgb_file cannot be written: is there room on its disk?"
  fi
fi
if [ -d "$pgb_record" ]; then
  # Without a leader nothing was begun: the leader is written before anything runs.
  pgb_begun=; [ ! -s "$pgb_record/leader" ] || pgb_begun=begun
  if pgb_ended "$pgb_record"; then
    # Ended because the runner before this one had to go. A late call of that runner's must find it so; the next runner
    # still wants it.
    case $pgb_said:$pgb_repeat:$pgb_begun in
      ended*:repeatable-again:*|ended*:once-again:) ;;
      *) exit 0 ;;
    esac
  else
    # It may end between two looks.
    if pgb_lives "$pgb_record" || pgb_ended "$pgb_record"; then exit 0; fi
    case $pgb_repeat:$pgb_begun in
      once*:begun) pgb_no 82 "its session has gone without leaving a result in $pgb_record" ;;
    esac
  fi
  rm -rf -- "$pgb_record"
fi
PATH=$pgb_path command -v "$1" >/dev/null 2>&1 || pgb_no 81 "there is no program \`$1\` that may be run"
pgb_born "$$"
# What is let finish is ours and says little.
pgb_pipe=
[ "$pgb_after" = finish ] || pgb_pipe=.pipe
pgb_claim() {
  mkdir -m 700 -- "$pgb_record" && { [ -z "$pgb_pipe" ] || mkfifo -m 600 "$pgb_record/out$pgb_pipe" "$pgb_record/err$pgb_pipe"; } &&
    printf '%64s\n' '' >"$pgb_record/status" &&
    printf '%s\n' "token ${pgb_token:-none}" "deadline $pgb_deadline s, then $pgb_after" "$pgb_repeat" >"$pgb_record/about" &&
    printf '%s\n' "$$ $pgb_born $pgb_boot" >"$pgb_record/leader"
}
if ! pgb_claim 2>/dev/null; then
  rm -rf -- "$pgb_record"
  pgb_no 81 "$pgb_record cannot be written: is there room on its disk?"
fi
# After a power failure "never started" must be true.
case $pgb_repeat in
  once*) sync "$pgb_record/leader" "$pgb_record" "$pgb_dir" 2>/dev/null || sync ;;
esac
exec 9<&- </dev/null >/dev/null 2>&1

pgb_dog=
if [ "$pgb_after" = end ]; then
  (
    trap 'kill "$!"; exit' TERM
    sleep "$pgb_deadline" & wait "$!"
    while kill -USR1 "$$"; do sleep 1; done
  ) &
  pgb_dog=$!
fi
# The end of an output: what was read last, at least as much as is to be kept. `dd` writes at once and takes no more.
pgb_gather() {
  trap 'kill "$!"; exit' TERM
  exec 4<"$1.pipe"
  while :; do
    LC_ALL=C dd bs=65536 count=64 of="$1.new" <&4 2>"$1.told" & wait "$!" || break
    # So many whole blocks and so many short ones; fewer than were asked for at the end.
    pgb_told=; IFS=' +' read -r pgb_whole pgb_short pgb_told <"$1.told"
    case $pgb_told in records*) [ $((pgb_whole + pgb_short)) -eq 64 ] || return ;; esac
    [ -s "$1.new" ] || return
    if [ ! -e "$1" ]; then mv -f -- "$1.new" "$1"; continue; fi
    cat "$1.new" >>"$1" && : >"$1.new"
    if [ "$(wc -c <"$1")" -gt $((pgb_keep * 2)) ]; then
      tail -c $((pgb_keep + 1)) "$1" >"$1.cut" && mv -f -- "$1.cut" "$1"
    fi
  done
  # No room: the command is not to suffer for it.
  cat <&4 & wait "$!"
}
if [ -n "$pgb_pipe" ]; then
  pgb_gather "$pgb_record/out" & pgb_out=$!
  pgb_gather "$pgb_record/err" & pgb_err=$!
fi
if [ -n "$pgb_mark" ]; then
  printf %s "$pgb_in" | (PATH=$pgb_path; exec "$@" >"$pgb_record/out$pgb_pipe" 2>"$pgb_record/err$pgb_pipe") &
  pgb_command=$!
  pgb_in=
else
  (PATH=$pgb_path; exec "$@" >"$pgb_record/out$pgb_pipe" 2>"$pgb_record/err$pgb_pipe") &
  pgb_command=$!
fi

# Every process of the session but this one gets the signal; one of them, if there is any.
pgb_others() {
  pgb_found=
  for pgb_p in /proc/[0-9]*; do
    pgb_p=${pgb_p#/proc/}
    [ "$pgb_p" != "$$" ] || continue
    pgb_line=; IFS= read -r pgb_line 2>/dev/null <"/proc/$pgb_p/stat" || continue
    set -- ${pgb_line##*) }
    [ "$4" = "$$" ] || continue
    case $1 in [ZX]) continue ;; esac
    pgb_found=$pgb_p
    [ "$pgb_signal" = 0 ] || kill -"$pgb_signal" "$pgb_p"
  done
}
pgb_end() {
  [ -z "$pgb_dog" ] || kill "$pgb_dog"
  pgb_n=0 pgb_signal=TERM
  pgb_others
  pgb_signal=0
  while pgb_others; [ -n "$pgb_found" ] && [ "$pgb_n" -lt 20 ]; do sleep 0.1; pgb_n=$((pgb_n + 1)); done
  pgb_n=0 pgb_signal=KILL
  while pgb_others; [ -n "$pgb_found" ] && [ "$pgb_n" -lt 20 ]; do sleep 0.1; pgb_n=$((pgb_n + 1)); done
}
while :; do
  wait "$pgb_command"
  pgb_rc=$?
  [ -n "$pgb_why" ] || break
  if [ "$pgb_after" = end ]; then pgb_end; break; fi
  pgb_why=
done
if [ -z "$pgb_why" ]; then
  pgb_why="exit $pgb_rc"
  [ -z "$pgb_dog" ] || kill "$pgb_dog"
fi
if [ -n "$pgb_pipe" ] && [ "$pgb_why" = "exit $pgb_rc" ]; then
  # What it left behind, a server perhaps, may hold its outputs open for ever.
  pgb_n=0
  while [ "$pgb_n" -lt 60 ] && { pgb_born "$pgb_out" || pgb_born "$pgb_err"; }; do
    pgb_n=$((pgb_n + 1))
    [ "$pgb_n" -lt 40 ] || sleep 0.01
  done
  [ "$pgb_n" -lt 60 ] || kill "$pgb_out" "$pgb_err"
  wait "$pgb_out"; wait "$pgb_err"
fi
for pgb_one in out err; do
  pgb_one=$pgb_record/$pgb_one
  if [ ! -s "$pgb_one.new" ]; then :
  elif [ -e "$pgb_one" ]; then cat "$pgb_one.new" >>"$pgb_one"
  else mv -f -- "$pgb_one.new" "$pgb_one"; fi
  if [ -s "$pgb_one" ] && [ "$(wc -c <"$pgb_one")" -gt "$pgb_keep" ]; then
    tail -c "$pgb_keep" "$pgb_one" >"$pgb_one.cut" && mv -f -- "$pgb_one.cut" "$pgb_one"
    case $pgb_why in *' cut') ;; *) pgb_why="$pgb_why cut" ;; esac
  fi
done
# Over the blanks that were written first: this needs no room.
printf '%s\n' "$pgb_why" 1<>"$pgb_record/status"
# Once an hour, and nobody waits for it: what is older than a week goes, unless it runs.
pgb_told= pgb_then=-3600
read -r pgb_up pgb_line </proc/uptime
[ ! -e "$pgb_root/tidied" ] || read -r pgb_told pgb_then <"$pgb_root/tidied"
[ "$pgb_told" != "$pgb_boot" ] || [ $((${pgb_up%.*} - pgb_then)) -ge 3600 ] || exit 0
printf '%s\n' "$pgb_boot ${pgb_up%.*}" >"$pgb_root/tidied"
find "$pgb_root" -mindepth 2 -maxdepth 2 '(' -type d -mmin +10080 -o -name 'token.*' -mtime +90 ')' | head -n 200 |
  while IFS= read -r pgb_old; do
    if [ ! -d "$pgb_old" ] || pgb_ended "$pgb_old" || ! pgb_lives "$pgb_old"; then rm -rf -- "$pgb_old"; fi
  done &
exit 0
"#
);

/// Ends an operation, or sees to it that it never begins. Parameters: the base directory, the cluster, the id.
pub(super) const END: &str = concat!(
    common!(),
    r#"
PATH=$PATH:/usr/bin:/bin
pgb_root=$1/pgbaton-$(id -u); pgb_dir=$pgb_root/$2 pgb_record=$pgb_root/$2/$3
"#,
    locked!(),
    r#"
if [ ! -s "$pgb_record/leader" ]; then
  mkdir -m 700 -p -- "$pgb_record" && echo ended >"$pgb_record/status"
  exit
fi
exec 9<&-
pgb_lives "$pgb_record" || exit 0
# Only this session: when it has ended, another runner may have begun the same anew.
pgb_n=0
while ! pgb_ended "$pgb_record" && pgb_born "$pgb_pid" && [ "$pgb_born" = "$pgb_then" ] && [ "$pgb_n" -lt 60 ]; do
  kill -USR2 "$pgb_pid" 2>/dev/null
  sleep 0.1; pgb_n=$((pgb_n + 1))
done
"#
);

/// A script without its comments and indentation: it is sent with every command.
pub(super) fn lean(script: &str) -> String {
    let lines = script.lines().map(str::trim);
    let said: Vec<&str> = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    said.join("\n")
}
