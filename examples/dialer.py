"""A whole dialer on plain grpcio stubs: leases leads of one campaign, makes N simulated calls and reports them.

    pip install grpcio grpcio-tools googleapis-common-protos
    python -m grpc_tools.protoc -I proto --python_out=stubs --grpc_python_out=stubs proto/dialplane/v1/*.proto
    PYTHONPATH=stubs python examples/dialer.py --target 127.0.0.1:50051 --campaign ID --calls 3
"""
import argparse, json, queue, random, sys, threading, time, uuid
from concurrent.futures import ThreadPoolExecutor
import grpc
from dialplane.v1 import outcome_pb2 as outcomes, scheduler_service_pb2 as pb
from dialplane.v1 import scheduler_service_pb2_grpc, types_pb2 as types

args = argparse.ArgumentParser(description="Makes simulated calls for one campaign of dialplane.")
args.add_argument("--target", default="127.0.0.1:50051", help="host:port of the engine")
args.add_argument("--campaign", required=True, help="lease only leads of this campaign")
args.add_argument("--calls", type=int, default=3, help="end after so many calls")
args.add_argument("--agents", type=int, default=2, help="calls at the same time")
args = args.parse_args()

# Both calls may be sent twice: a permit is repeated by its nonce, an outcome by its lease. A dialer that rings real
# phones also keeps its outcomes on disk until they are answered: any process may report them, at any time.
again = {"maxAttempts": 5, "initialBackoff": "0.5s", "maxBackoff": "5s", "backoffMultiplier": 3,
         "retryableStatusCodes": ["UNAVAILABLE"]}
names = [{"service": "dialplane.v1.SchedulerService", "method": m} for m in ("BeginCalls", "ReportOutcomes")]
options = [("grpc.service_config", json.dumps({"methodConfig": [{"name": names, "retryPolicy": again}]}))]
engine = scheduler_service_pb2_grpc.SchedulerServiceStub(grpc.insecure_channel(args.target, options))
session = str(uuid.uuid4())  # new with every start of the process
outbox = queue.Queue()       # what the stream sends next
session_ttl = 1.0            # seconds: the shortest there is, until Opened tells
heard = time.monotonic()     # when the engine last said anything
held = {}                    # leases that this dialer holds; True: with a permit
revoked = set()              # leases that are over though this dialer did not end them
to_dial, to_report, counting = threading.Semaphore(args.calls), args.calls, threading.Lock()

def wanted():
    return {"slots": pb.Slots(slots=min(args.agents, to_report))} if to_report else {"drain": pb.Drain()}

def requests(turn, outbox):
    """The turn-th stream's messages; a Heartbeat whenever there was no other for a quarter of session_ttl."""
    yield pb.LeaseCallsRequest(open=pb.Open(
        dialer_id="dialer.py", session_id=session, campaign_ids=[args.campaign], slots=min(args.agents, to_report),
        held=[pb.HeldLease(lease_id=lease, begun=begun) for lease, begun in held.copy().items()]))
    while turn == streams and time.monotonic() - heard < session_ttl:
        try: yield pb.LeaseCallsRequest(**outbox.get(timeout=session_ttl / 4))
        except queue.Empty: yield pb.LeaseCallsRequest(heartbeat=pb.Heartbeat())
    if turn == streams: stream.cancel()  # the engine is silent

def permit(lease):
    """Asks until it is a yes or a no. The yes: the instant until which the phone may begin to ring."""
    while lease.lease_id not in revoked:
        sent = time.monotonic()  # dial_within counts from here, not from the answer
        answer = engine.BeginCalls(pb.BeginCallsRequest(  # a new nonce for each decision to dial
            session_id=session, lease_ids=[lease.lease_id], nonce=str(uuid.uuid4())), timeout=30).results[0]
        if answer.verdict == pb.BEGIN_VERDICT_PERMITTED:
            held[lease.lease_id] = True
            return sent + answer.dial_within.ToTimedelta().total_seconds()
        if answer.verdict == pb.BEGIN_VERDICT_REFUSED: break  # the lease is over; answer.reason says why
        time.sleep(answer.retry_after.ToTimedelta().total_seconds())  # WAIT: the lease stays

def call(lease):
    try: dial(lease)
    finally: held.pop(lease.lease_id, None)

def dial(lease):
    global to_report
    if not to_dial.acquire(blocking=False):  # enough calls are under way: give it back undialed, no attempt counts
        return engine.ReleaseLeases(pb.ReleaseLeasesRequest(session_id=session, lease_ids=[lease.lease_id]), timeout=30)
    if not (ring_until := permit(lease)): return to_dial.release()
    report = pb.OutcomeReport(lease_id=lease.lease_id, outcome=outcomes.OUTCOME_NOT_PLACED)  # the permit is dead
    if time.monotonic() < ring_until:
        time.sleep(random.uniform(0.1, 0.5))  # here the phone at lease.number rings and somebody talks
        report.outcome = random.choice((outcomes.OUTCOME_INTENT_YES, outcomes.OUTCOME_INTENT_NO, outcomes.OUTCOME_NO_ANSWER))
        with counting:  # tell first how many calls are still wanted: reporting frees the slot
            to_report -= 1
            outbox.put(wanted())
    else: to_dial.release()
    result = engine.ReportOutcomes(pb.ReportOutcomesRequest(reports=[report]), timeout=30).results[0]
    print(outcomes.Outcome.Name(report.outcome), "of", lease.lease_id, types.ReportVerdict.Name(result.verdict))

def ended(done):
    if error := done.exception():  # without the engine there is nothing to dial: the stream's end ends the program
        print("a call failed:", error, file=sys.stderr)
        lost.set()
        stream.cancel()

def listen():
    """One stream, to its end. After Drain the engine ends it when nothing is held."""
    global session_ttl, heard, tries
    for answer in stream:
        heard = time.monotonic()
        match answer.WhichOneof("message"):
            case "opened":  # what the engine dropped gets no permit any more; a call under way is reported all the same
                session_ttl, tries = answer.opened.session_ttl.ToTimedelta().total_seconds(), 0
                revoked.update(old.lease_id for old in answer.opened.held if old.verdict == pb.HELD_VERDICT_DROP)
                outbox.put(wanted())
            case "granted":
                held.update((lease.lease_id, False) for lease in answer.granted.leases)
                outbox.put({"received": pb.Received(lease_ids=[lease.lease_id for lease in answer.granted.leases])})
                for lease in answer.granted.leases: agents.submit(call, lease).add_done_callback(ended)
            case "revoked": revoked.update(answer.revoked.lease_ids)  # a call under way is still reported, as LATE
            case "throttled": print("waiting:", pb.ThrottleReason.Name(answer.throttled.reason))
            case "go_away": return stream.cancel()  # this replica is leaving: open elsewhere, with what is held

def may_come_back(error):
    """A broken link, a lost session, a leaving replica; not when another stream took the session over."""
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    return error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED) or b"SESSION_LOST" in details

streams, tries, lost = 0, 0, threading.Event()
with ThreadPoolExecutor(args.agents) as agents:  # leaving it waits for the calls under way, also when the stream fails
    while (to_report or held) and not lost.is_set():
        heard, streams = time.monotonic(), streams + 1
        outbox = queue.Queue()  # its own: the stream before may still wait for a message
        try:
            stream = engine.LeaseCalls(requests(streams, outbox))
            listen()
        except grpc.RpcError as error:
            tries += 1
            if lost.is_set() or tries > 20 or not may_come_back(error): raise
            print("the stream broke:", error.code().name)
            time.sleep(0.5)
