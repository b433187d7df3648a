"""The page of the HTTP interface, made of the interface's own description, `web/openapi.json`, whenever the site is built."""

import json
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

DESCRIPTION = Path(__file__).resolve().parents[2] / "web/openapi.json"
PROBLEM = "application/problem+json"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds the page."""
    files.append(File.generated(config, "http.md", content=_page(json.loads(DESCRIPTION.read_text(encoding="utf-8")))))
    return files


def _page(described: dict[str, Any]) -> str:
    schemas = described["components"]["schemas"]
    parts = [
        "# HTTP interface\n",
        "Every route and every type, as `/openapi.json` of a running service describes them. [The service](service.md) tells how "
        "they are meant to be used, [Sandboxes that stay open](sandboxes.md) how those of sandboxes are. Failures are problem "
        "documents by RFC 9457: [HttpProblem](#httpproblem).\n",
        "| failure | means |\n|---|---|\n" + "".join(f"| {status} | {meaning} |\n" for status, meaning in _failures(described)),
        "## Routes\n",
    ]
    for path, methods in described["paths"].items():
        for method, route in methods.items():
            parts.append(_route(f"{method.upper()} {path}", route))
    parts.append("## Types\n")
    parts += [_type(name, schemas[name]) for name in sorted(schemas)]
    return "\n".join(parts)


def _failures(described: dict[str, Any]) -> list[tuple[str, str]]:
    """Each status of a failure with its meanings, of which there is one as a rule."""
    meanings: dict[str, dict[str, None]] = {}
    for methods in described["paths"].values():
        for route in methods.values():
            for status, answer in route.get("responses", {}).items():
                if PROBLEM in answer.get("content", {}):
                    meanings.setdefault(status, {})[_line(answer)] = None
    return [(status, "; ".join(meanings[status])) for status in sorted(meanings)]


def _route(title: str, route: dict[str, Any]) -> str:
    lines = [f"### `{title}`\n", f"{route.get('summary', '')}. {route.get('description', '')}".strip(" .") + ".\n"]
    rows = [
        f"| `{each['name']}` | {each['in']} | {'yes' if each.get('required') else ''} | {_kind(each['schema'])} | {_line(each)} |"
        for each in route.get("parameters", [])
    ]
    if rows:
        lines += ["| parameter | where | required | type | |", "|---|---|---|---|---|", *rows, ""]
    for kind, body in route.get("requestBody", {}).get("content", {}).items():
        lines.append(f"Takes `{kind}`: {_kind(body.get('schema', {}))}.\n")
    lines += ["| answer | | |", "|---|---|---|"]
    failures = []
    for status, answer in route.get("responses", {}).items():
        content = answer.get("content", {})
        if PROBLEM in content:
            failures.append(status)
        else:
            bodies = [f"`{kind}`: {_kind(body.get('schema', {}))}" for kind, body in content.items()]
            lines.append(f"| {status} | {_line(answer)} | {'; '.join(bodies)} |")
    lines.append("")
    if failures:
        lines.append(f"Failures: {', '.join(failures)}.\n")
    return "\n".join(lines)


def _type(name: str, schema: dict[str, Any]) -> str:
    # The id that links of `_kind` lead to, by the same words.
    lines = [f"### {name}\n", f"{schema.get('description', '')}\n"]
    required = set(schema.get("required", []))
    rows = [
        f"| `{field}` | {_kind(each)} | {'yes' if field in required else ''} | {_line(each)} |"
        for field, each in schema.get("properties", {}).items()
    ]
    if rows:
        lines += ["| field | type | always there | |", "|---|---|---|---|", *rows, ""]
    else:
        lines.append(f"{_kind(schema)}\n")
    return "\n".join(lines)


def _line(described: dict[str, Any]) -> str:
    return " ".join(described.get("description", "").split()).replace("|", "\\|")


def _kind(schema: dict[str, Any]) -> str:
    """A type in words."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    for several, word in (("oneOf", " or "), ("anyOf", " or "), ("allOf", " with ")):
        if several in schema:
            return word.join(_kind(each) for each in schema[several])
    kinds = schema.get("type", "anything")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if "array" in kinds and "items" in schema:
        return f"list of {_kind(schema['items'])}" + (" or null" if "null" in kinds else "")
    if "object" in kinds and isinstance(schema.get("additionalProperties"), dict) and schema["additionalProperties"]:
        return f"object of {_kind(schema['additionalProperties'])}"
    if "object" in kinds and "properties" in schema:
        return "object with " + ", ".join(f"`{name}`: {_kind(each)}" for name, each in schema["properties"].items())
    return " or ".join(kinds)
