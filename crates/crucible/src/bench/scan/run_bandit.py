"""Has bandit look at files: one JSON request in, one JSON answer out with its findings and the time they took.

Only the looking is timed, not how bandit is started or its report. Comments that tell it to look away are not heeded, so
that it finds what it can.
"""

import json
import sys
import time


def main():
    request = json.load(sys.stdin)
    sys.path.insert(0, request["library"])
    from bandit.core import config, manager

    looking = manager.BanditManager(config.BanditConfig(), "file", quiet=True, ignore_nosec=True)
    looking.discover_files(request["files"])
    start = time.perf_counter()
    looking.run_tests()
    seconds = time.perf_counter() - start
    answer = {
        "seconds": seconds,
        "findings": [
            {"file": found.fname, "rule": found.test_id, "severity": found.severity.lower(), "line": found.lineno}
            for found in looking.get_issue_list()
        ],
        "looked_at": len(looking.files_list) + len(looking.get_skipped()),
        "unread": [{"file": name, "reason": reason} for name, reason in looking.get_skipped()],
    }
    json.dump(answer, sys.stdout)


main()
