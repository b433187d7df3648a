"""Writes programs differently, for `crucible bench scan`: one JSON request in, one JSON answer out.

The request is a list of programs; the answer has, for each and each mutation that changes it, the mutated program. A
mutation keeps what the program does, but for programs that look at their own names. Nothing here runs any of them: they
are parsed, changed, printed and compiled.

`printed` changes nothing but the layout and is what a mutation's result is compared with: a program whose rule no longer
sees it once comments and layout are gone isn't a matter of how it names and writes things.
"""

import ast
import base64
import builtins
import json
import sys

# Names that stay: what they mean comes from where they stand.
FIXED = set(dir(builtins)) | {"self", "cls", "__name__", "__file__", "__builtins__"}
# Built-in functions that a program may want to hide the use of.
HIDDEN = {"eval", "exec", "compile", "open", "__import__", "getattr", "setattr", "globals", "locals", "vars", "input",
          "breakpoint"}


def bound_names(tree):
    """Every name that is bound anywhere, with how often and by what kind of statement."""
    bound = {}
    def add(name, kind):
        bound.setdefault(name, []).append(kind)
    for node in ast.walk(tree):
        if isinstance(node, ast.alias):
            add(node.asname or node.name.split(".")[0], "import")
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            add(node.id, "name")
        elif isinstance(node, ast.arg):
            add(node.arg, "argument")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            add(node.name, "definition")
        elif isinstance(node, ast.ExceptHandler) and node.name:
            add(node.name, "other")
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            for name in node.names:
                add(name, "other")
        elif isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name:
            add(node.name, "other")
        elif isinstance(node, ast.MatchMapping) and node.rest:
            add(node.rest, "other")
        else:
            for parameter in getattr(node, "type_params", []):
                add(parameter.name, "other")
    return bound


def imported(tree):
    """Names that imports alone bind, and that always mean the same."""
    bound, meanings = bound_names(tree), {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                what = alias.name if isinstance(node, ast.Import) else (node.module, node.level, alias.name)
                if isinstance(node, ast.Import) and not alias.asname:
                    what = alias.name.split(".")[0]
                meanings.setdefault(alias.asname or alias.name.split(".")[0], set()).add(what)
    return {name for name, what in meanings.items() if len(what) == 1 and set(bound[name]) == {"import"}}


def fresh(tree):
    """Names that are nowhere in the program, one after the other."""
    taken = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | set(bound_names(tree)) | FIXED
    number = 0
    while True:
        number += 1
        if f"v{number}" not in taken:
            yield f"v{number}"


class Renamed(ast.NodeTransformer):
    """Gives names other names, wherever they are used or bound by a name, an argument, a definition or an import."""

    def __init__(self, names):
        self.names = names

    def visit_Name(self, node):
        node.id = self.names.get(node.id, node.id)
        return node

    def visit_arg(self, node):
        self.generic_visit(node)
        node.arg = self.names.get(node.arg, node.arg)
        return node

    def visit_definition(self, node):
        self.generic_visit(node)
        node.name = self.names.get(node.name, node.name)
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_definition

    def visit_Global(self, node):
        node.names = [self.names.get(name, name) for name in node.names]
        return node

    visit_Nonlocal = visit_Global

    def visit_alias(self, node):
        new = self.names.get(node.asname or node.name)
        if new:
            node.asname = new
        return node


def renamed_imports(tree):
    """`import os` becomes `import os as v1`, `from os import system` becomes `from os import system as v1`."""
    dotted = {alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
              if "." in alias.name and not alias.asname}
    future = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "__future__"
              for alias in node.names}
    news = fresh(tree)
    names = {name: next(news) for name in sorted(imported(tree) - dotted - future - {"*"})}
    return Renamed(names).visit(tree)


def renamed_variables(tree):
    """What the program itself binds gets names that say nothing. Arguments that a call names keep theirs."""
    named = {keyword.arg for node in ast.walk(tree) if isinstance(node, ast.Call) for keyword in node.keywords}
    # Methods and attributes are reached by name from elsewhere.
    inside = {inner.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for inner in node.body
              if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef))}
    inside |= {target.id for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for inner in node.body
               for target in ast.walk(inner) if isinstance(target, ast.Name) and not isinstance(target.ctx, ast.Load)}
    news = fresh(tree)
    names = {}
    for name, kinds in sorted(bound_names(tree).items()):
        known = set(kinds) <= {"name", "argument", "definition"}
        if known and name not in FIXED | named | inside and not name.startswith("__"):
            names[name] = next(news)
    return Renamed(names).visit(tree)


def expression(text):
    return ast.parse(text, mode="eval").body


def split(value):
    middle = max(1, len(value) // 2)
    return expression(f"{value[:middle]!r} + {value[middle:]!r}")


def as_hex(value):
    if isinstance(value, bytes):
        return expression(f"bytes.fromhex({value.hex()!r})")
    return expression(f"bytes.fromhex({value.encode().hex()!r}).decode()")


def as_base64(value):
    text = base64.b64encode(value if isinstance(value, bytes) else value.encode()).decode()
    decoded = f"__import__('base64').b64decode({text!r})"
    return expression(decoded if isinstance(value, bytes) else f"{decoded}.decode()")


def as_base64_import(value):
    text = base64.b64encode(value if isinstance(value, bytes) else value.encode()).decode()
    return expression(f"b64decode({text!r})" if isinstance(value, bytes) else f"b64decode({text!r}).decode()")


def as_numbers(value):
    if isinstance(value, bytes):
        return expression(f"bytes({list(value)!r})")
    return expression(f"''.join(map(chr, {[ord(one) for one in value]!r}))")


def as_characters(value):
    if isinstance(value, bytes):
        return expression(" + ".join(f"bytes([{one}])" for one in value))
    return expression("''.join([" + ", ".join(f"chr({ord(one)})" for one in value) + "])")


def reversed_text(value):
    return expression(f"{value[::-1]!r}[::-1]")


class Encoded(ast.NodeTransformer):
    """Writes string and byte constants of at least two characters by an expression that gives them."""

    def __init__(self, encode):
        self.encode = encode
        self.changed = False

    def visit_Constant(self, node):
        if isinstance(node.value, (str, bytes)) and 2 <= len(node.value) <= 400 and self.can_be_encoded(node.value):
            self.changed = True
            return self.encode(node.value)
        return node

    @staticmethod
    def can_be_encoded(value):
        # Lone surrogates have no bytes.
        return isinstance(value, bytes) or value.isascii() or not any("\ud800" <= one <= "\udfff" for one in value)

    def visit_JoinedStr(self, node):
        # The text between the braces may be written anew; what is outside them can't.
        node.values = [value if isinstance(value, ast.Constant) else self.visit(value) for value in node.values]
        return node

    visit_TemplateStr = visit_JoinedStr

    def visit_FormattedValue(self, node):
        # Quotes inside an f-string are not for every version of Python.
        return node

    def visit_Expr(self, node):
        # A string that stands alone says something to a reader only.
        return node if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_match_case(self, node):
        node.body = [self.visit(inner) for inner in node.body]
        return node


def encoded(encode):
    def mutation(tree):
        return Encoded(encode).visit(tree)
    return mutation


def encoded_base64(tree):
    """With an import as a program would have it."""
    visitor = Encoded(as_base64_import)
    tree = visitor.visit(tree)
    if visitor.changed:
        tree.body.insert(first_place(tree), ast.parse("from base64 import b64decode").body[0])
    return tree


def first_place(tree):
    """After the docstring and imports from the future."""
    place = 0
    for place, node in enumerate(tree.body):
        documents = place == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not documents and not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            return place
    return place


def constant(value):
    return ast.Constant(value)


def call(function, *arguments):
    return ast.Call(func=function, args=list(arguments), keywords=[])


def load(name):
    return ast.Name(id=name, ctx=ast.Load())


class ByGetattr(ast.NodeTransformer):
    """`os.system` becomes `getattr(os, 'system')`, and `eval` becomes `getattr(__import__('builtins'), 'eval')`."""

    def __init__(self, modules, own, name_of):
        self.modules, self.own, self.name_of = modules, own, name_of

    def visit_Attribute(self, node):
        inner, root = node, node.value
        while isinstance(root, ast.Attribute):
            root = root.value
        self.generic_visit(node)
        if isinstance(inner.ctx, ast.Load) and isinstance(root, ast.Name) and root.id in self.modules:
            return call(load("getattr"), node.value, self.name_of(node.attr))
        return node

    def visit_Name(self, node):
        if isinstance(node.ctx, ast.Load) and node.id in HIDDEN - {"getattr", "__import__"} and node.id not in self.own:
            return call(load("getattr"), call(load("__import__"), constant("builtins")), self.name_of(node.id))
        return node

    def visit_FormattedValue(self, node):
        return node

    def visit_decorator_owner(self, node):
        decorators, node.decorator_list = node.decorator_list, []
        self.generic_visit(node)
        node.decorator_list = decorators
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_decorator_owner

    def visit_match_case(self, node):
        node.body = [self.visit(inner) for inner in node.body]
        return node


def by_getattr(name_of):
    def mutation(tree):
        return ByGetattr(imported(tree), set(bound_names(tree)), name_of).visit(tree)
    return mutation


class ByCall(ast.NodeTransformer):
    """Imports become assignments from a call that imports."""

    def __init__(self, module):
        self.module = module

    def visit_Import(self, node):
        made = []
        for alias in node.names:
            top = alias.name.split(".")[0]
            if alias.asname and "." in alias.name:
                made.append(self.assignment(alias.asname, self.module(alias.name, True)))
            elif alias.name == top:
                made.append(self.assignment(alias.asname or top, self.module(top, False)))
            else:
                # Binds the outermost package, with the inner one loaded.
                made.append(ast.Expr(self.module(alias.name, True)))
                made.append(self.assignment(top, self.module(top, False)))
        return made

    def visit_ImportFrom(self, node):
        if node.level or not node.module or node.module == "__future__" or any(one.name == "*" for one in node.names):
            return node
        made = []
        for alias in node.names:
            value = ast.Attribute(value=self.module(node.module, True, alias.name), attr=alias.name, ctx=ast.Load())
            made.append(self.assignment(alias.asname or alias.name, value))
        return made

    @staticmethod
    def assignment(name, value):
        return ast.Assign(targets=[ast.Name(id=name, ctx=ast.Store())], value=value, type_comment=None)


def by_dunder_import(name_of):
    def module(name, inner, wanted=""):
        given = call(load("__import__"), name_of(name))
        if inner and ("." in name or wanted):
            # Without it, the outermost package would come, and no module of its own that is wanted would be loaded.
            given.keywords = [ast.keyword(arg="fromlist", value=expression(repr([wanted])))]
        return given

    def mutation(tree):
        return ByCall(module).visit(tree)
    return mutation


def by_importlib(tree):
    def module(name, _inner, _wanted=""):
        return call(ast.Attribute(value=load("importlib"), attr="import_module", ctx=ast.Load()), constant(name))

    if "importlib" in bound_names(tree):
        return tree
    before = ast.dump(tree)
    tree = ByCall(module).visit(tree)
    if ast.dump(tree) != before:
        tree.body.insert(first_place(tree), ast.parse("import importlib").body[0])
    return tree


def everything(tree):
    """Several at once: names by __import__ and getattr, both with encoded names, other strings in base64."""
    modules, own = imported(tree), set(bound_names(tree))
    tree = ByGetattr(modules, own, constant).visit(tree)
    tree = by_dunder_import(constant)(tree)
    ast.fix_missing_locations(tree)
    tree = renamed_variables(tree)
    return encoded_base64(tree)


MUTATIONS = {
    "printed": ("none", lambda tree: tree),
    "renamed imports": ("renaming", renamed_imports),
    "renamed variables": ("renaming", renamed_variables),
    "split strings": ("encoding", encoded(split)),
    "hexadecimal strings": ("encoding", encoded(as_hex)),
    "base64 strings": ("encoding", encoded_base64),
    "base64 strings by __import__": ("encoding", encoded(as_base64)),
    "strings from numbers": ("encoding", encoded(as_numbers)),
    "strings from chr": ("encoding", encoded(as_characters)),
    "reversed strings": ("encoding", encoded(reversed_text)),
    "getattr": ("getattr", by_getattr(constant)),
    "getattr of split names": ("getattr", by_getattr(split)),
    "__import__": ("getattr", by_dunder_import(constant)),
    "__import__ of reversed names": ("getattr", by_dunder_import(reversed_text)),
    "importlib": ("getattr", by_importlib),
    "several at once": ("several", everything),
}


def mutants_of(code):
    """Name, kind and text of each mutant that differs from what is merely printed anew."""
    plain = ast.unparse(ast.parse(code))
    for name, (kind, mutation) in MUTATIONS.items():
        tree = ast.fix_missing_locations(mutation(ast.parse(code)))
        text = ast.unparse(tree)
        if kind == "none" or text != plain:
            compile(text, f"<{name}>", "exec", dont_inherit=True)
            yield {"mutation": name, "kind": kind, "code": text + "\n"}


def main():
    programs, mutants, unparsed = json.load(sys.stdin), [], []
    for index, program in enumerate(programs):
        try:
            ast.parse(program)
        except (SyntaxError, ValueError):
            unparsed.append(index)
            continue
        try:
            mutants += [{"program": index, **mutant} for mutant in mutants_of(program)]
        except (SyntaxError, ValueError, RecursionError) as error:
            json.dump({"error": f"program {index} has a mutant that can't be compiled: {error}", "hint": program}, sys.stdout)
            return
    json.dump({"mutations": [{"name": name, "kind": kind} for name, (kind, _) in MUTATIONS.items()],
               "mutants": mutants, "unparsed": unparsed}, sys.stdout)


if __name__ == "__main__":
    main()
