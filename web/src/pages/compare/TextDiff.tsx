import { useEffect, useState } from "react";
import { Loading, Notice } from "../../components/states";
import { Inert } from "../../guest/Inert";
import { VirtualRows } from "../../guest/VirtualRows";
import type { DiffLine, DiffResult } from "./diff";

const ROW = 20;

/** What differs in two texts, line by line. It is worked out in a worker, because a guest can make it slow. */
export function TextDiff(props: {
  before: string | Uint8Array;
  after: string | Uint8Array;
  same: string;
  empty: string;
}) {
  const { before, after } = props;
  const [result, setResult] = useState<DiffResult | null>(null);
  useEffect(() => {
    setResult(null);
    const worker = new Worker(new URL("./diff.worker.ts", import.meta.url), { type: "module" });
    worker.onmessage = (message: MessageEvent<DiffResult>) => setResult(message.data);
    worker.postMessage({ before, after });
    return () => worker.terminate();
  }, [before, after]);

  if (before.length === 0 && after.length === 0) return <p className="soft diff-note">{props.empty}</p>;
  if (result === null) return <Loading what="the comparison" lines={3} />;
  if (result.same) return <p className="soft diff-note">{props.same}</p>;
  return (
    <>
      {result.cut && (
        <Notice tone="warn">
          Only the first part is compared: the texts are too large or too different.
        </Notice>
      )}
      <VirtualRows className="guest diff" count={result.lines.length} rowHeight={ROW} label="Differences">
        {(from, to) => result.lines.slice(from, to).map((line, at) => <Line key={from + at} line={line} />)}
      </VirtualRows>
    </>
  );
}

const signs = { same: " ", gone: "−", added: "+", gap: "…" } as const;
const names = { same: "", gone: "only first: ", added: "only second: ", gap: "" } as const;

function Line({ line }: { line: DiffLine }) {
  return (
    <div className={`guest-row diff-${line.kind}`} dir="ltr">
      <span className="guest-line" aria-hidden="true">
        {signs[line.kind]}
      </span>
      <span className="guest-text">
        {names[line.kind] && <span className="unseen">{names[line.kind]}</span>}
        <Inert text={line.text} />
      </span>
    </div>
  );
}
