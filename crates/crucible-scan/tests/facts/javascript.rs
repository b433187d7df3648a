//! What the reader of JavaScript and TypeScript sees.

use super::*;

#[test]
fn a_call_is_known_under_every_alias() {
    let sources = [
        "require('child_process').exec('ls')",
        "const c = require('node:child_process'); c.exec('ls')",
        "const {exec} = require('child_process'); exec('ls')",
        "const {exec: e} = require('child_process'); e('ls')",
        "let e; ({exec: e} = require('child_process')); e('ls')",
        "import c from 'child_process'; c.exec('ls')",
        "import * as c from 'child_process'; c.exec('ls')",
        "import {exec as e} from 'child_process'; e('ls')",
        "import {default as c} from 'node:child_process'; c.exec('ls')",
        "const c = await import('child_process'); c.exec('ls')",
        "(await import('child_process')).default.exec('ls')",
        "require('child' + '_process')['ex' + 'ec']('ls')",
        "const r = require; r('child_process').exec('ls')",
        "process.mainModule.require('child_process').exec('ls')",
        "const m = 'child_process'; const x = require(m); const f = x.exec; f('ls')",
        "(() => require('child_process'))().exec('ls')",
        "require('child_process').exec.call(null, 'ls')",
        "require('child_process').exec.apply(null, ['ls'])",
        "require('child_process').exec.bind(null)('ls')",
        "Reflect.get(require('child_process'), 'exec')('ls')",
        "const o = {run: require('child_process').exec}; o.run('ls')",
        "const l = ['child_process', 'exec']; require(l[0])[l[1]]('ls')",
        "function f() { const {exec} = require('child_process'); exec('ls') }",
        "class A { m() { require('child_process').exec('ls') } }",
        "process.getBuiltinModule('child_process').exec('ls')",
        "require('child_process')?.exec?.('ls')",
        "require(`child_${'process'}`).exec('ls')",
        "require('ssecorp_dlihc'.split('').reverse().join('')).exec('ls')",
        "require(atob('Y2hpbGRfcHJvY2Vzcw==')).exec('ls')",
        "require(Buffer.from('6368696c645f70726f63657373', 'hex').toString()).exec('ls')",
        "require(String.fromCharCode(99,104,105,108,100,95,112,114,111,99,101,115,115)).exec('ls')",
        "require('\\x63hild_process').exec('ls')",
    ];
    found("javascript", "javascript", "{ call: child_process.exec }", &sources);
    found("javascript", "typescript", "{ call: child_process.exec }", &sources);
    found(
        "javascript",
        "typescript",
        "{ call: child_process.exec }",
        &[
            "import c = require('child_process'); c.exec('ls' as string)",
            "const c: any = require('child_process') as any; c!.exec('ls')",
            "function f(x: number): void { (<any>require('child_process')).exec('ls'); require('child_process').exec('ls') }",
        ],
    );
}

#[test]
fn what_is_built_in_is_known_under_every_name() {
    found(
        "javascript",
        "javascript",
        "{ call: eval }",
        &[
            "eval('x')",
            "(0, eval)('x')",
            "globalThis.eval('x')",
            "window['ev' + 'al']('x')",
            "const e = eval; e('x')",
            "\\u0065val('x')",
        ],
    );
    found(
        "javascript",
        "javascript",
        "{ call: process.binding }",
        &["process['binding']('fs')", "global.process.binding('fs')"],
    );
    found(
        "javascript",
        "javascript",
        "{ call: Function }",
        &[
            "new Function('return 1')",
            "Function('x')()",
            "[].map.constructor('x')()",
            "(function(){}).constructor('x')",
        ],
    );
    not_found(
        "javascript",
        "javascript",
        "{ call: eval }",
        &["function eval(x) {} eval('x')", "x.eval('x')", "function f(eval) { eval('x') }", "'eval(1)'"],
    );
}

#[test]
fn what_is_run_is_read_too() {
    found(
        "javascript",
        "javascript",
        "{ call: child_process.exec }",
        &[
            "eval(\"require('child_process').exec('ls')\")",
            "new Function('a', \"require('child_process').exec('ls')\")",
            "setTimeout(\"require('child_process').exec('ls')\", 1)",
            "require('vm').runInThisContext(\"require('child_process').exec('ls')\")",
            "eval(Buffer.from('cmVxdWlyZSgiY2hpbGRfcHJvY2VzcyIpLmV4ZWMoImxzIik=', 'base64').toString())",
        ],
    );
    found(
        "bash",
        "javascript",
        "{ command: curl }",
        &[
            "require('child_process').exec('curl x')",
            "require('child_process').spawn('curl', ['x'])",
            "require('child_process').spawnSync('bash', ['-c', 'curl x'])",
            "new Deno.Command('curl', {args: ['x']})",
        ],
    );
    found(
        "javascript",
        "javascript",
        "{ call: '*.spawn', arguments: { shell: true } }",
        &["require('child_process').spawn('x', [], {shell: true})"],
    );
}

#[test]
fn loops_and_recursion_without_an_end_are_seen() {
    let endless = "{ structure: endless_loop }";
    found(
        "javascript",
        "javascript",
        endless,
        &["while (true) {}", "for (;;) f()", "do { f() } while (1)", "for (;true;) {}"],
    );
    not_found(
        "javascript",
        "javascript",
        endless,
        &["while (true) { break }", "while (x) {}", "for (;;) { if (x) return }", "for (const x of y) {}"],
    );
    found("javascript", "javascript", "{ structure: endless_recursion }", &["function f() { f() }"]);
    not_found(
        "javascript",
        "javascript",
        "{ structure: endless_recursion }",
        &["function f(x) { if (x) f(x - 1) }", "function f(x) { return x && f(x - 1) }"],
    );
}

#[test]
fn modules_are_listed() {
    let source = "import 'node:fs'; export * from './x.js'; const p = require('path'); import('os')";
    let report = scan(&scanner("javascript", "{ call: f }"), "javascript", source);
    let modules: Vec<&str> = report.imports.iter().map(|import| import.module.as_str()).collect();
    assert_eq!(modules, ["fs", "./x.js", "path", "os"]);
}
