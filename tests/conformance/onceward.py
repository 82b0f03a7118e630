"""A client of Onceward, written from docs/protocol.md alone: Python 3.9 or later, standard library only.

    client = Client(("127.0.0.1", 7977), "default")      # or the path of a Unix socket
    attempt = os.urandom(16)                             # random, new for each begin
    answer = client.begin(b"tenant-7", b"order-1042", attempt=attempt)
    if answer["outcome"] == "acquired":                  # only then run the work
        client.complete(b"tenant-7", b"order-1042", fence=answer["fence"], attempt=attempt, body=b"done")

An operation returns a dict: `outcome`, and the fields of that reply. Otherwise it raises `Error`, or `TimeoutError` if
the reply is overdue. After that, and after the code `unavailable`, nothing may be concluded: repeat the call with the
same attempt id, on a new client if this one has ended. A client is one connection, for any number of threads. Rule
numbers are those of "How a client must behave"; leases and repeats (rules 4, 7 to 10, 12, 14) are the caller's.
"""

import contextlib
import socket
import struct
import threading
import time

MAX_FRAME = 1_114_112  # Longest body that this client sends or takes.
OPCODES = {
    "hello": 0x01, "ping": 0x02, "cancel": 0x03, "begin": 0x10, "complete": 0x11, "abandon": 0x12, "renew": 0x13,
    "checkpoint": 0x14, "get": 0x15, "resolve": 0x20, "forget": 0x21, "list": 0x22, "stats": 0x23,
}
CODES = {
    0x01: "ok", 0x10: "acquired", 0x11: "replay", 0x12: "in_progress", 0x13: "mismatch", 0x14: "need_fingerprint",
    0x15: "in_doubt", 0x16: "refused", 0x17: "gone", 0x18: "expired", 0x19: "fenced", 0x1A: "conflict",
    0x20: "completed", 0x21: "already_completed", 0x22: "abandoned", 0x23: "renewed", 0x24: "saved", 0x28: "absent",
    0x29: "reserved", 0x30: "resolved", 0x31: "forgotten",
    0x80: "unavailable", 0x81: "denied", 0x82: "not_leader", 0x83: "result_unavailable", 0x84: "bad_input",
    0x85: "unknown_opcode", 0xC0: "malformed", 0xC1: "frame_too_large", 0xC2: "version", 0xC3: "hello_first",
    0xC4: "hello_again", 0xC5: "too_many_connections", 0xC6: "timed_out",
}
WORDS = {  # Of the fields of replies whose numbers have words.
    "kept": {0: None, 1: "too_large", 2: "declined", 3: "capacity"},
    "reason": {1: "capacity", 2: "quota"},
    "state": {1: "reserved", 2: "in_doubt", 3: "completed"},
}
# Layouts of replies behind the code: fields as name:letter of `struct`; a * marks a length, whose bytes follow the
# fixed fields; after the bar the optional fields in the order of their tags. Other outcomes are the code alone.
RESULT = "attempt_number:I age:Q retention_left:Q status:H kept:B metadata:*I body:*I |"
ENTRY = "state:B age:Q attempt_number:I fence:Q doubt_number:I retention_left:Q scope:*H key:*H"
ERROR = "message:*H | field:s retry_after:Q epoch:Q address:s got:Q min:Q max:Q"
LAYOUTS = {
    "hello ok": "version:H features:Q max_frame:I server_time:Q boot_epoch:Q rights:I lease_min:Q lease_max:Q "
                "retention_max:Q wait_max:Q body_max:Q in_flight_max:I idle_timeout:Q |",
    "ping ok": "echo:Q |", "list ok": "entries:entries | next:Q", "stats ok": "rows:rows |",
    "begin acquired": "fence:Q attempt_id:16s attempt_number:I lease_left:Q retention_left:Q | checkpoint:s",
    "begin replay": RESULT, "get completed": RESULT + " fence:Q",
    "begin in_progress": "retry_after:Q age:Q attempt_number:I |", "begin in_doubt": "since:Q |",
    "begin refused": "reason:B | retry_after:Q", "checkpoint refused": "reason:B |",
    "complete completed": "kept:B |", "complete already_completed": "kept:B |",
    "renew renewed": "lease_left:Q |", "checkpoint saved": "ordinal:I |",
    "get reserved": "age:Q attempt_number:I lease_left:Q doubt_number:I | fence:Q",
    "get in_doubt": "since:Q attempt_number:I doubt_number:I | fence:Q",
    **{f"{operation} expired": "since:Q |" for operation in OPCODES},
}


class Error(Exception):
    """The server's answer from 0x80 on; `unavailable` also for a lost connection and for a code that is unknown."""

    def __init__(self, code, message, closes=False, field=None, **details):
        super().__init__(f"{code}: {message}")
        self.code, self.closes, self.field, self.details = code, closes, field, details


class Body:
    """A reply's body, read from its start. What breaks the protocol raises, and so ends the connection (rule 2)."""

    def __init__(self, octets):
        self.octets, self.at = octets, 0

    def take(self, size):
        self.at += size
        if self.at > len(self.octets):
            raise ValueError("a body ends too early")
        return self.octets[self.at - size:self.at]

    def one(self, letter):
        if letter == "entries":
            return [self.fields(ENTRY) for _ in range(self.one("H"))]
        if letter == "rows":
            return {self.take(self.one("B")).decode(): self.one("Q") for _ in range(self.one("H"))}
        return struct.unpack("<" + letter, self.take(struct.calcsize("<" + letter)))[0]

    def fields(self, layout):
        fixed, bar, optional = layout.partition("|")
        pairs, further = ([field.split(":") for field in part.split()] for part in (fixed, optional))
        told = {name: self.one(letter.lstrip("*")) for name, letter in pairs}
        told.update({name: self.take(told[name]) for name, letter in pairs if letter[0] == "*"})
        told = {name: WORDS[name][value] if name in WORDS else value for name, value in told.items()}
        told.update({name: None for name, _ in further})
        last = 0
        while bar and self.at < len(self.octets):
            tag, value = self.one("B"), self.take(self.one("I"))
            if tag <= last:
                raise ValueError("optional fields are out of order")
            if tag <= len(further):  # Rule 18: the others are skipped.
                name, letter = further[tag - 1]
                told[name] = value if letter == "s" else struct.unpack("<" + letter, value)[0]
            last = tag
        return told


def decode(operation, octets):
    """A reply as a dict or as an `Error`."""
    body = Body(octets)
    code = body.one("B")
    word = CODES.get(code)
    if word is None and code < 0x80:
        return Error("unavailable", f"unknown outcome 0x{code:02x}")  # Rule 13.
    told = body.fields(ERROR if code >= 0x80 else LAYOUTS.get(f"{operation} {word}", "|"))
    if code >= 0x80:
        told = {name: value.decode() if isinstance(value, bytes) else value for name, value in told.items()}
        return Error(word or "unavailable", told.pop("message"), code >= 0xC0, **told)
    told.update(told.pop("rows", {}), outcome=word)
    if "kept" in told:
        told["not_kept"] = told.pop("kept")
    if "metadata" in told:
        pairs, told["metadata"] = Body(told["metadata"]), []
        while pairs.at < len(pairs.octets):
            told["metadata"].append(tuple(pairs.fields("name:*H value:*H").values()))
        told["body"] = told["body"] if told["not_kept"] is None else None
    if "checkpoint" in told:
        left = told["checkpoint"] and Body(told["checkpoint"])
        told["checkpoint_ordinal"], told["checkpoint"] = (left.one("I"), left.octets[4:]) if left else (0, None)
    return told


def pack(letters, *values):
    return struct.pack("<" + letters, *values)


def varying(letters, *parts):
    """The lengths of the parts, each in its letter, then the parts."""
    return pack(letters, *map(len, parts)) + b"".join(parts)


def optional(tag, value):
    """An optional field: none for None, a number as a u64, bytes as they are."""
    value = pack("Q", value) if isinstance(value, int) else value
    return b"" if value is None else pack("B", tag) + varying("I", value)


def token(fence, attempt):
    if len(attempt) != 16:
        raise ValueError("an attempt id has 16 bytes")
    return pack("Q", fence) + attempt


class Pending:
    """A request that was sent. `cancel()` ends its wait, so that the answer comes at once, as things stand."""

    def __init__(self, operation, wait, cancel):
        self.operation, self.wait, self.cancel = operation, wait, cancel
        self._there, self._answer = threading.Event(), None

    def settle(self, answer):
        self._answer = answer
        self._there.set()

    def result(self, timeout):
        """The answer, or TimeoutError if it takes more than `timeout` seconds; ask again as often as you like."""
        if not self._there.wait(timeout):
            raise TimeoutError("no reply yet")
        if isinstance(self._answer, Error):
            raise self._answer
        return self._answer


class Client:
    """`address` is `(host, port)` or a path. `patience` is how many seconds a reply may take beyond its wait; those who
    repeat can do with the half second of rule 15. `hello` is the server's reply: its limits, your rights, and the boot
    epoch to compare after reconnecting (rule 17)."""

    def __init__(self, address, namespace, *, credential=b"", patience=10.0):
        if isinstance(address, str):
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(1.0)
            self._socket.connect(address)
        else:
            self._socket = socket.create_connection(address, timeout=1.0)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(patience)
        self.patience, self.hello = patience, {"max_frame": 8192, "wait_max": 0}  # Until HELLO is accepted.
        self._lock, self._writing, self._pending, self._number = threading.Lock(), threading.Lock(), {}, 0
        self._ended = self._last_word = None  # Why the connection has ended, and what the server said of that.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        asked = pack("4sHHQI", b"ONWD", 1, 1, 0, MAX_FRAME) + varying("HH", namespace.encode(), credential)
        try:
            self.hello = self._call("hello", asked)
        except (Error, TimeoutError) as error:
            self.close()
            raise self._last_word or error

    def close(self):
        """Ends the connection, and the waits on it. Leases run on."""
        self._hang_up()
        self._reader.join()

    def ping(self, echo=0):
        return self._call("ping", pack("Q", echo))

    def begin(self, scope, key, **arguments):
        return self._await(self.send_begin(scope, key, **arguments))

    def send_begin(self, scope, key, *, attempt, fingerprint=None, lease=30_000, retention=86_400_000,
                   policy="takeover", wait=0, result_hint=None, checkpoint_hint=None):
        kind, digest = {None: (0, b""), "later": (1, b"")}.get(fingerprint, (2, fingerprint))
        fixed = pack("QQQBB", lease, retention, wait, {"takeover": 1, "in_doubt": 2}[policy], kind)
        hints = optional(1, result_hint) + optional(2, checkpoint_hint)
        return self._send("begin", token(0, attempt)[8:], fixed, varying("BHH", digest, scope, key), hints, wait=wait)

    def complete(self, scope, key, *, fence, attempt, **result):
        """The result is `status`, `metadata`, `body` (None: you decline to have it kept) and `fingerprint`."""
        return self._call("complete", self._result(token(fence, attempt), scope, key, **result))

    def abandon(self, scope, key, *, fence, attempt, certainty):
        certainty = pack("B", {"not_done": 1, "in_doubt": 2}[certainty])
        return self._call("abandon", token(fence, attempt), certainty, varying("HH", scope, key))

    def renew(self, scope, key, *, fence, attempt, lease=30_000, fingerprint=None):
        identity = varying("HH", scope, key)
        return self._call("renew", token(fence, attempt), pack("Q", lease), identity, optional(1, fingerprint))

    def checkpoint(self, scope, key, *, fence, attempt, ordinal, bytes):
        return self._call("checkpoint", token(fence, attempt), pack("I", ordinal), varying("HHI", scope, key, bytes))

    def get(self, scope, key, *, wait=0):
        return self._await(self.send_get(scope, key, wait=wait))

    def send_get(self, scope, key, *, wait=0):
        return self._send("get", pack("Q", wait), varying("HH", scope, key), wait=wait)

    def resolve(self, scope, key, *, fence, doubt_number, verdict, **result):
        """`verdict` is `completed` with a result as in `complete`, or `never_done`, which has none."""
        judged = pack("QIB", fence, doubt_number, {"completed": 1, "never_done": 2}[verdict])
        result = result if verdict == "completed" else {"status": 0}
        return self._call("resolve", self._result(judged, scope, key, **result))

    def forget(self, scope, key, *, fence):
        return self._call("forget", pack("Q", fence), varying("HH", scope, key))

    def list(self, *, state=None, older_than=None, cursor=0, entries_max=100):
        """One page; `next` is the cursor of the next page, None after the last."""
        state = {None: 0, "reserved": 1, "in_doubt": 2, "completed": 3}[state]
        return self._call("list", pack("QHB", cursor, entries_max, state), optional(1, older_than))

    def stats(self):
        return self._call("stats", pack("B", 0))

    def _result(self, judged, scope, key, *, status=200, metadata=(), body=b"", fingerprint=None):
        pairs = b"".join(varying("HH", name, value) for name, value in metadata)
        head, tail = judged + pack("H", status), optional(1, fingerprint)
        request = head + pack("B", 0) + varying("HHII", scope, key, pairs, body or b"") + tail
        if body is None or len(request) > self.hello["max_frame"]:  # Rule 11: so retries learn that the work is done.
            request = head + pack("B", 2) + varying("HHII", scope, key, pairs, b"") + tail
        return request

    def _call(self, operation, *parts):
        return self._await(self._send(operation, *parts))

    def _await(self, pending):
        try:
            return pending.result(self.patience + min(pending.wait, self.hello["wait_max"]) / 1000)
        except TimeoutError:  # Rule 15. The number stays reserved, and the late reply goes nowhere.
            if pending.wait:
                pending.cancel()
            raise

    def _send(self, operation, *parts, wait=0):
        body = b"".join(parts)
        if len(body) > self.hello["max_frame"]:
            raise Error("frame_too_large", f"{len(body)} bytes, where {self.hello['max_frame']} is the most; not sent")
        with self._lock:
            self._number = number = self._number + 1
            pending = Pending(operation, wait, lambda: self._send("cancel", pack("Q", number)))
            if self._ended is not None:
                pending.settle(self._ended)
            elif operation != "cancel":  # That has no reply.
                self._pending[number] = pending
        try:
            with self._writing:
                self._socket.sendall(pack("IBBHQ", len(body), OPCODES[operation], 0, 0, number) + body)
        except OSError:
            self._hang_up()  # The reader reads what is still there, then settles all.
        return pending

    def _hang_up(self):
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _read(self):
        """The reader thread: gives replies to those who wait for them, until the connection ends."""
        last = False
        try:
            while not last:
                length, opcode, flags, reserved, number = struct.unpack("<IBBHQ", self._exactly(16))
                if not 1 <= length <= self.hello["max_frame"] or flags != 1 or reserved != 0:
                    raise ValueError("a header breaks the rules")
                octets, pending = self._exactly(length), self._pending.get(number)
                answer = decode(pending and pending.operation, octets)
                last = isinstance(answer, Error) and (answer.closes or number == 0)
                if pending is None and last:
                    self._last_word = answer  # To the connection, or to a CANCEL.
                elif pending is None or OPCODES[pending.operation] != opcode:
                    raise ValueError("a reply to what was not asked")
                else:
                    del self._pending[number]
                    pending.settle(answer)
            end = self._last_word or "the server closes"
        except Exception as fault:  # Decoding, too, raises where the server breaks the protocol.
            end = fault
        self._hang_up()
        with self._lock:
            self._ended = Error("unavailable", f"the connection has ended: {end!r}")
        for pending in self._pending.values():
            pending.settle(self._ended)
        with self._writing:
            self._socket.close()

    def _exactly(self, size):
        octets = bytearray()
        while len(octets) < size:
            with contextlib.suppress(socket.timeout):  # A time-out of the socket's is for sending.
                some = self._socket.recv(size - len(octets))
                if not some:
                    raise EOFError("no more replies")
                octets += some
        return bytes(octets)
