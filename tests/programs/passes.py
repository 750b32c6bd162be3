"""usage: passes.py FILE NAME... [-TEXT...]
Runs unittest's NAMEs (modules, classes, tests) but for tests with TEXT in their names; FILE gets a
line a test: OUTCOME SECONDS ID.
Why a test failed goes to standard error. No watchdog: its thread would change what is tested.
"""
import sys
import time
import unittest

WORST = ["ok", "skipped", "unexpected", "failed"]


class Result(unittest.TestResult):
    """A test with subtests is as bad as the worst of them."""

    def __init__(self, file):
        super().__init__()
        self.file, self.running = file, False

    def startTest(self, test):
        super().startTest(test)
        self.running, self.outcome, self.began = True, "ok", time.monotonic()

    def stopTest(self, test):
        super().stopTest(test)
        self.running = False
        self.say(test, self.outcome, time.monotonic() - self.began)

    def say(self, test, outcome, seconds):
        print(outcome, f"{seconds:.2f}", test.id().replace(" ", "_"), file=self.file, flush=True)

    def became(self, test, outcome, why):
        print(f"{outcome}: {test.id()}\n{why}", file=sys.stderr, flush=True)
        if self.running:
            self.outcome = max(self.outcome, outcome, key=WORST.index)
        else:  # a class's or a module's set-up: no test reports it
            self.say(test, outcome, 0)

    def addError(self, test, err):
        self.became(test, "failed", self._exc_info_to_string(err, test))

    addFailure = addError

    def addSubTest(self, test, subtest, err):
        if err:
            self.became(test, "failed", self._exc_info_to_string(err, test))

    def addSkip(self, test, reason):
        self.became(test, "skipped", reason)

    def addUnexpectedSuccess(self, test):
        self.became(test, "unexpected", "")


def each(tests):
    for test in tests:
        yield from each(test) if isinstance(test, unittest.BaseTestSuite) else [test]


def main():
    with open(sys.argv[1], "w") as file:
        names = [name for name in sys.argv[2:] if name[0] != "-"]
        without = [name[1:] for name in sys.argv[2:] if name[0] == "-"]
        del sys.argv[1:]
        if names[0].startswith("test."):
            from test import support

            support.use_resources = ["network"]  # what test_socketserver asks for; nothing large
            support.verbose = 0
        tests = unittest.defaultTestLoader.loadTestsFromNames(names)
        if without:
            tests = unittest.TestSuite(t for t in each(tests) if not any(text in t.id() for text in without))
        tests.run(Result(file))


if __name__ == "__main__":
    main()
