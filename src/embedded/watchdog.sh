# Runs the server as its child; stops it when dialplane asks, or is gone, however it ended.
#   sh -c 'eval "$DIALPLANE_WATCHDOG"' NAME SCRATCH_DIR STOP_SECONDS ORPHAN_SECONDS SERVER ARGUMENT...
# SCRATCH_DIR (may be empty: none) is removed at the end. stdin: a pipe that only dialplane writes to;
# stdout: the server's pid; stderr: the log.
scratch_dir=$1 stop_seconds=$2 orphan_seconds=$3
shift 3
unset DIALPLANE_WATCHDOG
exec 3<&0 </dev/null
# A service manager may signal us together with dialplane; it is dialplane that decides.
trap : HUP INT TERM

# Second line, where util-linux is: should this shell be killed, the kernel stops the server.
if setpriv --pdeathsig INT true 2>/dev/null; then set -- setpriv --pdeathsig INT "$@"; fi

"$@" >&2 3<&- &
server=$!
echo "$server"

(
    trap '' HUP INT TERM
    # A line is a request to stop; EOF means that dialplane is gone. Fast shutdown, then immediate.
    if read -r _ <&3; then seconds=$stop_seconds; else seconds=$orphan_seconds; fi
    kill -INT "$server"
    while [ "$seconds" -gt 0 ] && kill -0 "$server"; do
        sleep 1
        seconds=$((seconds - 1))
    done
    kill -QUIT "$server"
) >/dev/null 2>&1 &
keeper=$!
exec 3<&- >&-

# A trapped signal ends `wait` early.
wait "$server"
status=$?
while kill -0 "$server" 2>/dev/null; do
    wait "$server"
    status=$?
done
kill -KILL "$keeper" 2>/dev/null
[ -z "$scratch_dir" ] || rm -rf -- "$scratch_dir"
exit "$status"
