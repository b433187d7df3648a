"""Runs twenty programs at once, then works in a sandbox that stays open. Needs a `crucible`, or CRUCIBLE_CLIENT_SERVER."""

import os

from crucible_sandbox import ApiError, Client


def main() -> None:
    """All of it, one after the other."""
    server = os.environ.get("CRUCIBLE_CLIENT_SERVER")
    with Client(server) if server else Client.local() as crucible:
        programs = [f"print({number} ** 2)" for number in range(19)] + ["while True: pass"]
        results = crucible.map(programs, timeout=2.0, progress=lambda done, of: print(f"\r{done} of {of}", end=""))
        print()
        for program, result in zip(programs, results, strict=True):
            if isinstance(result, ApiError) or result.outcome is None:
                print(f"{program}: {result}")
            else:
                outcome = result.outcome
                print(f"{program}: {outcome.status}, {outcome.validity}, {outcome.stdout.strip()}")

        with crucible.sandbox(limits={"memory": "512MiB"}) as sandbox:
            sandbox.write_file("numbers.txt", "3\n1\n2\n")
            print(sandbox.exec(["sort", "numbers.txt"]).stdout.split())
            with sandbox.stream(["sh", "-c", "for i in 1 2 3; do echo step $i; sleep 0.1; done"], timeout=10) as events:
                for event in events:
                    print(event)
            print("isolated by", sandbox.record().evidence.isolation)


if __name__ == "__main__":
    main()
