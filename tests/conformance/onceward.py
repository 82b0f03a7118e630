"""A client of Onceward, written from docs/protocol.md alone.

Plain Python 3.9 or later, standard library only. Rule numbers are those of "How a client must behave" there.

    client = Client(("127.0.0.1", 7977), "default")      # or Client("/run/onceward.sock", "default")
    attempt = os.urandom(16)                             # Rule 3: random, new for each begin.
    answer = client.begin(b"tenant-7", b"order-1042", attempt=attempt)
    if answer["outcome"] == "acquired":                  # Only then run the work.
        client.complete(b"tenant-7", b"order-1042", fence=answer["fence"], attempt=attempt, body=b"done")

Every operation returns a dict with `outcome` and the fields of that reply, or raises `Error`; a reply that is overdue
raises `TimeoutError`. After that, and after the code `unavailable`, nothing may be concluded: repeat the same call,
with the same attempt id, after a back-off and on a new client if need be (rules 13, 14). One connection, which any
number of threads may share. It neither reconnects nor repeats by itself.
"""

import contextlib
import socket
import struct
import threading
import time

MAX_FRAME = 1_114_112  # Longest body that this client sends or takes.
HEADER = struct.Struct("<IBBHQ")
OPCODES = {
    "hello": 0x01, "ping": 0x02, "cancel": 0x03, "begin": 0x10, "complete": 0x11, "abandon": 0x12, "renew": 0x13,
    "checkpoint": 0x14, "get": 0x15, "resolve": 0x20, "forget": 0x21, "list": 0x22, "stats": 0x23,
}
OUTCOMES = {
    0x01: "ok", 0x10: "acquired", 0x11: "replay", 0x12: "in_progress", 0x13: "mismatch", 0x14: "need_fingerprint",
    0x15: "in_doubt", 0x16: "refused", 0x17: "gone", 0x18: "expired", 0x19: "fenced", 0x1A: "conflict",
    0x20: "completed", 0x21: "already_completed", 0x22: "abandoned", 0x23: "renewed", 0x24: "saved", 0x28: "absent",
    0x29: "reserved", 0x30: "resolved", 0x31: "forgotten",
}
ERRORS = {
    0x80: "unavailable", 0x81: "denied", 0x82: "not_leader", 0x83: "result_unavailable", 0x84: "bad_input",
    0x85: "unknown_opcode", 0xC0: "malformed", 0xC1: "frame_too_large", 0xC2: "version", 0xC3: "hello_first",
    0xC4: "hello_again", 0xC5: "too_many_connections", 0xC6: "timed_out",
}
POLICIES = {"takeover": 1, "in_doubt": 2}
CERTAINTIES = {"not_done": 1, "in_doubt": 2}
STATES = {None: 0, "reserved": 1, "in_doubt": 2, "completed": 3}
STATE_WORDS = {number: word for word, number in STATES.items() if word}
KEPT = {0: None, 1: "too_large", 2: "declined", 3: "capacity"}
REASONS = {1: "capacity", 2: "quota"}

# The layout behind the code, by operation and outcome: fields as name:letter of `struct`. Behind the bar come the
# optional fields that are a u64, by their tags.
RESULT = "attempt_number:I age:Q retention_left:Q status:H kept:B metadata:I body:I"
ENTRY = "state:B age:Q attempt_number:I fence:Q doubt_number:I retention_left:Q scope:H key:H"
REPLIES = {
    ("hello", "ok"): "version:H features:Q max_frame:I server_time:Q boot_epoch:Q rights:I lease_min:Q lease_max:Q "
                     "retention_max:Q wait_max:Q body_max:Q in_flight_max:I idle_timeout:Q",
    ("ping", "ok"): "echo:Q",
    ("begin", "acquired"): "fence:Q attempt_id:16s attempt_number:I lease_left:Q retention_left:Q",
    ("begin", "replay"): RESULT,
    ("begin", "in_progress"): "retry_after:Q age:Q attempt_number:I",
    ("begin", "in_doubt"): "since:Q",
    ("begin", "refused"): "reason:B | 1:retry_after",
    ("complete", "completed"): "kept:B",
    ("complete", "already_completed"): "kept:B",
    ("renew", "renewed"): "lease_left:Q",
    ("checkpoint", "saved"): "ordinal:I",
    ("checkpoint", "refused"): "reason:B",
    ("get", "reserved"): "age:Q attempt_number:I lease_left:Q doubt_number:I | 1:fence",
    ("get", "in_doubt"): "since:Q attempt_number:I doubt_number:I | 1:fence",
    ("get", "completed"): RESULT + " | 1:fence",
    ("list", "ok"): "entries:H | 1:next",
    ("stats", "ok"): "rows:H",
}
BARE = {  # Outcomes that are a code and nothing else.
    "begin": "mismatch need_fingerprint gone", "complete": "conflict mismatch need_fingerprint fenced gone",
    "abandon": "abandoned conflict fenced gone", "renew": "mismatch conflict fenced gone",
    "checkpoint": "need_fingerprint conflict fenced gone", "get": "absent",
    "resolve": "resolved in_progress mismatch need_fingerprint conflict fenced gone",
    "forget": "forgotten in_progress fenced gone",
}
REPLIES.update({(operation, word): "" for operation, words in BARE.items() for word in words.split()})
REPLIES.update({(operation, "expired"): "since:Q" for operation in BARE})


class Error(Exception):
    """An error that the server told, by its word. A lost connection and whatever is unknown are `unavailable`."""

    def __init__(self, code, message="", field=None, closes=False, **details):
        super().__init__(f"{code}: {message}")
        self.code, self.field, self.closes = code, field, closes
        self.details = details  # retry_after, epoch, address, got, min, max: those that were told.


class Broken(Exception):
    """What the server sent is not the protocol (rule 2)."""


class Body:
    """The body of a reply, read from its start to its end."""

    def __init__(self, octets):
        self.octets, self.at = octets, 0

    def take(self, size):
        self.at += size
        if self.at > len(self.octets):
            raise Broken("a body that is too short")
        return self.octets[self.at - size:self.at]

    def one(self, letter):
        return struct.unpack("<" + letter, self.take(struct.calcsize("<" + letter)))[0]

    def fields(self, layout):
        """Fixed fields by their names; then the variable parts, whose lengths are there in place of them."""
        told = {name: self.one(letter) for name, letter in (field.split(":") for field in layout.split())}
        told.update({name: self.take(told[name]) for name in ("scope", "key", "metadata", "body") if name in told})
        return told

    def optional(self):
        """Optional fields to the end, also those that nobody knows (rule 18)."""
        told, last = {}, 0
        while self.at < len(self.octets):
            tag, size = self.one("B"), self.one("I")
            if tag <= last:
                raise Broken("optional fields out of order")
            told[tag], last = self.take(size), tag
        return told


def number(octets):
    if len(octets) != 8:
        raise Broken("an optional number of another length than 8")
    return int.from_bytes(octets, "little")


def decode(opcode, octets):
    """A reply's body as a dict or as an `Error`."""
    body = Body(octets)
    code = body.one("B")
    if code >= 0x80:
        return decode_error(code, body)
    operation = next((word for word, value in OPCODES.items() if value == opcode), None)
    outcome = OUTCOMES.get(code)
    if (operation, outcome) not in REPLIES:
        return Error("unavailable", f"unknown outcome 0x{code:02x} of opcode 0x{opcode:02x}")  # Rule 13.
    fixed, _, numbers = REPLIES[operation, outcome].partition("|")
    told = {"outcome": outcome, **body.fields(fixed)}
    if operation == "list":
        told["entries"] = [decode_entry(body) for _ in range(told["entries"])]
    if operation == "stats":
        told.update({body.take(body.one("B")).decode(): body.one("Q") for _ in range(told.pop("rows"))})
    if "reason" in told:
        told["reason"] = known(REASONS, told["reason"])
    if "kept" in told:
        told["not_kept"] = known(KEPT, told.pop("kept"))
    if "metadata" in told:
        told["metadata"] = decode_metadata(told["metadata"])
        told["body"] = told["body"] if told["not_kept"] is None else None
    optional = body.optional()
    for tag, name in (field.split(":") for field in numbers.split()):
        told[name] = number(optional[int(tag)]) if int(tag) in optional else None
    if outcome == "acquired":
        left = Body(optional[1]) if 1 in optional else None
        told["checkpoint_ordinal"] = left.one("I") if left else 0
        told["checkpoint"] = left.octets[4:] if left else None
    return told


def decode_error(code, body):
    message = body.take(body.one("H")).decode(errors="replace")
    word = ERRORS.get(code)
    if word is None:
        word, message = "unavailable", f"unknown error 0x{code:02x}: {message}"
    optional, details = body.optional(), {}
    for tag, name in enumerate(("field", "retry_after", "epoch", "address", "got", "min", "max"), 1):
        if tag in optional:
            text = name in ("field", "address")
            details[name] = optional[tag].decode(errors="replace") if text else number(optional[tag])
    return Error(word, message, closes=code >= 0xC0, **details)


def decode_entry(body):
    entry = body.fields(ENTRY)
    return {**entry, "state": known(STATE_WORDS, entry["state"])}


def decode_metadata(octets):
    body, pairs = Body(octets), []
    while body.at < len(octets):
        name_size, value_size = body.one("H"), body.one("H")
        pairs.append((body.take(name_size), body.take(value_size)))
    return pairs


def known(words, value):
    """The word for a value; new values come only with a version that was not asked for (rule 19)."""
    if value not in words:
        raise Broken(f"an unknown value {value}")
    return words[value]


def encode_metadata(pairs):
    return b"".join(struct.pack("<HH", len(name), len(value)) + name + value for name, value in pairs)


def optional_field(tag, value):
    """Nothing for None; a number as a u64; bytes as they are."""
    if value is None:
        return b""
    value = struct.pack("<Q", value) if isinstance(value, int) else value
    return struct.pack("<BI", tag, len(value)) + value


def token(fence, attempt):
    if len(attempt) != 16:
        raise ValueError("an attempt id has 16 bytes")
    return struct.pack("<Q", fence) + attempt


class Pending:
    """A request that was sent, and its answer once there is one."""

    def __init__(self, opcode, wait, cancel):
        self.opcode, self.wait, self._cancel = opcode, wait, cancel
        self._sent, self._there, self._answer = time.monotonic(), threading.Event(), None

    def settle(self, answer):
        if not isinstance(answer, Error) and answer["outcome"] in ("acquired", "renewed"):
            # Rule 7: the instant of `time.monotonic` after which to start no new side effect.
            answer["lease_ends"] = self._sent + answer["lease_left"] / 1000
        self._answer = answer
        self._there.set()

    def cancel(self):
        """Ends the wait: the answer comes at once, as things stand."""
        self._cancel()

    def result(self, timeout=None):
        """The answer; TimeoutError if there is none within `timeout` seconds. That leaves the request as it is."""
        if not self._there.wait(timeout):
            raise TimeoutError("no reply yet")
        if isinstance(self._answer, Error):
            raise self._answer
        return dict(self._answer)


class Client:
    """One connection, for one namespace.

    `address` is `(host, port)` or the path of a Unix socket. `patience` is how many seconds a reply may take, beyond
    the request's own wait. It is longer than the 0.5 of rule 15: those suit a caller that repeats by itself.
    `hello` holds the reply to HELLO: the limits, the rights, and the boot epoch to compare after reconnecting (rule 17).
    """

    def __init__(self, address, namespace, *, credential=b"", patience=10.0):
        if isinstance(address, str):
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(1.0)
            self._socket.connect(address)
        else:
            self._socket = socket.create_connection(address, timeout=1.0)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(patience)
        self.patience, self.max_frame = patience, 8192  # The longest body until HELLO is accepted.
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._last_number, self._pending, self._ended, self._last_word = 0, {}, None, None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        name = namespace.encode()
        hello = struct.pack("<4sHHQIHH", b"ONWD", 1, 1, 0, MAX_FRAME, len(name), len(credential))
        try:
            self.hello = self._call("hello", hello + name + credential)
            if self.hello["version"] != 1 or self.hello["max_frame"] > MAX_FRAME:
                raise Error("version", "the server agreed to what was not offered")
        except (Error, TimeoutError) as error:
            self.close()
            raise (self._last_word or error) from None
        self.max_frame = self.hello["max_frame"]

    def close(self):
        """Ends the connection, and with it the waits on it. Leases run on."""
        self._hang_up()
        self._reader.join()

    def ping(self, echo=0):
        return self._call("ping", struct.pack("<Q", echo))

    def send_begin(self, scope, key, *, attempt, fingerprint=None, lease=30_000, retention=86_400_000,
                   policy="takeover", wait=0, result_hint=None, checkpoint_hint=None):
        """Sends a begin and returns its `Pending`. A repeat has the very same `attempt` (rule 4)."""
        digest = fingerprint if isinstance(fingerprint, bytes) else b""
        kind = {None: 0, "later": 1}.get(fingerprint, 2)
        if len(attempt) != 16:
            raise ValueError("an attempt id has 16 bytes")
        return self._send("begin", attempt + struct.pack(
            "<QQQBBBHH", lease, retention, wait, POLICIES[policy], kind, len(digest), len(scope), len(key),
        ) + digest + scope + key + optional_field(1, result_hint) + optional_field(2, checkpoint_hint or None), wait)

    def begin(self, scope, key, **arguments):
        """As `send_begin`, and awaits the answer."""
        return self._await(self.send_begin(scope, key, **arguments))

    def complete(self, scope, key, *, fence, attempt, status=200, metadata=(), body=b"", fingerprint=None):
        """Stores the result; `body=None` declines to have its body kept."""
        pairs, tail = encode_metadata(metadata), optional_field(1, fingerprint)
        body = self._fitting(body, 39 + len(scope) + len(key) + len(pairs) + len(tail))
        return self._call("complete", token(fence, attempt) + struct.pack(
            "<HBHHII", status, 2 if body is None else 0, len(scope), len(key), len(pairs), len(body or b""),
        ) + scope + key + pairs + (body or b"") + tail)

    def abandon(self, scope, key, *, fence, attempt, certainty):
        fixed = struct.pack("<BHH", CERTAINTIES[certainty], len(scope), len(key))
        return self._call("abandon", token(fence, attempt) + fixed + scope + key)

    def renew(self, scope, key, *, fence, attempt, lease=30_000, fingerprint=None):
        fixed = struct.pack("<QHH", lease, len(scope), len(key))
        return self._call("renew", token(fence, attempt) + fixed + scope + key + optional_field(1, fingerprint))

    def checkpoint(self, scope, key, *, fence, attempt, ordinal, bytes):
        fixed = struct.pack("<IHHI", ordinal, len(scope), len(key), len(bytes))
        return self._call("checkpoint", token(fence, attempt) + fixed + scope + key + bytes)

    def send_get(self, scope, key, *, wait=0):
        """Sends a get and returns its `Pending`."""
        return self._send("get", struct.pack("<QHH", wait, len(scope), len(key)) + scope + key, wait)

    def get(self, scope, key, *, wait=0):
        return self._await(self.send_get(scope, key, wait=wait))

    def resolve(self, scope, key, *, fence, doubt_number, verdict, status=200, metadata=(), body=b"",
                fingerprint=None):
        """Decides a doubt: `completed` with the result, or `never_done`, which looks at nothing of a result."""
        if verdict != "completed":
            status, metadata, body, fingerprint = 0, (), b"", None
        pairs, tail = encode_metadata(metadata), optional_field(1, fingerprint)
        body = self._fitting(body, 28 + len(scope) + len(key) + len(pairs) + len(tail))
        return self._call("resolve", struct.pack(
            "<QIBHBHHII", fence, doubt_number, {"completed": 1, "never_done": 2}[verdict], status,
            2 if body is None else 0, len(scope), len(key), len(pairs), len(body or b""),
        ) + scope + key + pairs + (body or b"") + tail)

    def forget(self, scope, key, *, fence):
        return self._call("forget", struct.pack("<QHH", fence, len(scope), len(key)) + scope + key)

    def list(self, *, state=None, older_than=None, cursor=0, entries_max=100):
        """One page; `next` is the cursor of the next one, or None after the last."""
        page = struct.pack("<QHB", cursor, entries_max, STATES[state])
        return self._call("list", page + optional_field(1, older_than))

    def stats(self):
        return self._call("stats", b"\0")

    def _fitting(self, body, rest):
        """Rule 11: a body that does not fit a frame is declined, so that retries learn that the work is done."""
        return body if body is None or rest + len(body) <= self.max_frame else None

    def _call(self, operation, body):
        return self._await(self._send(operation, body))

    def _await(self, pending):
        """Rule 15: a wait that runs out of time is cancelled; the reader drops what comes late."""
        try:
            longest = self.hello["wait_max"] if pending.wait else 0
            return pending.result(self.patience + min(pending.wait, longest) / 1000)
        except TimeoutError:
            if pending.wait:
                pending.cancel()
            raise

    def _send(self, operation, body, wait=0):
        if len(body) > self.max_frame:
            raise Error("frame_too_large", f"{len(body)} bytes; at most {self.max_frame}: not sent")
        with self._lock:
            self._last_number += 1
            correlation = self._last_number
            pending = Pending(OPCODES[operation], wait, lambda: self._send("cancel", struct.pack("<Q", correlation)))
            if self._ended is not None:
                pending.settle(self._ended)
                return pending
            if operation != "cancel":  # CANCEL has no reply.
                self._pending[correlation] = pending
        try:
            with self._writing:
                self._socket.sendall(HEADER.pack(len(body), OPCODES[operation], 0, 0, correlation) + body)
        except OSError:
            self._hang_up()  # The reader tells everyone, once it has read what is still there.
        return pending

    def _hang_up(self):
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _read(self):
        """The reader thread: pairs replies with requests until the connection ends."""
        try:
            while self._read_one():
                pass
            why = f"the server closed: {self._last_word}" if self._last_word else "the server closes"
        except Broken as broken:
            why = f"the server sent {broken}"
        except (OSError, EOFError) as end:
            why = f"the connection ended: {end}"
        self._hang_up()
        with self._lock:
            self._ended = Error("unavailable", why)
            unanswered, self._pending = self._pending, {}
        for pending in unanswered.values():
            pending.settle(self._ended)
        with self._writing:
            self._socket.close()

    def _read_one(self):
        """One reply. False if the server closes after it."""
        length, opcode, flags, reserved, correlation = HEADER.unpack(self._exactly(HEADER.size))
        if not 1 <= length <= self.max_frame or flags != 1 or reserved != 0:
            raise Broken("a header that breaks the rules")
        answer = decode(opcode, self._exactly(length))
        closes = isinstance(answer, Error) and (answer.closes or correlation == 0)
        pending = self._pending.get(correlation)
        if pending is None and closes:  # The connection's last word, or that to a CANCEL.
            self._last_word = answer
        elif pending is None or pending.opcode != opcode:
            raise Broken("a reply to nothing that was asked")
        else:
            with self._lock:
                del self._pending[correlation]
            pending.settle(answer)
        return not closes

    def _exactly(self, size):
        octets = bytearray()
        while len(octets) < size:
            try:
                some = self._socket.recv(size - len(octets))
            except socket.timeout:  # That time is meant for sending; a reply may take as long as its request allows.
                continue
            if not some:
                raise EOFError("no more replies")
            octets += some
        return bytes(octets)
