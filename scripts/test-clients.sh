#!/usr/bin/env bash
# Shows that clients which share no code with the engine get along with it: grpcurl through reflection, and the Python
# dialer on stubs generated from proto/. Starts an engine of its own on a free port and ends it again.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/tools.sh grpcurl python-grpc
python=$PWD/target/tools/venv/bin/python
stubs=$PWD/target/clients/python
mkdir -p "$stubs"
"$python" -m grpc_tools.protoc -I proto --python_out="$stubs" --pyi_out="$stubs" --grpc_python_out="$stubs" \
    proto/dialplane/v1/*.proto
cargo build ${CI:+--locked}
dialplane=${CARGO_TARGET_DIR:-target}/debug/dialplane

work=$(mktemp -d)
chmod 755 "$work" # started by root, the embedded PostgreSQL runs as another user
target=127.0.0.1:$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

start() {
    "$dialplane" serve --embedded "$work/data" --listen "$target" >>"$work/log" 2>&1 &
    echo $! >"$work/engine"
}
stop() {
    local engine
    engine=$(cat "$work/engine")
    kill "$engine" 2>/dev/null || true
    for _ in {1..300}; do kill -0 "$engine" 2>/dev/null || break; sleep 0.1; done
    kill -KILL "$engine" 2>/dev/null || true
}
end() {
    stop
    rm -rf "$work"
}
start
trap end EXIT
trap 'exit 130' INT TERM

grpc() { target/tools/bin/grpcurl -plaintext -max-time 20 "$@"; }
call() { grpc -d "$2" "$target" "dialplane.v1.$1"; }

for attempt in {1..300}; do
    if grpc "$target" grpc.health.v1.Health/Check 2>/dev/null | grep -q '"SERVING"'; then break; fi
    if ((attempt == 300)) || ! kill -0 "$(cat "$work/engine")" 2>/dev/null; then
        echo "The engine did not come up:" >&2
        cat "$work/log" >&2
        exit 1
    fi
    sleep 0.2
done

passed=0 failed=0 output=

# expect WHAT PATTERN COMMAND...: the command's output, left in $output, contains the pattern.
expect() {
    local what=$1 pattern=$2
    shift 2
    output=$("$@" 2>&1) || true
    if grep -Eq -- "$pattern" <<<"$output"; then
        passed=$((passed + 1))
        echo "ok      $what"
    else
        failed=$((failed + 1))
        printf 'FAILED  %s\n  wanted: %s\n%s\n' "$what" "$pattern" "${output//$'\n'/$'\n'  }"
    fi
}
# count FIELD RPC REQUEST: how often the field occurs in the answer.
count() {
    local answer
    answer=$(call "$2" "$3") || return
    grep -c "\"$1\"" <<<"$answer"
}
field() { sed -n "s/.*\"$1\": \"\([^\"]*\)\".*/\1/p;T;q" <<<"$output"; }

# details RPC: what the error of an empty request carries, as a client in Python reads it.
details() {
    PYTHONPATH=$stubs "$python" - "$target" "$1" <<'EOF'
import sys, grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
try:
    grpc.insecure_channel(sys.argv[1]).unary_unary("/dialplane.v1." + sys.argv[2])(b"", timeout=20)
except grpc.RpcError as error:
    for detail in rpc_status.from_call(error).details:
        for kind in (error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()):
            if detail.Unpack(kind):
                print(type(kind).__name__, " ".join(str(kind).split()))
EOF
}

dialer() { PYTHONPATH=$stubs timeout 120 "$python" examples/dialer.py --target "$target" "$@" && echo "exit 0"; }

always='{"spans": [{"start": "00:00", "end": "24:00", "weekdays": ["WEEKDAY_MONDAY", "WEEKDAY_TUESDAY", "WEEKDAY_WEDNESDAY",
    "WEEKDAY_THURSDAY", "WEEKDAY_FRIDAY", "WEEKDAY_SATURDAY", "WEEKDAY_SUNDAY"]}]}'
leads='{"number": "+12025550101", "externalId": "a", "variables": {"name": "Ann"}}, {"number": "+12025550102", "score": 900},
    {"number": "+12025550103"}, {"number": "+12025550104"}, {"number": "not a number"}, {"number": "+12025550101"}'
nobody=00000000-0000-4000-8000-000000000000
somebody=00000000-0000-4000-8000-000000000001

# What older clients speak; grpcurl prefers v1, so it gets this one by hand.
cat >"$work/v1alpha.proto" <<'EOF'
syntax = "proto3";
package grpc.reflection.v1alpha;
service ServerReflection { rpc ServerReflectionInfo(stream Request) returns (stream Response); }
message Request { string list_services = 7; }
message Response { Services list_services_response = 6; }
message Services { repeated Service service = 1; }
message Service { string name = 1; }
EOF

expect "reflection lists CampaignService" '^dialplane\.v1\.CampaignService$' grpc "$target" list
expect "reflection lists SchedulerService" '^dialplane\.v1\.SchedulerService$' grpc "$target" list
expect "reflection describes the stream" 'LeaseCalls \( stream .*\) returns \( stream' \
    grpc "$target" describe dialplane.v1.SchedulerService
expect "reflection describes an enum with its comments" 'Refused on input' grpc "$target" describe dialplane.v1.Outcome
expect "reflection v1alpha lists the same" '"dialplane.v1.SchedulerService"' \
    grpc -import-path "$work" -proto v1alpha.proto -d '{"listServices": "*"}' \
    "$target" grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo
expect "each service has its health" '"SERVING"' \
    grpc -d '{"service": "dialplane.v1.SchedulerService"}' "$target" grpc.health.v1.Health/Check
expect "the server tells its time zone database" '"timeZoneDatabase": "20' call SchedulerService/GetServerInfo '{}'

expect "a campaign is created as a draft" '"CAMPAIGN_STATE_DRAFT"' call CampaignService/CreateCampaign \
    "{\"name\": \"clients\", \"rules\": {\"defaultTimeZone\": \"Etc/UTC\", \"callingHours\": $always}}"
campaign=$(field campaignId)
id="\"campaignId\": \"$campaign\""
expect "leads are created" '"created": 4' call CampaignService/CreateLeads "{$id, \"leads\": [$leads]}"
expect "a bad number is refused" 'REFUSED_ROW_CODE_BAD_NUMBER' echo "$output"
expect "a duplicate is refused" 'REFUSED_ROW_CODE_DUPLICATE' echo "$output"
expect "a lead is found by its key" '"number": "\+12025550101"' \
    call CampaignService/ListLeads "{$id, \"externalId\": \"a\"}"
expect "an unknown campaign is not found" 'NotFound' call CampaignService/StartCampaign "{\"campaignId\": \"$nobody\"}"
expect "bad input is refused" 'InvalidArgument' call CampaignService/CreateCampaign '{}'
expect "its reason is typed" '^ErrorInfo reason: "BAD_INPUT" domain: "dialplane"' details CampaignService/CreateCampaign
expect "its field is named" '^BadRequest field_violations .* ?field: "name"' echo "$output"
expect "a stream that does not begin with Open is refused" 'InvalidArgument' \
    call SchedulerService/LeaseCalls '{"heartbeat": {}}'
expect "the campaign starts" '"CAMPAIGN_STATE_RUNNING"' call CampaignService/StartCampaign "{$id}"

expect "a stream opens and drains" '"sessionTtl": "20s"' \
    call SchedulerService/LeaseCalls "{\"open\": {\"dialerId\": \"grpcurl\", \"sessionId\": \"$nobody\"}} {\"drain\": {}}"
expect "the Python dialer makes three calls" '^exit 0$' dialer --campaign "$campaign" --calls 3
expect "three attempts are counted" '"attempts": "3"' call CampaignService/GetCampaignStats "{$id}"
expect "three attempts are listed" '^3$' count attemptNumber CampaignService/ListAttempts "{$id}"
expect "no lease is left" '^0$' count leaseId SchedulerService/ListLeases "{$id}"

expect "a poll opens a session" '"sessionTtl": "20s"' call SchedulerService/PollLeases \
    "{\"dialerId\": \"grpcurl\", \"sessionId\": \"$somebody\", \"slots\": 0, \"pollId\": \"$nobody\"}"
more=$(for n in {10..29}; do printf '{"number": "+120255502%s"},' "$n"; done)
expect "more leads are created" '"created": 20' call CampaignService/CreateLeads "{$id, \"leads\": [${more%,}]}"
restart() { sleep 2; stop; start; }
restart & # the engine goes and comes back while the dialer calls
expect "the Python dialer goes on over a restart of the engine" '^exit 0$' dialer --campaign "$campaign" --calls 20 --agents 2
wait $!
expect "its stream had broken" 'the stream broke|GoAway' echo "$output"
expect "all its calls are counted" '"attempts": "23"' call CampaignService/GetCampaignStats "{$id}"

expect "a number is suppressed" '"added": 1' \
    call CampaignService/AddSuppressions '{"numbers": ["+12025550104"], "reason": "asked"}'
expect "a suppressed number is known" '"suppressed": true' \
    call CampaignService/CheckSuppressions '{"numbers": ["+12025550104"]}'
expect "the campaign pauses" '"CAMPAIGN_STATE_PAUSED"' call CampaignService/PauseCampaign "{$id}"
expect "a reset tells what it would do" '"counts"' \
    call CampaignService/ResetCampaign "{$id, \"validateOnly\": true}"

if ((failed)); then
    echo "The engine's log ends:"
    tail -n 30 "$work/log"
fi
echo "$passed passed, $failed failed"
((failed == 0))
