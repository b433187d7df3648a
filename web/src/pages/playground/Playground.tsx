/** Where one tries code: an editor on one side, what comes of it on the other. */
import { useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";
import { useSearchParams } from "wouter";
import { asProblem, type Problem } from "../../api/problem";
import { backends, policies, scan, specification, submit, useMe } from "../../api/queries";
import type { ScannedProgram } from "../../api/types";
import { CopyButton } from "../../components/CopyButton";
import { Button, Select } from "../../components/controls";
import { isolationName } from "../../components/words";
import { Editor } from "../../editor/Editor";
import { useTitle } from "../../shell/title";
import { type Draft, toDraft, toSpecification } from "./draft";
import { example, examples } from "./examples";
import { Latest } from "./Latest";
import { Result } from "./Result";
import { Settings } from "./Settings";
import { fromFragment, known, toFragment } from "./sharing";
import "./playground.css";

const languages = [
  { value: "python", label: "Python" },
  { value: "javascript", label: "JavaScript" },
  { value: "bash", label: "Bash" },
];

const KEPT = "crucible.draft";

function kept(): Draft | null {
  try {
    const text = sessionStorage.getItem(KEPT);
    const spec = text === null ? null : known(JSON.parse(text));
    return spec && toDraft(spec);
  } catch {
    return null;
  }
}

const first = () => toDraft(examples[0]?.specification ?? {});

/** Asks the scanner when nothing was typed for a moment. */
function useScan(draft: Draft): ScannedProgram | null {
  const [report, setReport] = useState<ScannedProgram | null>(null);
  const { code, language, policy } = draft;
  useEffect(() => {
    if (code.trim() === "") {
      setReport(null);
      return;
    }
    const abort = new AbortController();
    const timer = setTimeout(() => {
      scan({ code, language, policy }, abort.signal).then(setReport, () => {
        // Findings help; without them the playground works all the same.
        if (!abort.signal.aborted) setReport(null);
      });
    }, 350);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [code, language, policy]);
  return report;
}

export default function Playground() {
  useTitle("Playground");
  const [params, setParams] = useSearchParams();
  const asked = params.get("example");
  const from = params.get("from");
  const [draft, setDraft] = useState<Draft>(() => {
    const named = example(asked);
    return named ? toDraft(named.specification) : (kept() ?? first());
  });
  const [running, setRunning] = useState<string | null>(null);
  const [sending, setSending] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [note, setNote] = useState<string | null>(null);
  const report = useScan(draft);
  const { may } = useMe();
  const present = useQuery(backends);
  const named = useQuery(policies);
  const latest = useRef(draft);
  latest.current = draft;

  const change = useCallback((part: Partial<Draft>) => {
    setDraft((before) => ({ ...before, ...part }));
    setNote(null);
  }, []);

  // A link with a specification, or with an evaluation whose specification is wanted.
  useEffect(() => {
    let over = false;
    void fromFragment(location.hash).then((spec) => {
      if (spec === null || over) return;
      setDraft(toDraft(spec));
      setNote("This program came with the link. Read it before you run it.");
      history.replaceState(null, "", location.pathname + location.search);
    });
    return () => {
      over = true;
    };
  }, []);
  const source = useQuery({ ...specification(from ?? ""), enabled: from !== null });
  useEffect(() => {
    const spec = source.data ? known(source.data) : null;
    if (spec) setDraft(toDraft(spec));
  }, [source.data]);
  useEffect(() => {
    const chosen = example(asked);
    if (chosen) setDraft(toDraft(chosen.specification));
  }, [asked]);

  useEffect(() => {
    const timer = setTimeout(() => {
      try {
        sessionStorage.setItem(KEPT, JSON.stringify(toSpecification(draft)));
      } catch {
        // Too large, or forbidden: it isn't kept then.
      }
    }, 400);
    return () => clearTimeout(timer);
  }, [draft]);

  const run = useCallback(async (typed: Partial<Draft> = {}) => {
    setSending(true);
    setProblem(null);
    try {
      const { id } = await submit(toSpecification({ ...latest.current, ...typed }));
      setRunning(id);
    } catch (error) {
      setProblem(asProblem(error));
    } finally {
      setSending(false);
    }
  }, []);

  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.defaultPrevented) return;
      event.preventDefault();
      void run();
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [run]);

  return (
    <>
      <div className="page-head">
        <div className="grow">
          <h1>Playground</h1>
          <p>Run code that nobody has read, and see what it tried and what stopped it.</p>
        </div>
      </div>

      <nav className="examples" aria-label="Examples">
        <span className="soft small">Try</span>
        {examples.map((one) => (
          <Button
            key={one.name}
            compact
            look="plain"
            aria-label={`${one.title}: ${one.shows}`}
            onPress={() => {
              setDraft(toDraft(one.specification));
              setNote(one.shows);
              setParams(new URLSearchParams({ example: one.name }), { replace: true });
            }}
          >
            {one.title}
          </Button>
        ))}
      </nav>

      <div className="bench">
        <section className="panel bench-code" aria-label="Program">
          <div className="panel-head bench-bar">
            <div className="bench-choice">
              <Select
                label="Language"
                hideLabel
                value={draft.language}
                choices={languages}
                onChange={(language) => change({ language })}
              />
            </div>
            <div className="bench-choice">
              <Select
                label="Backend"
                hideLabel
                value={draft.backend}
                onChange={(backend) => change({ backend })}
                choices={[
                  { value: "auto", label: "Any backend", explained: "the first that the policy admits" },
                  ...(present.data?.backends ?? []).map((one) => ({
                    value: one.backend,
                    label: one.backend,
                    explained: one.in_use ? isolationName(one.isolation) : (one.out_because ?? "out of use"),
                  })),
                  ...(present.data?.unavailable ?? []).map((one) => ({
                    value: one.backend,
                    label: one.backend,
                    explained: "not on this machine",
                    disabled: true,
                  })),
                ]}
              />
            </div>
            <span className="grow" />
            <CopyButton
              icon="share"
              label="Share"
              text={async () => {
                const fragment = await toFragment(toSpecification(draft));
                if (fragment === null) throw new Error("too large for a link");
                return `${location.origin}/#${fragment}`;
              }}
            />
            <Button
              look="main"
              icon="play"
              isDisabled={sending || draft.code.trim() === "" || !may("submitter")}
              onPress={() => void run()}
              aria-keyshortcuts="Control+Enter"
            >
              {sending ? "Sending…" : "Run"}
              <kbd className="run-key">Ctrl ↵</kbd>
            </Button>
          </div>
          {note && (
            <p className="bench-note" role="status">
              {note}
            </p>
          )}
          <div className="bench-editor">
            <Editor
              value={draft.code}
              language={draft.language}
              label="Program"
              findings={report?.findings ?? []}
              onChange={(code) => setDraft((before) => ({ ...before, code }))}
              onRun={(code) => void run({ code })}
            />
          </div>
          <ScanLine report={report} />
          <Settings draft={draft} onChange={change} policies={named.data ?? []} />
        </section>

        <Result id={running} problem={problem} mayRun={may("submitter")} />
      </div>
      <Latest />
    </>
  );
}

/** What the scanner thinks of the program as it stands. */
function ScanLine({ report }: { report: ScannedProgram | null }) {
  if (!report) return null;
  const count = report.findings.length;
  const words =
    report.decision === "deny"
      ? "The policy wouldn't let this in."
      : report.decision === "hold"
        ? "The policy would hold this until a person has looked at it."
        : count === 0
          ? "The scanner has nothing to say about this."
          : `The scanner marks ${count} ${count === 1 ? "place" : "places"}; the policy lets it in.`;
  return (
    <p className={`scan-line ${report.decision}`} aria-live="polite">
      {words}
    </p>
  );
}
