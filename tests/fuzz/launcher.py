#!/usr/bin/env python3
"""launcher.py LAUNCHER SECONDS [SEED]: any arguments for lingerclose --print.

Either it exits with 125 and one sentence, or what it prints is an environment that sh reads as the values that were
given, and that the shim accepts without a warning. Nothing of the arguments is ever executed: the words below would
leave a file. And a command gets its words as they are."""
import os
import random
import subprocess
import sys
import tempfile
import time

TIMES = ["0", "1", ".5s", "5.", "250ms", "1440m", "86400", "86400.0", "86400001ms", "00007s", "1.000000001"]
SIZES = ["auto", "0", "1K", ".5M", "1073741824G", "1000000000000", "1000000000001", "007"]
OPTIONS = {"--mode": ["sync", "background", "auto"], "--steps": ["linger,drain", "shutdown,shutdown", "drain"],
           "--linger": TIMES, "--drain": TIMES, "--idle": TIMES, "--exit": TIMES, "--drain-bytes": SIZES,
           "--roles": ["accepted,connected", "connected"], "--when": ["always", "pending"], "--abort": ["keep", "linger"],
           "--max": ["0", "4096", "1000000", "1000001", "0000001"], "--shutdown": ["on", "off"],
           "--families": ["tcp,unix", "unix"], "--ports": ["0", "25,80,8000-8999", "65535", "00025", "1-1", "2-1"],
           "--nodelay": ["on", "off"], "--cork": ["on", "off"],
           "--programs": ["a b", "!x,y", "$(touch DONE)", "!!", "-"], "--log": ["off", "stderr"], "--stats": ["off"]}
ALONE = ["--nodelay", "--cork"]  # these take a value after = only
FLAGS = ["--off", *ALONE, "--print", "--help", "--version", "--unit", "--status", "--check", "--report", "--", "-x", "--nothing", "-"]
WORDS = ["on", "off", "auto", "sync", "background", "linger", "shutdown", "drain", "accepted", "connected", "always",
         "pending", "keep", "tcp", "unix", "stderr", "syslog", "journal", "!", ",", "-", ".", "ms", "s", "m", "K", "M", "G",
         "0", "1", "25", "64", "80", "1440", "65535", "65536", "86400", "1000000", "1000000000000", "08", "0x10", "1e3",
         " ", "\t", "\n", "'", '"', "\\", "$", "`", "*", "?", "[a-z]", "~", "#", ";", "|", "&", "\033", "\x7f", "\xe4", "=",
         "$(touch DONE)", "`touch DONE`", "';touch DONE;'", '";touch DONE;"', "\ntouch DONE\n", "${HOME}", "$$", "nginx"]


class Wrong(Exception):
    pass


def value(r):
    return "".join(r.choice(WORDS) for _ in range(r.choice((0, 1, 1, 1, 1, 2, 2, 3, 4, 6, 70))))


def path(r, place):
    """A directory with a difficult name that is there: what cannot be opened is rightly warned of."""
    name = "d" + value(r).replace("/", "")[:40]
    os.makedirs(os.path.join(place, name), exist_ok=True)
    return os.path.join(place, name)


def arguments(r, place):
    words, given = [], {}
    for _ in range(r.choice((0, 1, 1, 1, 2, 3, 6))):
        if r.random() < 0.05:
            words.append(r.choice(FLAGS) if r.random() < 0.8 else value(r))
            given = None
            continue
        option = r.choice(list(OPTIONS))
        text = r.choice(OPTIONS[option]) if r.random() < 0.5 else value(r)
        if option == "--stats" and not text.startswith("/"):
            text = r.choice((text, path(r, place)))
        if option == "--log" and r.random() < 0.5:
            text = path(r, place) + "/log"
        if option == "--log" and text in ("syslog", "journal"):
            text = "stderr"  # these may not be listening here
        words += [option + "=" + text] if option in ALONE or r.random() < 0.5 else [option, text]
        if given is not None:
            given["LINGERCLOSE" + option[1:].replace("-", "_").upper()] = text
    return words, given


def run(words, place, **more):
    return subprocess.run(words, cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=20, check=False, **more)


def judge(launcher, place, words, given):
    env = {"PATH": os.environ["PATH"]}
    p = run([b"sh", launcher.encode(), b"--print"] + [os.fsencode(w) for w in words], place, env=env)
    if p.returncode == 125:
        if p.stdout or not p.stderr.startswith(b"lingerclose: ") or p.stderr.count(b"\n") != 1 or p.stderr[-1:] != b"\n":
            raise Wrong(f"125 without one sentence: {p.stdout!r} {p.stderr!r}")
        if any(c < 32 and c != 10 or c == 127 for c in p.stderr):
            raise Wrong(f"a control character is printed: {p.stderr!r}")
        return "refused"
    if given is None:
        return "other"
    if p.returncode or p.stderr:
        raise Wrong(f"neither 125 nor 0: {p.returncode} {p.stderr!r}")
    read = run([b"sh", b"-c", p.stdout + b"exec env -0"], place, env=env)
    got = dict(e.split(b"=", 1) for e in read.stdout.split(b"\0") if e)
    preload = got.pop(b"LD_PRELOAD", b"")
    got = {n: v for n, v in got.items() if n.startswith(b"LINGERCLOSE")}
    if got != {os.fsencode(n): os.fsencode(v) for n, v in given.items()}:
        raise Wrong(f"sh reads {got!r} from {p.stdout!r}")
    shim = run(["/bin/true"], place, env={**env, **{os.fsdecode(n): os.fsdecode(v) for n, v in got.items()},
                                          "LD_PRELOAD": os.fsdecode(preload)})
    if shim.returncode or shim.stdout or shim.stderr:
        raise Wrong(f"the shim says {shim.stderr!r}")
    return "accepted"


def passed_on(launcher, place, r):
    words = [os.fsencode(value(r)) for _ in range(r.randrange(4))]
    p = run([b"sh", launcher.encode(), b"--", b"env", b"printf", b"%s\\0", *words], place, env={"PATH": os.environ["PATH"]})
    if p.stdout != b"".join(w + b"\0" for w in words) + (b"" if words else b"\0") or p.stderr:
        raise Wrong(f"the command gets {p.stdout!r} {p.stderr!r} for {words!r}")


def main():
    launcher, seconds = os.path.abspath(sys.argv[1]), float(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else time.time_ns()
    r = random.Random(seed)
    counts = {"refused": 0, "accepted": 0, "other": 0}
    until = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as place:
        while time.monotonic() < until:
            words, given = arguments(r, place)
            try:
                counts[judge(launcher, place, words, given)] += 1
                passed_on(launcher, place, r)
                if os.path.exists(os.path.join(place, "DONE")):
                    raise Wrong("a word of the arguments was executed")
            except Wrong as wrong:
                sys.exit(f"launcher: seed {seed}: {words!r}: {wrong}")
    print(f"launcher: {sum(counts.values())} runs:", ", ".join(f"{n} {what}" for what, n in counts.items()))


main()
