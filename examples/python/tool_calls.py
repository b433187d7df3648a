"""Answers the tool calls of a model that speaks as OpenAI's chat completions do. Needs a service: CRUCIBLE_CLIENT_SERVER.

Reads a chat completion, or its assistant message, from standard input, and prints the messages to go on with: that message
and one of the role `tool` for each call. `examples/openai-tools.json` is what goes into the request as `tools`. What a model
gets wrong is an answer to it, never an end of this program; what the service can't do is an end.
"""

import json
import sys
from pathlib import Path
from typing import Any

from crucible_sandbox import Client
from crucible_sandbox.errors import EvaluationFailed, InvalidInput, Refused

TOOLS = json.loads((Path(__file__).parents[1] / "openai-tools.json").read_text())
# As much of each stream as a model gets: the beginning and the end are what it learns most from.
MOST_CHARACTERS = 8000


def shortened(text: str) -> str:
    """Cuts the middle out of what is too long, and says so."""
    left_out = len(text) - MOST_CHARACTERS
    if left_out <= 0:
        return text
    half = MOST_CHARACTERS // 2
    return f"{text[:half]}\n[{left_out} characters left out]\n{text[-half:]}"


def checked(name: str, arguments: str) -> dict[str, Any]:
    """Reads a call's arguments; a `ValueError` says what is wrong with them, in words for the model."""
    functions = {tool["function"]["name"]: tool["function"]["parameters"] for tool in TOOLS}
    if name not in functions:
        raise ValueError(f"there is no tool {name!r}; there are: {', '.join(functions)}")
    given = json.loads(arguments)
    if not isinstance(given, dict):
        raise ValueError("the arguments have to be an object")
    schema = functions[name]
    if unknown := given.keys() - schema["properties"].keys():
        raise ValueError(f"unknown arguments: {', '.join(sorted(unknown))}")
    if missing := set(schema["required"]) - given.keys():
        raise ValueError(f"missing arguments: {', '.join(sorted(missing))}")
    kinds = {"string": str, "number": (int, float)}
    for key, value in given.items():
        wanted = schema["properties"][key]
        if not isinstance(value, kinds[wanted["type"]]) or isinstance(value, bool):
            raise ValueError(f"{key} has to be a {wanted['type']}")
        if value not in wanted.get("enum", [value]):
            raise ValueError(f"{key} has to be one of {', '.join(wanted['enum'])}")
        if wanted["type"] == "number" and not wanted["exclusiveMinimum"] < value <= wanted["maximum"]:
            raise ValueError(f"{key} has to be above {wanted['exclusiveMinimum']} and at most {wanted['maximum']}")
    return given


def answered(crucible: Client, function: dict[str, Any]) -> dict[str, Any]:
    """Runs one call, and gives what the model is told of it."""
    try:
        given = checked(function["name"], function["arguments"])
        outcome = crucible.run(
            given["code"],
            language=given.get("language"),
            stdin=given.get("stdin"),
            timeout=given.get("timeout_seconds", 10),
        )
    except (ValueError, InvalidInput, Refused, EvaluationFailed) as error:
        return {"error": str(error)}
    return {
        "status": outcome.status,
        "exit_code": outcome.exit_code,
        "stdout": shortened(outcome.stdout),
        "stderr": shortened(outcome.stderr),
        "evaluation": outcome.id,
    }


def main() -> None:
    """Answers every call of the message."""
    message = json.load(sys.stdin)
    if "choices" in message:
        message = message["choices"][0]["message"]
    messages = [message]
    with Client() as crucible:
        for call in message.get("tool_calls") or []:
            content = json.dumps(answered(crucible, call["function"]))
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": content})
    json.dump(messages, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
