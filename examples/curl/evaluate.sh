#!/bin/sh
# The interface with nothing but curl: a program, then a sandbox that stays open. Wants `crucible serve`; SERVER is its address.
set -eu
server=${SERVER:-http://127.0.0.1:8080}
json='content-type: application/json'

# A program, and what comes of it.
curl --silent --show-error --fail -H "$json" "$server/v1/evaluations?wait=30s" \
  -d '{"code": "print(6 * 7)", "limits": {"timeout": "5s"}}'
echo

# A sandbox, in which a command reads a file that was put there.
id=$(curl --silent --show-error --fail -H "$json" "$server/v1/sandboxes" -d '{}' | sed 's/^{"id":"\([^"]*\)".*/\1/')
printf 'hello\n' | curl --silent --show-error --fail -T - "$server/v1/sandboxes/$id/files?path=greeting"
curl --silent --show-error --fail -H "$json" "$server/v1/sandboxes/$id/exec" -d '{"command": ["cat", "greeting"]}'
echo
# What the host saw of it.
curl --silent --show-error --fail "$server/v1/sandboxes/$id/record"
echo
curl --silent --show-error --fail -X DELETE "$server/v1/sandboxes/$id"
