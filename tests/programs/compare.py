"""usage: compare.py DIFFERS PLAIN... -- SHIM...
What of each test's outcome and time, in files of passes.py, is not the same with the shim. Prints a
line a test: HOW ID WHAT, and exits with 1 if there is one with HOW
  suspect   after one run each: to be run again
  differs   it did not once fare so without the shim, or takes longer in every run
else HOW is
  listed    the file DIFFERS names it, what may differ, and why
  flaky     fares now so, now so without the shim too, or has once done otherwise with it in many runs
"""
import fnmatch
import sys

TIMES, SECONDS = 2, 1  # a stall: more than so many times as long, and so many seconds


def load(paths):
    runs = {}
    for path in paths:
        with open(path) as lines:
            for line in lines:
                outcome, seconds, test = line.split()
                runs.setdefault(test, []).append((outcome, float(seconds)))
    return runs


def read_list(path):
    with open(path) as lines:
        return [line.strip().split(None, 2) for line in lines if line.strip() and line[0] != "#"]


def excused(known, test, strange, more):
    """why it may differ so: in its outcome, or in taking `more` seconds longer"""
    for pattern, what, why in known:
        if fnmatch.fnmatchcase(test, pattern) and (what == "outcome" or not strange and more <= float(what)):
            return why
    return None


def judge(known, test, plain, shim):
    """how, what; how is None where there is no difference"""
    runs = max(len(plain), len(shim))
    plain, shim = (side + [("missing", 0.0)] * (runs - len(side)) for side in (plain, shim))
    outcomes, others = ([outcome for outcome, _ in side] for side in (plain, shim))
    fastest, with_shim = (min(seconds for _, seconds in side) for side in (plain, shim))
    stalls = with_shim > fastest * TIMES + SECONDS
    strange = sum(outcome not in outcomes for outcome in others)
    if not strange and not stalls:
        return None, ""
    what = f"{' '.join(outcomes)} without, {' '.join(others)} with"
    if stalls:
        what += f", {fastest} s without, {with_shim} s with"
    why = excused(known, test, strange, with_shim - fastest)
    if why:
        return "listed", f"{what}: {why}"
    if runs == 1:
        return "suspect", what
    return "differs" if stalls or strange > 1 else "flaky", what


def main():
    split = sys.argv.index("--")
    known, plain, shim = read_list(sys.argv[1]), load(sys.argv[2:split]), load(sys.argv[split + 1 :])
    bad = False
    for test in sorted(plain.keys() | shim.keys()):
        how, what = judge(known, test, plain.get(test, []), shim.get(test, []))
        if how:
            print(how, test, what)
        bad |= how in ("suspect", "differs")
    sys.exit(bad)


if __name__ == "__main__":
    main()
