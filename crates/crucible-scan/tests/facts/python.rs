//! What the reader of Python sees.

use super::*;

#[test]
fn a_call_is_known_under_every_alias() {
    found(
        "python",
        "python",
        "{ call: os.system }",
        &[
            "import os\nos.system('ls')",
            "import os as o\no.system('ls')",
            "import os, sys\nos . system('ls')",
            "from os import system\nsystem('ls')",
            "from os import system as s\ns('ls')",
            "from os import (\n  path,\n  system as s,\n)\ns('ls')",
            "from os import *\nsystem('ls')",
            "import posix\nposix.system('ls')",
            "import os\nf = os.system\nf('ls')",
            "import os\nf = g = os.system\ng('ls')",
            "import os\nf, g = print, os.system\ng('ls')",
            "import os\n(f := os.system)('ls')",
            "import os\n(lambda: os)().system('ls')",
            "import os\ngetattr(os, 'system')('ls')",
            "import os\ngetattr(os, 'sys' + 'tem')('ls')",
            "import os\nname = 'sys' + 'tem'\ngetattr(os, name)('ls')",
            "__import__('os').system('ls')",
            "__import__('o' + 's').system('ls')",
            "import builtins\nbuiltins.__import__('os').system('ls')",
            "__builtins__.__import__('os').system('ls')",
            "getattr(__builtins__, '__import__')('os').system('ls')",
            "__builtins__['__import__']('os').system('ls')",
            "import importlib\nimportlib.import_module('os').system('ls')",
            "from importlib import import_module as i\ni('os').system('ls')",
            "import os\nvars(os)['system']('ls')",
            "import os\nos.__dict__['system']('ls')",
            "import os\nos.__dict__.get('system')('ls')",
            "import os\nos.__getattribute__('system')('ls')",
            "import os\nobject.__getattribute__(os, 'system')('ls')",
            "globals()['__builtins__'].__import__('os').system('ls')",
            "import os\nglobals()['os'].system('ls')",
            "import sys\nsys.modules['os'].system('ls')",
            "import sys\nsys.modules.get('os').system('ls')",
            "import os\ndef f():\n    os.system('ls')",
            "def f():\n    import os\n    os.system('ls')",
            "class A:\n    def f(self):\n        import os as o\n        o.system('ls')",
            "import os\nd = {'run': os.system}\nd['run']('ls')",
            "import os\nl = [print, os.system]\nl[1]('ls')",
            "eval('os.system')('ls')",
            "import functools, os\nfunctools.partial(os.system, 'ls')()",
            "if x:\n  import os as q\nelse:\n  q = None\nimport os as q\nq.system('ls')",
            "import os; 𝘰𝘴.𝘴𝘺𝘴𝘵𝘦𝘮('ls')",
            "def f():\n    s('ls')\nfrom os import system as s\nf()",
            "def f():\n    global s\n    from os import system as s\ndef g():\n    s('ls')",
            "import os\nasync def f():\n    await os.system('ls')",
            "import os\nx = [os.system(y) for y in z]",
            "import os\n@os.system\ndef f(): pass\nos.system('ls')",
            "import os\ntry:\n    pass\nfinally:\n    os.system('ls')",
            "import os\nwith open('x') as f, os.system('ls') as g: pass",
            "import os\nprint(f'{os.system(\"ls\")}')",
        ],
    );
}

#[test]
fn another_thing_of_the_same_name_is_not_the_call() {
    not_found(
        "python",
        "python",
        "{ call: [os.system, eval] }",
        &[
            "import os\nprint(os.getcwd())",
            "def f(os):\n    os.system('ls')",
            "import os\nos = object()\nos.system('ls')",
            "def eval(x): pass\neval('1')",
            "import model\nmodel.eval()",
            "'os.system(1)'",
            "# os.system('ls')",
            "system('ls')",
            "import os\nf = lambda os: os.system('ls')",
            "import os\nx = [os.system for os in y]\n",
        ],
    );
}

#[test]
fn what_a_call_gave_is_named_after_it() {
    found(
        "python",
        "python",
        "{ call: socket.socket.connect }",
        &[
            "import socket\ns = socket.socket()\ns.connect(('192.0.2.1', 80))",
            "from socket import socket as S\nS().connect(a)",
            "import socket\nwith socket.socket() as s:\n    s.connect(a)",
        ],
    );
    found("python", "python", "{ call: '**.connect' }", &["def f(x):\n    x.connect(1)"]);
    found(
        "python",
        "python",
        "{ attribute: '**.__subclasses__' }",
        &[
            "().__class__.__bases__[0].__subclasses__()",
            "''.__class__.__mro__[1].__subclasses__()",
            "getattr(object, '__subclasses__')()",
        ],
    );
    found(
        "python",
        "python",
        "{ attribute: '?.__class__.__bases__.?.__subclasses__' }",
        &["().__class__.__bases__[0].__subclasses__()"],
    );
}

#[test]
fn constants_are_put_together() {
    found(
        "python",
        "python",
        "{ text: '^/etc/passwd$' }",
        &[
            "open('/etc/passwd')",
            "open('/etc' + '/passwd')",
            "open('/etc' '/passwd')",
            "open(f'/etc/{\"passwd\"}')",
            "n = 'passwd'\nopen(f'/etc/{n}')",
            "open('/etc/%s' % 'passwd')",
            "open('%s/%s' % ('/etc', 'passwd'))",
            "open('/{}/{}'.format('etc', 'passwd'))",
            "open('/{a}/passwd'.format(a='etc'))",
            "open('/'.join(['', 'etc', 'passwd']))",
            "open('dwssap/cte/'[::-1])",
            "open(''.join(reversed('dwssap/cte/')))",
            "open('x/etc/passwdx'[1:-1])",
            "open(chr(47) + 'etc/passwd')",
            "open(bytes([47, 101, 116, 99, 47, 112, 97, 115, 115, 119, 100]).decode())",
            "open(''.join(map(chr, [47, 101, 116, 99, 47, 112, 97, 115, 115, 119, 100])))",
            "open('\\x2fetc\\u002fpasswd')",
            "open(b'/etc/passwd'.decode('ascii'))",
            "open('/ETC/PASSWD'.lower())",
            "open('/etc/pazzwd'.replace('z', 's'))",
            "p = '/etc'\np += '/passwd'\nopen(p)",
            "import os\nopen(os.path.join('/etc', 'passwd'))",
            "import base64\nopen(base64.b64decode('L2V0Yy9wYXNzd2Q='))",
            "import base64\nopen(base64.b64decode(b'L2V0Yy9wYXNzd2Q=').decode())",
            "from base64 import b32decode as d\nopen(d('F5SXIYZPOBQXG43XMQ======'))",
            "import base64\nopen(base64.b16decode('2F6574632F706173737764'))",
            "import base64\nopen(base64.a85decode('04f6805t?@F*D-'))",
            "open(bytes.fromhex('2f6574632f706173737764').decode())",
            "import binascii\nopen(binascii.unhexlify('2f6574632f706173737764'))",
            "import codecs\nopen(codecs.decode('/rgp/cnffjq', 'rot13'))",
            "import codecs\nopen(codecs.decode('2f6574632f706173737764', 'hex'))",
            "import zlib\nopen(zlib.decompress(b'\\x78\\x9c\\xd3\\x4f\\x2d\\x49\\xd6\\x2f\\x48\\x2c\\x2e\\x2e\\x4f\\x01\\x00\\x17\\x73\\x04\\x2d'))",
            "open(chr(ord('.') + 1) + 'etc/passwd')",
            "open('/etc/pas' + 's' * 1 + 'wd')",
            "open(str(b'/etc/passwd', 'utf8'))",
            "open('/etc/passwd ' . strip())",
        ],
    );
}

#[test]
fn what_is_in_no_constant_is_not_found() {
    not_found(
        "python",
        "python",
        "{ text: '^/etc/passwd$' }",
        &[
            "'/etc/passwd'\n",
            "def f():\n    '/etc/passwd'\n",
            "# '/etc/passwd'",
            "x = '/etc'\nx = f()\nopen(x + '/passwd')",
        ],
    );
}

#[test]
fn arguments_are_looked_at_by_place_and_by_name() {
    found(
        "python",
        "python",
        "{ call: 'subprocess.*', arguments: { shell: true } }",
        &[
            "import subprocess\nsubprocess.run(x, shell=True)",
            "import subprocess\nsubprocess.run(x, shell=1)",
            "import subprocess\nsubprocess.run(x, **{'shell': True})",
            "import subprocess\nt = True\nsubprocess.run(x, shell=t)",
        ],
    );
    not_found(
        "python",
        "python",
        "{ call: 'subprocess.*', arguments: { shell: true } }",
        &[
            "import subprocess\nsubprocess.run(x)",
            "import subprocess\nsubprocess.run(x, shell=False)",
            "import subprocess\nsubprocess.run(x, shell=y)",
        ],
    );
    found(
        "python",
        "python",
        "{ call: os.chmod, arguments: { '1|mode': { at_least: 511 } } }",
        &["import os\nos.chmod(p, 0o777)", "import os\nos.chmod(p, mode=0x1ff)"],
    );
    let loader =
        "{ call: yaml.load, arguments: { '1|Loader': { not: { name: ['yaml.SafeLoader', 'yaml.CSafeLoader'] } } } }";
    found("python", "python", loader, &["import yaml\nyaml.load(x)", "import yaml\nyaml.load(x, Loader=yaml.Loader)"]);
    not_found(
        "python",
        "python",
        loader,
        &["import yaml\nyaml.load(x, yaml.SafeLoader)", "from yaml import load, SafeLoader as S\nload(x, Loader=S)"],
    );
    found("python", "python", "{ call: open, arguments: { '1|mode': { text: '[wax+]' } } }", &["open('f', 'w')"]);
    found("python", "python", "{ call: open, arguments: { 0: { glob: '/etc/**' } } }", &["open('/etc/a/b')"]);
    found("python", "python", "{ call: f, arguments: { '*': [1, two, null] } }", &["f(0, 'two')", "f(x=None)", "f(1)"]);
    found("python", "python", "{ call: f, arguments: { a: { is: absent } } }", &["f(1)"]);
    not_found("python", "python", "{ call: f, arguments: { a: { is: absent } } }", &["f(a=1)"]);
}

#[test]
fn it_is_known_how_a_text_came_about() {
    let with = |state: &str| format!("{{ call: exec, arguments: {{ 0: {{ is: {state} }} }} }}");
    found(
        "python",
        "python",
        &with("assembled"),
        &[
            "exec('a' + b)",
            "exec('a' + 'b')",
            "exec(f'x{y}')",
            "exec(''.join(x))",
            "exec('x%s' % y)",
            "exec('{}'.format(y))",
            "c = 'a'\nc += y\nexec(c)",
            "exec(''.join(chr(x) for x in y))",
        ],
    );
    found(
        "python",
        "python",
        &with("decoded"),
        &[
            "import base64\nexec(base64.b64decode(x))",
            "import base64\nexec(base64.b64decode('cHJpbnQoMSk='))",
            "import base64\nexec(base64.b64decode(x).decode())",
            "import zlib, base64\nexec(zlib.decompress(base64.b64decode(x)))",
            "import marshal\nexec(marshal.loads(x))",
            "exec(bytes.fromhex(x))",
            "import codecs\nexec(codecs.decode(x, 'rot13'))",
            "import base64\nexec(compile(base64.b64decode(x), 'f', 'exec'))",
        ],
    );
    found("python", "python", &with("unknown"), &["exec(x)", "exec(input())"]);
    found("python", "python", &with("literal"), &["exec('x = 1')"]);
    not_found("python", "python", &with("[assembled, decoded]"), &["exec('x = 1')", "exec(x)", "x = 'a'\nexec(x)"]);
}

#[test]
fn what_is_run_is_read_too() {
    found(
        "python",
        "python",
        "{ call: os.system }",
        &[
            "exec('import os\\nos.system(1)')",
            "eval(\"__import__('os').system(1)\")",
            "exec(compile('import os; os.system(1)', 'f', 'exec'))",
            "import base64\nexec(base64.b64decode('aW1wb3J0IG9zCm9zLnN5c3RlbSgnbHMnKQ=='))",
            "x = 'aW1wb3J0IG9zCm9zLnN5c3RlbSgnbHMnKTsgIyBsb25nIGVub3VnaCB0byBiZSBzZWVu'",
            "exec(\"exec('import os; os.system(1)')\")",
            "import subprocess\nsubprocess.run(['python3', '-c', 'import os; os.system(1)'])",
            "import os\nos.popen('python -c \"import os; os.system(1)\"')",
        ],
    );
    found(
        "bash",
        "python",
        "{ command: curl, arguments: { 0: http://192.0.2.1/ } }",
        &[
            "import os\nos.system('curl http://192.0.2.1/')",
            "import subprocess\nsubprocess.run(['curl', 'http://192.0.2.1/'])",
            "import subprocess\nsubprocess.Popen(args=['/usr/bin/curl', 'http://192.0.2.1/'])",
            "import subprocess\nsubprocess.run(['sh', '-c', 'curl http://192.0.2.1/'])",
            "import subprocess\nsubprocess.run('sudo -u x curl http://192.0.2.1/', shell=True)",
            "import os\nos.execvp('curl', ['curl', 'http://192.0.2.1/'])",
            "import os\nos.execlp('curl', 'curl', 'http://192.0.2.1/')",
            "import os\nos.spawnlp(os.P_WAIT, 'curl', 'curl', 'http://192.0.2.1/')",
        ],
    );
    found(
        "python",
        "python",
        "{ structure: decoded_source }",
        &["import base64\nexec(base64.b64decode('aW1wb3J0IG9zCm9zLnN5c3RlbSgnbHMnKQ=='))"],
    );
    found("python", "python", "{ structure: nested_source }", &["exec('f()')"]);
    not_found(
        "python",
        "python",
        "{ structure: decoded_source }",
        &["exec('f()')", "x = 'aGVsbG8gdGhlcmUsIHRoaXMgaXMganVzdCBhIHRleHQgd2l0aG91dCBhbnkgY29kZQ=='"],
    );
}

#[test]
fn imports_are_told_in_every_form() {
    found(
        "python",
        "python",
        "{ import: os.path }",
        &[
            "import os.path",
            "import os.path as p",
            "from os import path",
            "from os import path as p",
            "import os\\\n.path",
        ],
    );
    found(
        "python",
        "python",
        "{ import: ctypes }",
        &["__import__('ctypes')", "import a, ctypes", "from ctypes import *"],
    );
    found("python", "python", "{ import: '.sibling' }", &["from . import sibling", "from .sibling import x"]);
    let report = scan(
        &scanner("python", "{ call: f }"),
        "python",
        "import os.path, sys\nfrom json import loads\nimport os.path",
    );
    let modules: Vec<&str> = report.imports.iter().map(|import| import.module.as_str()).collect();
    assert_eq!(modules, ["os.path", "sys", "json"]);
}

#[test]
fn loops_and_recursion_without_an_end_are_seen() {
    let endless = "{ structure: endless_loop }";
    found(
        "python",
        "python",
        endless,
        &[
            "while True:\n    x = 1",
            "while 1: pass",
            "while not False: f()",
            "import itertools\nfor i in itertools.count(): f()",
            "def f():\n    while (True):\n        g()",
        ],
    );
    not_found(
        "python",
        "python",
        endless,
        &[
            "while True:\n    break",
            "while x: pass",
            "def f():\n    while True:\n        return 1",
            "def f():\n    while True:\n        yield 1",
            "while True:\n    if x: raise E",
            "import sys\nwhile True:\n    sys.exit()",
            "running = True\nwhile running: f()",
        ],
    );
    found(
        "python",
        "python",
        "{ structure: call_in_endless_loop, of: os.fork }",
        &["import os\nwhile True:\n    os.fork()"],
    );
    not_found(
        "python",
        "python",
        "{ structure: call_in_endless_loop, of: os.fork }",
        &["import os\nfor i in range(3):\n    os.fork()"],
    );
    found(
        "python",
        "python",
        "{ structure: call_in_loop, of: os.fork }",
        &["import os\nfor i in range(3):\n    os.fork()"],
    );
    found(
        "python",
        "python",
        "{ structure: endless_recursion }",
        &["def f():\n    f()", "def f(x):\n    return f(x + 1)"],
    );
    not_found(
        "python",
        "python",
        "{ structure: endless_recursion }",
        &[
            "def f(x):\n    if x: f(x - 1)",
            "def f(x):\n    if not x: return 1\n    return f(x - 1)",
            "def f(x):\n    return x and f(x - 1)",
            "def f(x):\n    return f(x - 1) if x else 1",
        ],
    );
}

#[test]
fn assignments_and_disguises_are_seen() {
    found(
        "python",
        "python",
        "{ assign: sys.stdout }",
        &["import sys\nsys.stdout = x", "import sys\nsetattr(sys, 'stdout', x)"],
    );
    found("python", "python", "{ assign: '*.__class__' }", &["x.__class__ = y"]);
    found(
        "python",
        "python",
        "{ assign: os.environ.?, value: { is: literal } }",
        &["import os\nos.environ['A'] = 'b'"],
    );
    found("python", "python", "{ structure: hidden_characters }", &["x = 'a\u{202e}b'"]);
    found("python", "python", "{ structure: disguised_name }", &["ｅｘｅｃ('x')"]);
    found("python", "python", "{ structure: disguised_encoding }", &["# -*- coding: utf-7 -*-\nx = 1"]);
    found("python", "python", "{ syntax_error: true }", &["def f(:\n", "x = = 1"]);
    not_found(
        "python",
        "python",
        "{ syntax_error: true }",
        &["print 'x'", "match x:\n  case 1: pass", "async def f(): pass", ""],
    );
}

#[test]
fn members_mean_what_rules_together_say() {
    let all = "{ all: [{ call: f }, { import: os }, { not: { call: g } }] }";
    found("python", "python", all, &["import os\nf()", "f()\nexec('import os')"]);
    not_found("python", "python", all, &["f()", "import os\nf()\ng()", "import os"]);
    let report = scan(&scanner("python", "{ any: [{ call: f }, { call: g }] }"), "python", "g()\n  \nf()");
    let places: Vec<_> = report.findings.iter().map(|finding| (finding.region.line, finding.does.as_str())).collect();
    assert_eq!(places, [(1, "does g"), (3, "does f")]);
}
