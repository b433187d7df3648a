import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { policy, type ScannedProgram, testPolicy } from "../../api/operator";
import { asProblem } from "../../api/problem";
import { policies } from "../../api/queries";
import { Wrong } from "../../components/Confirm";
import { Button, Select } from "../../components/controls";
import { Panel } from "../../components/Panel";
import { Badge, Failure, Loading, Notice, type Tone } from "../../components/states";
import { severityTone } from "../../components/words";
import { Editor } from "../../editor/Editor";
import { Inert } from "../../guest/Inert";
import { Head } from "./Head";

const SNIPPET = `import ctypes
import socket

libc = ctypes.CDLL(None)
libc.ptrace(0, 0, 0, 0)
socket.create_connection(("192.0.2.1", 80))
`;

const decisions: Record<string, { tone: Tone; label: string; means: string }> = {
  allow: { tone: "good", label: "It would run", means: "Nothing in this policy stands against it." },
  hold: { tone: "held", label: "It would be held", means: "Somebody has to approve it before it runs." },
  deny: { tone: "bad", label: "It would be turned away", means: "It is never run under this policy." },
};

export function Policies() {
  const asked = useQuery(policies);
  const [chosen, setChosen] = useState<string | null>(null);
  const name =
    chosen ?? asked.data?.find(({ in_force }) => in_force)?.name ?? asked.data?.[0]?.name ?? "default";
  const text = useQuery({ ...policy(name), enabled: asked.data !== undefined });
  if (asked.isPending) return <Loading what="policies" />;
  if (asked.isError) return <Failure error={asked.error} onRetry={() => void asked.refetch()} />;
  return (
    <>
      <Head
        title="Policies"
        about="What a program and its sandbox have to be like. Change one here to see what it would do; it is kept in the service's configuration alone."
      />
      <fieldset className="policy-choice">
        <legend className="unseen">Policy</legend>
        {asked.data.map((one) => (
          <button
            key={one.name}
            type="button"
            className="policy"
            aria-pressed={one.name === name}
            onClick={() => setChosen(one.name)}
          >
            <span className="cluster">
              <strong>{one.name}</strong>
              {one.in_force && <Badge tone="live">In force</Badge>}
              {one.origin !== "built-in" && <Badge tone="held">Configured</Badge>}
            </span>
            <span className="small soft">{one.title}</span>
          </button>
        ))}
      </fieldset>
      {text.isPending ? (
        <Loading what="the policy" />
      ) : text.isError ? (
        <Failure error={text.error} onRetry={() => void text.refetch()} />
      ) : (
        <>
          {text.data.in_words && text.data.in_words.length > 0 && (
            <Panel title={`${name}, in words`}>
              <ul className="what small">
                {text.data.in_words.map((line) => (
                  <li key={line}>{line}</li>
                ))}
              </ul>
            </Panel>
          )}
          <Test key={name} name={name} original={text.data.toml} />
        </>
      )}
    </>
  );
}

function Test({ name, original }: { name: string; original: string }) {
  const [toml, setToml] = useState(original);
  const [code, setCode] = useState(SNIPPET);
  const [language, setLanguage] = useState("python");
  const [report, setReport] = useState<ScannedProgram | null>(null);
  const [wrong, setWrong] = useState<unknown>(null);
  const changed = toml !== original;

  useEffect(() => {
    const abort = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const found = await testPolicy(
          changed ? { toml } : { policy: name },
          { code, language },
          abort.signal,
        );
        setReport(found);
        setWrong(null);
      } catch (error) {
        if (!abort.signal.aborted) setWrong(error);
      }
    }, 350);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [toml, code, language, name, changed]);

  const findings = useMemo(() => report?.findings ?? [], [report]);
  const decision = report ? (decisions[report.decision] ?? null) : null;
  const inToml = wrong !== null && asProblem(wrong).message.startsWith("toml:");

  return (
    <div className="policy-test">
      <Panel
        title="The policy"
        flush
        aside={
          <>
            {changed && <Badge tone="warn">Changed here alone</Badge>}
            <Button compact isDisabled={!changed} onPress={() => setToml(original)}>
              As it was
            </Button>
          </>
        }
      >
        <div className="editor-frame">
          <Editor value={toml} language="toml" label={`The policy ${name} as TOML`} onChange={setToml} />
        </div>
        {inToml && (
          <div className="panel-body">
            <Wrong error={wrong} />
          </div>
        )}
      </Panel>
      <Panel
        title="A program to test it with"
        flush
        aside={
          <Select
            label="Language"
            hideLabel
            value={language}
            onChange={setLanguage}
            choices={["python", "javascript", "bash"].map((value) => ({ value, label: value }))}
          />
        }
      >
        <div className="editor-frame">
          <Editor
            value={code}
            language={language}
            label="A program to test the policy with"
            findings={findings}
            onChange={setCode}
          />
        </div>
        <div className="panel-body stack" role="status" aria-label="What the policy would do">
          {wrong !== null && !inToml && <Wrong error={wrong} />}
          {decision && wrong === null && (
            <Notice tone={decision.tone}>
              <strong>{decision.label}</strong>
              <span>{decision.means}</span>
            </Notice>
          )}
          {report && report.reasons.length > 0 && (
            <ul className="what small">
              {report.reasons.map((reason) => (
                <li key={`${reason.clause} ${reason.message}`}>
                  <Inert text={reason.message} /> <code className="soft">{reason.clause}</code>
                </li>
              ))}
            </ul>
          )}
          {findings.length > 0 && (
            <ul className="stack small">
              {findings.map((finding, at) => (
                <li key={at} className="found">
                  <Badge tone={severityTone[finding.severity] ?? "quiet"}>{finding.severity}</Badge>
                  <span className="what-found">
                    Line {finding.line}: <Inert text={finding.message} />
                    <code className="soft">{finding.rule}</code>
                  </span>
                </li>
              ))}
            </ul>
          )}
          {report && findings.length === 0 && <p className="small soft">No rule found anything.</p>}
        </div>
      </Panel>
    </div>
  );
}
